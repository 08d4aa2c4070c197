"""Submission entries that are described once and used again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maccel_aio._core._binding import IO_BYTES, Handle, ffi, lib

if TYPE_CHECKING:
    from collections.abc import Sequence

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


#: Deadline (CLOCK_MONOTONIC, or 0), priority, and flags.
Options = tuple[int, int, int]
PLAIN: Options = (0, 0, 0)


class Entry:
    """A submission entry whose arrays stay where they are. One thread at a time.

    Args:
        model: native model.
        records: the io records, inputs then outputs.
        batch: items.
        addresses: of the arrays, in the same order.
    """

    __slots__ = ("_accepted", "_io", "_options", "_sqe", "_sqe_bytes")

    def __init__(self, model: Handle, records: bytes, batch: int, addresses: Sequence[int]) -> None:
        assert len(records) == len(addresses) * IO_BYTES
        self._io = ffi.new("maccel_io[]", len(addresses))
        ffi.buffer(self._io)[0 : len(records)] = records
        for index, address in enumerate(addresses):
            self._io[index].data = ffi.cast("void *", address)
        self._accepted = ffi.new("uint32_t *")
        self._sqe = ffi.new("maccel_sqe *")
        self._sqe.model, self._sqe.io = model, self._io
        self._sqe.num_io, self._sqe.batch = len(addresses), batch
        #: As the native entry has them now.
        self._options = PLAIN
        self._sqe_bytes = memoryview(ffi.buffer(self._sqe))

    def submit(self, ring: Handle, user_data: int, options: Options) -> int:
        """Hand the request over; OK, or the status of a refusal. Never blocks.

        Args:
            ring: native ring.
            user_data: of the request.
            options: of this request.
        """
        sqe = self._sqe
        sqe.user_data = user_data
        if options != self._options:
            sqe.deadline_ns, sqe.priority, sqe.flags = self._options = options
        return lib.maccel_ring_submit(ring, sqe, 1, self._accepted)

    def fill(self, target: memoryview, user_data: int) -> None:
        """Write the entry, for a request without options, into a place of a batch."""
        sqe = self._sqe
        sqe.user_data = user_data
        if self._options != PLAIN:
            sqe.deadline_ns, sqe.priority, sqe.flags = self._options = PLAIN
        target[:] = self._sqe_bytes


class Batch:
    """Room for entries that are handed over together. One thread at a time."""

    __slots__ = ("_accepted", "_places", "_sqes")

    def __init__(self) -> None:
        self._accepted = ffi.new("uint32_t *")
        self._sqes = ffi.new("maccel_sqe[]", 1)
        self._places: list[memoryview] = []

    def submit(self, ring: Handle, requests: Sequence[tuple[Entry, int]]) -> tuple[int, int]:
        """Hand requests over, in order, with one call. Never blocks.

        Args:
            ring: native ring.
            requests: entry and user data of each.

        Returns:
            OK or the status of a refusal, and how many were accepted before it.
        """
        count = len(requests)
        if count > len(self._places):
            self._sqes = ffi.new("maccel_sqe[]", count)
            size, data = ffi.sizeof("maccel_sqe"), memoryview(ffi.buffer(self._sqes))
            self._places = [data[k * size : (k + 1) * size] for k in range(count)]
        for (entry, user_data), place in zip(requests, self._places, strict=False):
            entry.fill(place, user_data)
        status = lib.maccel_ring_submit(ring, self._sqes, count, self._accepted)
        return status, int(self._accepted[0])
