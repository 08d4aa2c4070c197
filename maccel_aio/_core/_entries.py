"""Submission entries that are described once and used again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maccel_aio._core._binding import Handle, ffi, lib

if TYPE_CHECKING:
    from maccel_aio._core._binding import Reaper
    from maccel_aio._typing import Array

#: carry() returns so much, plus nanoseconds, when the request's own completion came alone.
CARRIED = 0x40000000
#: Address of a contiguous array, for ``carry``: much faster than a method call around it.
place = ffi.from_buffer


class Form:
    """A submission entry for requests of one input and one output, used again and again.

    Args:
        model: native model.
        records: the two io records.
        batch: items.
        flags: of the requests.
    """

    __slots__ = ("_io", "_sqe", "handle")

    def __init__(self, model: Handle, records: bytes, batch: int, flags: int) -> None:
        self.handle = model
        self._io = ffi.new("maccel_io[]", 2)
        ffi.buffer(self._io)[0 : len(records)] = records
        self._sqe = ffi.new("maccel_sqe *")
        self._sqe.model, self._sqe.io = model, self._io
        self._sqe.num_io, self._sqe.batch, self._sqe.flags = 2, batch, flags

    def carry(
        self, ring: Handle, user_data: int, array: Array, output: Array, reaper: Reaper
    ) -> int:
        """Hand a request over and look out for a moment whether it completes.

        Args:
            ring: native ring.
            user_data: of the request.
            array: the input, contiguous; the caller keeps it until the completion.
            output: the output, likewise.
            reaper: takes the completions.

        Returns:
            How many completions were taken; or CARRIED plus the nanoseconds since it was done, if
            its own came alone and is OK; or the status of a refusal.
        """
        return lib.maccel_ring_carry(
            ring, self._sqe, user_data, place(array), place(output), reaper.cqes, reaper.room
        )
