"""The models of the accuracy table: what calibrates them, what judges them, and how."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maccel_aio.zoo import centerface
from open_set import verdicts, writing
from open_set.pictures import (
    Pixels,
    boxed,
    crops,
    filled,
    frames,
    page,
    photos,
    portrait,
    scenes,
    whole,
)
from open_set.real import open_float
from open_set.verdicts import Verdict
from peering.models import SUBJECTS as MODELS
from peering.models import Subject
from peering.pictures import UNIT
from peering.sources import fetched
from peering.tflite import converted

_CALIBRATION = 32
_HALFWAY = 60
"""Frames of the clip before this one calibrate, later ones are judged."""


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        model: what is compiled.
        calibration: returns pixels ``[n, h, w, 3]`` that set the ranges.
        judged: returns other pixels to be judged by.
        verdict: on the answers to them.
        wanted: bars of the default, by figure; "at most" where the figure's name ends with "%".
        target: what is asked of the search, dB at every output; None: no search.
        most_wide: share of the work that may leave 8 bits for it.
    """

    model: Subject
    calibration: Callable[[], Pixels]
    judged: Callable[[], Pixels]
    verdict: Verdict
    wanted: Mapping[str, float] = field(default_factory=dict)
    target: float | None = None
    most_wide: float = 1.0

    def feeds(self, pixels: Pixels) -> NDArray[np.float32]:
        """Return model values ``[n, 1, 3, h, w]`` of pixels."""
        assert self.model.preprocess is not None
        return self.model.preprocess.floats(pixels)[:, None]


def _size(name: str) -> tuple[int, int]:
    (shape,) = MODELS[name].shapes.values()
    return shape[2], shape[3]


def _mixture() -> list[Image.Image]:
    """Return 32 pictures of all kinds: scenes and their crops, two videos."""
    found = [part for k, scene in enumerate(scenes()) for part in (scene, *crops(scene, 4, k))]
    return found + frames("bikes", 31)[:8] + frames("carphone", 15)[:4]


def _persons(later: bool) -> list[Image.Image]:
    """Return pictures with persons, others for judging than for calibration."""
    clip = frames("carphone", 5)
    cut = _HALFWAY // 5
    if later:
        return [portrait(), *crops(portrait(), 8, 7, 0.6), *photos()[::2], *clip[cut::3]]
    rest = photos()[1::2]
    return [*rest, *(c for k, p in enumerate(rest[:6]) for c in crops(p, 1, k)), *clip[:cut][:8],
            *frames("bikes", 31)[:8]]  # fmt: skip


def _faces(later: bool) -> list[tuple[Image.Image, centerface.Face]]:
    """Return frames of the clip with the face that the float detector finds in them."""
    session = open_float(MODELS["centerface"].build(), MODELS["centerface"].shapes)
    images = frames("carphone", 2)
    images = [portrait(), *images[_HALFWAY // 2 :: 5]] if later else images[: _HALFWAY // 2]
    found = []
    for image in images:
        pixels, scale = centerface.prepare(image, 480, 640)
        outputs = session.run(None, {"input.1": pixels.transpose(2, 0, 1)[None].astype(np.float32)})
        best = centerface.decode(outputs, scale)[:1]
        found += [(image, face) for face in best]
    return found


def _portraits(later: bool) -> Pixels:
    """Return squares around faces ``[n, 192, 192, 3]``."""
    rows = [boxed(image, face.box, 0.5, 192, 192) for image, face in _faces(later)]
    if not later:  # the clip shows few positions: also wider and narrower ones
        rows += [
            boxed(i, f.box, 0.3 + 0.05 * k, 192, 192) for k, (i, f) in enumerate(_faces(False))
        ]
        rows = rows[:_CALIBRATION]
    return np.stack(rows)


def _detection(later: bool) -> Pixels:
    images = _persons(later)
    clip = frames("carphone", 10)
    extra = clip[_HALFWAY // 10 :] if later else clip[: _HALFWAY // 10]
    chosen = [portrait(), *extra] if later else [*images[:26], *extra]
    return np.stack([centerface.prepare(image, 480, 640)[0] for image in chosen])


def _lines(seed: int, count: int) -> Pixels:
    return writing.lines(writing.texts(count, seed), seed)


def _judged_pages() -> Pixels:
    return np.concatenate([whole([page()], 640, 640), writing.pages(7, 5000)])


_FACE = Subject(
    "face_landmark",
    "Face landmark",
    lambda: converted(fetched("face_landmark")),
    {"input0": (1, 3, 192, 192)},
    UNIT,
    classifier=False,
)

_CASES = (
    Case(
        MODELS["efficientnet_lite0"],
        lambda: filled(_mixture(), *_size("efficientnet_lite0")),
        lambda: filled(photos(), *_size("efficientnet_lite0")),
        verdicts.same_class,
        {"output 0 dB": 24, "same class": 20},
    ),
    Case(
        MODELS["centerface"],
        lambda: _detection(False),
        lambda: _detection(True),
        verdicts.faces,
        {"output 0 dB": 27, "output 1 dB": 28, "output 2 dB": 14, "output 3 dB": 29,
         "IoU mean": 0.95},
        20,
        0.25,
    ),
    Case(
        MODELS["ppocr_det"],
        lambda: writing.pages(_CALIBRATION, 1000),
        _judged_pages,
        verdicts.overlap(0.3),
        {"map IoU": 0.94},
        18,
        0.25,
    ),
    Case(
        MODELS["ppocr_rec"],
        lambda: _lines(1000, _CALIBRATION),
        lambda: _lines(5000, 20),
        verdicts.same_text,
        {"same text": 17},
        22,
        0.15,
    ),
    Case(
        MODELS["selfie_segmentation"],
        lambda: filled(_persons(False), 256, 256),
        lambda: filled(_persons(True), 256, 256),
        verdicts.overlap(0.5),
        {"map IoU": 0.98},
        28,
        0.03,
    ),
    Case(
        MODELS["pose_landmark"],
        lambda: filled(_persons(False), 256, 256),
        lambda: filled(_persons(True), 256, 256),
        verdicts.keypoints(256, 5, presence=True),
        {"mean %": 1.0, "max %": 7.0},
        20,
        0.15,
    ),
    Case(
        _FACE,
        lambda: _portraits(False),
        lambda: _portraits(True),
        verdicts.keypoints(192, 3, presence=False),
        {"mean %": 0.3, "max %": 1.3},
        46,
    ),
)  # fmt: skip

CASES: dict[str, Case] = {case.model.name: case for case in _CASES}
