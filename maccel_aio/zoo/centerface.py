"""CenterFace: prepares pictures for it, and turns its four outputs into faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL.Image import Image

STEP = 32
"""Height and width of the input are multiples of this."""

PREPROCESS: dict[str, Any] = {"mean": 0, "std": 1, "channels": "RGB"}
"""The network wants raw pixels, 0..255; for `maccel_aio.compile`."""

LANDMARKS = ("right eye", "left eye", "nose", "right mouth corner", "left mouth corner")
"""What the five points of a face are, in order."""

_CELL = 4
"""One cell of the outputs stands for this many pixels, in each direction."""

_MOST_LOG_SIZE = 20.0
"""Sizes above this, beyond any picture, are cut to it: their exponential might overflow."""

_CHANNELS = (1, 2, 2, 10)
"""Channels of the outputs: heat map, log sizes (y, x), offsets (y, x), landmarks (y, x)."""


@dataclass(frozen=True)
class Face:
    """A face in a picture, in pixels of that picture.

    Attributes:
        box: left, top, right, bottom.
        score: how sure the network is, 0..1.
        landmarks: ``[5, 2]`` float32, x and y of the points named in `LANDMARKS`.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: NDArray[np.float32]


def prepare(picture: Image, height: int, width: int) -> tuple[NDArray[np.uint8], float]:
    """Fit a picture into the input, at the top left, keeping its aspect ratio.

    Returns:
        ``[height, width, 3]`` uint8 RGB pixels, and the factor from picture to input pixels, which
        `decode` needs.
    """
    from PIL.Image import Resampling

    image = picture.convert("RGB")
    scale = min(width / image.width, height / image.height)
    wide, tall = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    pixels = np.zeros((height, width, 3), np.uint8)
    resized = image if scale == 1 else image.resize((wide, tall), Resampling.BILINEAR)
    pixels[:tall, :wide] = np.asarray(resized)[:height, :width]
    return pixels, scale


def decode(
    outputs: Sequence[NDArray[np.float32]],
    scale: float = 1.0,
    *,
    threshold: float = 0.5,
    overlap: float = 0.3,
) -> list[Face]:
    """Return the faces in the four outputs for one picture, best first.

    Args:
        outputs: heat map, sizes, offsets and landmarks as the model returns them, channels first
            or last, with or without a batch dimension of 1.
        scale: the factor that `prepare` returned.
        threshold: faces with a lower score are left out.
        overlap: of two boxes whose intersection over union is at least this, the better one stays.

    Raises:
        ValueError: the arrays are not the outputs of CenterFace.
    """
    heat, sizes, offsets, points = _channels_first(outputs)
    rows, columns = np.nonzero(heat[0] > threshold)
    scores = heat[0, rows, columns]
    half = np.exp(np.minimum(sizes[:, rows, columns], _MOST_LOG_SIZE)) * (_CELL / 2)
    centre = np.stack([rows, columns]) + offsets[:, rows, columns] + 0.5
    limit = np.array(heat.shape[1:], np.float32)[:, None] * _CELL
    low = np.clip(centre * _CELL - half, 0, limit)
    high = np.minimum(low + 2 * half, limit)
    places = points[:, rows, columns].reshape(5, 2, -1) * (2 * half) + low
    boxes = np.concatenate([low[::-1], high[::-1]]).T / scale
    landmarks = places[:, ::-1].transpose(2, 0, 1) / scale
    return [
        Face(
            (float(boxes[i, 0]), float(boxes[i, 1]), float(boxes[i, 2]), float(boxes[i, 3])),
            float(scores[i]),
            landmarks[i].astype(np.float32),
        )
        for i in _suppress(boxes, scores, overlap)
    ]


def _channels_first(outputs: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return the outputs as ``[channels, rows, columns]`` views."""
    if len(outputs) != len(_CHANNELS):
        raise ValueError(f"CenterFace has {len(_CHANNELS)} outputs, not {len(outputs)}")
    found = []
    for array, channels in zip(outputs, _CHANNELS, strict=True):
        view = array[0] if array.ndim == 4 and array.shape[0] == 1 else array
        if view.ndim == 3 and view.shape[0] != channels and view.shape[2] == channels:
            view = view.transpose(2, 0, 1)
        if view.ndim != 3 or view.shape[0] != channels:
            raise ValueError(
                f"an output of CenterFace has shape {array.shape}, expected {channels} channels"
            )
        found.append(view)
    if len({view.shape[1:] for view in found}) != 1:
        raise ValueError(f"the outputs differ in size: {[view.shape for view in found]}")
    return found


def iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Return intersection over union of two boxes (left, top, right, bottom)."""
    boxes = np.array([one, other], np.float64)
    return float(_overlaps(boxes[0], boxes[1:])[0])


def _overlaps(box: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    union = areas + np.prod(box[2:] - box[:2]) - shared
    shares: NDArray[Any] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return shares


def _suppress(boxes: NDArray[Any], scores: NDArray[Any], overlap: float) -> list[int]:
    """Return the indices of the boxes to keep, best score first."""
    left = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while left.size:
        best, left = int(left[0]), left[1:]
        kept.append(best)
        left = left[_overlaps(boxes[best], boxes[left]) < overlap]
    return kept
