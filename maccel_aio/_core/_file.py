"""Reading a model file: mapped, its structure checked in C, its digests checked here.

Everything in this module blocks: the faces run it in worker threads.
"""

from __future__ import annotations

import hashlib
import logging
import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING

from maccel_aio._core import _binding
from maccel_aio._core._manifest import parse_manifest
from maccel_aio.errors import ModelFormatError

if TYPE_CHECKING:
    from maccel_aio._core._manifest import Manifest

logger = logging.getLogger("maccel_aio")

_MAGIC = b"MXQAIO\r\n"
_MANIFEST = 1


class ModelFile:
    """A model file, mapped and checked. Use as a context manager; sections die with it.

    Args:
        path: where it is.

    Raises:
        ModelFormatError: if it is not a sound model file.
        FileNotFoundError, IsADirectoryError, PermissionError: as the system says.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        with Path(self.path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < len(_MAGIC):
                raise ModelFormatError(f"{size} bytes are no model", path=self.path)
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._view = memoryview(self._map)
        try:
            self._read()
        except ModelFormatError as problem:
            self.close()
            raise ModelFormatError(problem.reason, code=problem.code, path=self.path) from problem
        except BaseException:  # the mapping must not outlive a failed constructor
            self.close()
            raise

    def _read(self) -> None:
        magic = bytes(self._view[: len(_MAGIC)])
        if magic != _MAGIC:
            raise ModelFormatError(_describe_magic(magic))
        self._sections = _binding.parse_file(self._view)
        for index, section in enumerate(self._sections):
            if hashlib.sha256(self.section(index)).digest() != section.sha256:
                raise ModelFormatError(f"section {index} is damaged: its sha256 does not match")
        found = [i for i, section in enumerate(self._sections) if section.type == _MANIFEST]
        if len(found) != 1:
            raise ModelFormatError(f"there are {len(found)} manifests instead of one")
        text = bytes(self.section(found[0]))
        self.manifest: Manifest = parse_manifest(text, len(self._sections))

    def section(self, index: int) -> memoryview:
        """Return the bytes of one section, without a copy."""
        section = self._sections[index]
        return self._view[section.offset : section.offset + section.size]

    def close(self) -> None:
        """Unmap the file."""
        try:
            self._view.release()
            self._map.close()
        except BufferError:  # a traceback still holds a section: the last reference unmaps it
            logger.debug("%s stays mapped until its last section is dropped", self.path)

    def __enter__(self) -> ModelFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _describe_magic(magic: bytes) -> str:
    if magic.startswith(_MAGIC[:6]):
        return "damaged by a transfer in text mode: the line ends of the first bytes are altered"
    if magic[:3].upper() == b"MXQ":
        return (
            "an MXQ file of the vendor's compiler, which only the vendor's runtime can read: "
            "compile the ONNX model with maccel_aio.compile()"
        )
    return f"not a model file: it begins with {magic!r}"


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Check a file and return its manifest. Blocks."""
    with ModelFile(path) as file:
        return file.manifest
