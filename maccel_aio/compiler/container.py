"""Writes the ``.mxq`` container: header, section table with digests, aligned sections."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler import isa
from maccel_aio.compiler.planner import align
from maccel_aio.errors import CompileError

if TYPE_CHECKING:
    from collections.abc import Sequence


def pack(sections: Sequence[tuple[isa.Section, bytes]]) -> bytes:
    """Return a whole file; equal sections give equal bytes.

    Raises:
        CompileError: there are too many sections.
    """
    if len(sections) > isa.MAX_SECTIONS:
        raise CompileError(f"{len(sections)} sections, {isa.MAX_SECTIONS} is the limit")
    table = np.zeros(len(sections), isa.SECTION)
    offset = align(isa.FILE_HEADER.itemsize + table.nbytes)
    parts: list[bytes] = []
    for entry, (kind, data) in zip(table, sections, strict=True):
        entry["type"], entry["offset"], entry["size"] = kind, offset, len(data)
        entry["sha256"] = np.void(hashlib.sha256(data).digest())
        padding = align(len(data)) - len(data)
        parts += [data, bytes(padding)]
        offset += len(data) + padding
    header = np.zeros((), isa.FILE_HEADER)
    header["magic"], header["version"] = isa.MAGIC, isa.VERSION
    header["section_count"], header["section_bytes"] = len(sections), isa.SECTION.itemsize
    header["file_bytes"], header["table_offset"] = offset, isa.FILE_HEADER.itemsize
    head = header.tobytes() + table.tobytes()
    return b"".join([head, bytes(align(len(head)) - len(head)), *parts])


def unpack(data: bytes) -> list[tuple[isa.Section, bytes]]:
    """Return the sections of a file that `pack` made."""
    header = np.frombuffer(data, isa.FILE_HEADER, 1)[0]
    offset, count = int(header["table_offset"]), int(header["section_count"])
    table = np.frombuffer(data, isa.SECTION, count, offset)
    return [
        (isa.Section(int(e["type"])), data[int(e["offset"]) : int(e["offset"]) + int(e["size"])])
        for e in table
    ]


def check_target(path: str | os.PathLike[str]) -> Path:
    """Return `path` as a path that `write` can write: asked before the long work, not after it.

    Raises:
        FileNotFoundError: the folder is missing.
        IsADirectoryError: there is a folder of this name.
        FileExistsError: there is something else that is no plain file, such as a device.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if target.exists() and not target.is_file():
        raise FileExistsError(errno.EEXIST, "there already, and no plain file", str(target))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the folder does not exist", str(target))
    return target


def write(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write `data` to `path`, at once or not at all.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    target = check_target(path)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target
