"""Reads FlatBuffers without generated code: tables, vectors and strings by field number.

Source: the FlatBuffers internals page (google.github.io/flatbuffers): a table begins with the
distance to its vtable, which holds one 16-bit offset a field; 0 means "not there".
"""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Table:
    """One table in a buffer.

    Args:
        data: the whole buffer.
        at: where the table begins.
    """

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    @classmethod
    def root(cls, data: bytes) -> "Table":
        """Return the root table of a buffer."""
        return cls(data, struct.unpack_from("<I", data)[0])

    def _field(self, number: int) -> int:
        """Return where a field lies, 0 if it is not there."""
        vtable = self._at - struct.unpack_from("<i", self._data, self._at)[0]
        (size,) = struct.unpack_from("<H", self._data, vtable)
        slot = 4 + 2 * number
        if slot >= size:
            return 0
        offset = struct.unpack_from("<H", self._data, vtable + slot)[0]
        return self._at + int(offset) if offset else 0

    def _target(self, at: int) -> int:
        return at + int(struct.unpack_from("<I", self._data, at)[0])

    def number(self, field: int, kind: str = "i", default: int = 0) -> int:
        """Return a number of a `struct` kind."""
        at = self._field(field)
        return int(struct.unpack_from(f"<{kind}", self._data, at)[0]) if at else default

    def table(self, field: int) -> "Table | None":
        """Return a table."""
        at = self._field(field)
        return Table(self._data, self._target(at)) if at else None

    def text(self, field: int) -> str:
        """Return a string."""
        at = self._field(field)
        if not at:
            return ""
        start = self._target(at)
        (size,) = struct.unpack_from("<I", self._data, start)
        return self._data[start + 4 : start + 4 + size].decode()

    def array(self, field: int, kind: Any = np.int32) -> NDArray[Any]:
        """Return a vector of numbers, empty if it is not there."""
        at = self._field(field)
        if not at:
            return np.zeros(0, kind)
        start = self._target(at)
        (count,) = struct.unpack_from("<I", self._data, start)
        return np.frombuffer(self._data, kind, count, start + 4)

    def tables(self, field: int) -> Iterator["Table"]:
        """Yield the tables of a vector."""
        at = self._field(field)
        if not at:
            return
        start = self._target(at)
        (count,) = struct.unpack_from("<I", self._data, start)
        for k in range(count):
            yield Table(self._data, self._target(start + 4 + 4 * k))
