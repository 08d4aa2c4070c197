"""Keeps what calibration runs found, so that compiling the same again need not run them again.

A run depends on the float model, the samples, what is asked about its tensors, and the versions of
this library and of onnxruntime, which runs the model: the key is the digest of all of them, and a
run that was kept gives the same bits as one that is made.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from maccel_aio.compiler.calibration import TensorStats

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    import onnx

    from maccel_aio.compiler.calibration import Feed

_log = logging.getLogger("maccel_aio.compiler")

_FORMAT = "1"
"""Part of every key: raised when what is kept, or what it means, changes."""

_KEPT = 16
"""Runs in a folder; the ones that were used longest ago go first."""

_PARTS = ("minimum", "maximum", "mean", "rows")


def default_folder() -> Path:
    """Return ``calibration`` in ``$MACCEL_HOME``, else in ``$XDG_CACHE_HOME/maccel_aio``."""
    home = os.environ.get("MACCEL_HOME")
    if home:
        return Path(home) / "calibration"
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "maccel_aio" / "calibration"


def run_key(
    model: onnx.ModelProto,
    samples: Iterable[Feed],
    tensors: Iterable[str],
    axes: Mapping[str, int],
    rows: Collection[str],
) -> str:
    """Return the name of a run: of versions, model, bytes of all samples, and what is asked."""
    import maccel_aio

    versions = (_FORMAT, maccel_aio.__version__, ort.__version__)
    digest = hashlib.sha256(repr(versions).encode())
    digest.update(model.SerializeToString(deterministic=True))
    digest.update(repr((list(tensors), sorted(axes.items()), sorted(rows))).encode())
    for sample in samples:
        for name in sorted(sample):
            array = np.ascontiguousarray(sample[name])
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(repr(array.tolist()).encode() if array.dtype == object else array.data)
    return digest.hexdigest()


def load(folder: Path, key: str) -> dict[str, TensorStats] | None:
    """Return a run that was kept, None if there is none or it cannot be read."""
    path = folder / f"{key}.npz"
    try:
        # numpy leaves a file open that it cannot read.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            names, axes = kept["names"], kept["axes"]
            found = {
                str(name): TensorStats(int(axis), *(list(kept[f"{part}{k}"]) for part in _PARTS))
                for k, (name, axis) in enumerate(zip(names, axes, strict=True))
            }
        path.touch()
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        _log.warning("a kept calibration run cannot be read and is made again: %s", error)
        return None
    return found


def store(folder: Path, key: str, stats: Mapping[str, TensorStats]) -> None:
    """Keep a run, at once or not at all; a full or read-only disk is only a warning."""
    arrays: dict[str, Any] = {
        "names": np.array(list(stats), np.str_),
        "axes": np.array([one.axis for one in stats.values()], np.int64),
    }
    for k, one in enumerate(stats.values()):
        for part in _PARTS:
            values = getattr(one, part)
            if len({value.shape for value in values}) > 1:
                return  # sizes that depend on the data: not worth a format of their own
            arrays[f"{part}{k}"] = np.array(values, np.float32)
    try:
        _write(folder, key, arrays)
        _forget(folder)
    except OSError as error:
        _log.warning("the calibration run cannot be kept: %s", error)


def _write(folder: Path, key: str, arrays: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".run.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        Path(name).replace(folder / f"{key}.npz")
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _forget(folder: Path) -> None:
    """Remove the runs beyond `_KEPT`; others may do the same at the same time."""
    dated = []
    for path in folder.glob("*.npz"):
        try:
            dated.append((path.stat().st_mtime_ns, path.name))
        except FileNotFoundError:
            continue
    for _, name in sorted(dated)[:-_KEPT]:
        (folder / name).unlink(missing_ok=True)
