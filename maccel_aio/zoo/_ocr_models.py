"""Compiles the three networks of `ocr`, and knows the letters that the last one reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import maccel_aio
from maccel_aio.zoo import _pages, ocr
from maccel_aio.zoo._get import get

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

NAMES = {"ppocr_det": ocr.PAGE, "ppocr_cls": ocr.TURN, "ppocr_rec": ocr.LINE}
"""Model in the zoo -> size of its input."""

_SAMPLES = 16


def compile_ocr(folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Compile what `ocr` needs into a folder, unless it is there; return the paths by name.

    Blocks for a minute the first time; fetches the networks.

    Raises:
        ZooError: a network cannot be fetched.
        FileNotFoundError: there is no such folder.
    """
    paths = {name: Path(folder) / f"{name}.mxq" for name in NAMES}
    for name, path in paths.items():
        if not path.exists():
            maccel_aio.compile(
                get(name),
                path,
                shapes={"x": (1, 3, *NAMES[name])},
                calibration={"x": _values(_pictures(name))},
                preprocess=ocr.PREPROCESS,
                measure=0,
            )
    return paths


def _pictures(name: str) -> NDArray[np.uint8]:
    """Return calibration pictures ``[n, h, w, 3]``, RGB."""
    size = NAMES[name]
    if name == "ppocr_det":
        return np.stack([_pages.page(seed, size) for seed in range(_SAMPLES)])
    turned = name == "ppocr_cls"
    return np.stack(
        [_pages.line(seed, size, turned=turned and seed % 2 == 1) for seed in range(2 * _SAMPLES)]
    )


def _values(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what the networks are fed for RGB pixels: ``[n, 1, 3, h, w]``, blue first."""
    reals = (pixels[..., ::-1].astype(np.float32) - ocr.PREPROCESS["mean"]) / ocr.PREPROCESS["std"]
    return np.ascontiguousarray(reals.transpose(0, 3, 1, 2)[:, None])


def alphabet() -> str:
    """Return the letters that the reading network knows, in the order of its classes.

    Raises:
        ZooError: the network cannot be fetched.
    """
    import onnx

    model = onnx.load(get("ppocr_rec"))
    found = {entry.key: entry.value for entry in model.metadata_props}
    return "".join(found["character"].splitlines())
