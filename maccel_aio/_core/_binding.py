"""The one module that knows the compiled shim: thin, typed calls and nothing else.

Every wrapper turns a negative status into the error that stands for it. Handles are plain cffi
pointers; who owns them is decided one floor up. The calls on a request's way (``submit``, ``reap``)
work on structures that are prepared once and patched in place.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from maccel_aio._maccel_cffi import ffi as ffi
from maccel_aio._maccel_cffi import lib as lib
from maccel_aio.errors import MaccelError, error_from_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from maccel_aio._typing import Array, Buffer

ABI_VERSION = 4
MAX_RANK = 6
MAX_IO = 32

OK = 0
AGAIN = -5
CANCELED = -6
DEADLINE = -7
DEVICE_LOST = -8
CLOSED = -9
FORKED = -10
TIMEOUT = -11
BUSY = -12
NOT_FOUND = -13
ALREADY = -14

COMPUTE_ONLY = 1
HERE = 2
MAX_AFTER = 4

#: maccel_dtype numbers and their names in manifests.
DTYPE_NAMES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "float32", 6: "bfloat16", 7: "int64",
}  # fmt: skip
U8, S8, S32, F32, S64 = 1, 2, 4, 5, 7

#: One native io record: data, dtype, flags, batch_stride, stride[6].
_IO = struct.Struct("=QiIq6q")
#: One native completion: user_data, res, flags, t_submit, t_start, t_done.
_CQE = struct.Struct("=QiIQQQ")
IO_BYTES = _IO.size

if lib.maccel_abi_version() != ABI_VERSION:
    raise ImportError(
        f"the compiled shim speaks version {lib.maccel_abi_version()} of its interface, "
        f"this package version {ABI_VERSION}: install both again, together"
    )
if ffi.sizeof("maccel_io") != _IO.size or ffi.sizeof("maccel_cqe") != _CQE.size:
    raise ImportError("the compiled shim was built for another platform")

Handle = Any  # a cffi pointer


class DeviceInfo(NamedTuple):
    """What a device says of itself."""

    name: str
    kind: str
    number: int
    clusters: int
    local_cores: int
    global_cores: int
    workers: int
    pid: int


class Section(NamedTuple):
    """One entry of a model file's section table."""

    type: int
    offset: int
    size: int
    sha256: bytes


class ProgramInfo(NamedTuple):
    """Size of one loaded program."""

    num_inputs: int
    num_outputs: int
    num_insns: int
    num_layers: int
    arena_bytes: int
    packed_bytes: int
    macs: int


class DeviceTensor(NamedTuple):
    """One input or output of a loaded program, in physical order."""

    dtype: str
    dims: tuple[int, ...]
    scale: float
    zero_point: int


class ProfileRow(NamedTuple):
    """Summed time of one layer."""

    layer: int
    op: int
    calls: int
    total_ns: int
    macs: int
    bytes_read: int
    bytes_written: int


class Completion(NamedTuple):
    """One entry of a completion queue."""

    user_data: int
    res: int
    flags: int
    t_submit: int
    t_start: int
    t_done: int


def _text(pointer: Handle) -> str:
    data: bytes = ffi.string(pointer)
    return data.decode("utf-8", "replace")


def status_text(status: int) -> str:
    """Return the sentence that stands for a status."""
    return _text(lib.maccel_status_text(status))


def error(status: int) -> MaccelError:
    """Build the error of the call that just failed in this thread."""
    return error_from_status(status, _text(lib.maccel_last_error()) or status_text(status))


def check(status: int) -> None:
    """Raise the error of a call in this thread, if its status is one."""
    if status < 0:
        raise error(status)


# ---- processor


def isa() -> tuple[str, str]:
    """Return (active, detected) instruction set levels."""
    return _text(lib.maccel_isa_active()), _text(lib.maccel_isa_detected())


def cpu_count() -> int:
    """Return the number of CPUs that this process may use."""
    return int(lib.maccel_cpu_count())


#: Numbers of maccel_peak.
PEAK_INT8, PEAK_F32, PEAK_READ_L2, PEAK_READ_L3, PEAK_READ_DRAM = range(5)


def measure_peak(peak: int) -> float:
    """Return operations, or bytes, that one core does a second at most. Blocks for a moment."""
    out = ffi.new("double *")
    check(lib.maccel_measure_peak(peak, out))
    return float(out[0])


def cache_bytes(level: int) -> int:
    """Return the size of the data cache of a level; 0 when none is known."""
    return int(lib.maccel_cache_bytes(level))


# ---- files


def parse_file(data: Buffer) -> list[Section]:
    """Parse the section table of a whole file.

    Raises:
        ModelFormatError: if header or table are malformed.
    """
    count = ffi.new("uint32_t *")
    # Released here: a buffer that a traceback kept would hold the mapping, and the collector of
    # CPython before 3.11.8 crashes on a view with buffers in a reference cycle.
    with ffi.from_buffer(data) as base:
        check(lib.maccel_file_parse(base, len(base), ffi.NULL, 0, count))
        table = ffi.new("maccel_section[]", max(count[0], 1))
        check(lib.maccel_file_parse(base, len(base), table, count[0], count))
    return [
        Section(entry.type, entry.offset, entry.size, bytes(entry.sha256))
        for entry in table[0 : count[0]]
    ]


# ---- devices


def open_device(name: str) -> Handle:
    """Open a device by its native name. Blocks for as long as starting it takes."""
    out = ffi.new("maccel_device **")
    check(lib.maccel_device_open(name.encode(), out))
    return out[0]


def close_device(device: Handle, timeout_ns: int) -> bool:
    """Stop a device and join its workers; False when something still ran at the bound. Blocks."""
    status = lib.maccel_device_close(device, timeout_ns)
    if status == TIMEOUT:
        return False
    check(status)
    return True


def free_device(device: Handle) -> None:
    """Free a device after close_device() returned True and its models and rings are gone."""
    lib.maccel_device_free(device)


def device_info(device: Handle) -> DeviceInfo:
    """Return what a device says of itself."""
    out = ffi.new("maccel_device_info *")
    check(lib.maccel_device_get_info(device, out))
    return DeviceInfo(
        _text(out.name), _text(out.kind), out.index, out.clusters, out.local_cores,
        out.global_cores, out.workers, out.pid,
    )  # fmt: skip


def device_stats(device: Handle) -> tuple[int, ...]:
    """Return the counters of a device in the order of the native structure."""
    out = ffi.new("maccel_device_stats *")
    check(lib.maccel_device_get_stats(device, out))
    names = (
        "submitted", "completed", "canceled", "expired", "failed", "abandoned", "queued",
        "running", "busy_ns", "open_ns", "overflow", "stale", "buffer_bytes", "lost",
    )  # fmt: skip
    return tuple(getattr(out, name) for name in names)


# ---- models


def load_model(device: Handle, program: Buffer, consts: Buffer, options: tuple[int, ...]) -> Handle:
    """Verify, pack and place one program. Blocks; both buffers may go afterwards.

    Args:
        device: where to.
        program: buffer of the PROGRAM section.
        consts: buffer of the CONSTS section.
        options: the fields of maccel_model_options, in order.
    """
    chosen = ffi.new("maccel_model_options *", options)
    out = ffi.new("maccel_model **")
    with ffi.from_buffer(program) as code, ffi.from_buffer(consts) as data:
        check(lib.maccel_model_load(device, code, len(code), data, len(data), chosen, out))
    return out[0]


def unload_model(model: Handle) -> bool:
    """Take a program off its device; False while a request uses it."""
    status = lib.maccel_model_unload(model)
    if status == BUSY:
        return False
    check(status)
    return True


def model_info(model: Handle) -> ProgramInfo:
    """Return the size of a loaded program."""
    out = ffi.new("maccel_model_info *")
    check(lib.maccel_model_get_info(model, out))
    return ProgramInfo(
        out.num_inputs, out.num_outputs, out.num_insns, out.num_layers, out.arena_bytes,
        out.packed_bytes, out.macs,
    )  # fmt: skip


def model_tensor(model: Handle, is_output: bool, index: int) -> DeviceTensor:
    """Return one input or output of a loaded program."""
    out = ffi.new("maccel_tensor_info *")
    check(lib.maccel_model_get_tensor(model, int(is_output), index, out))
    dims = tuple(out.dims[i] for i in range(out.rank))
    return DeviceTensor(DTYPE_NAMES.get(out.dtype, "?"), dims, out.scale, out.zero_point)


def set_profile(model: Handle, on: bool) -> None:
    """Switch per-layer times on (from zero) or off."""
    check(lib.maccel_model_set_profile(model, int(on)))


def get_profile(model: Handle) -> list[ProfileRow]:
    """Return the per-layer times since they were switched on."""
    cap = max(model_info(model).num_layers, model_info(model).num_insns, 1)
    out = ffi.new("maccel_layer_time[]", cap)
    count = ffi.new("uint32_t *")
    check(lib.maccel_model_get_profile(model, out, cap, count))
    rows = out[0 : min(count[0], cap)]
    return [
        ProfileRow(
            row.layer, row.op, row.calls, row.total_ns, row.macs, row.bytes_read, row.bytes_written
        )
        for row in rows
    ]


# ---- requests


def pack_io(dtype: int, batch_stride: int, strides: tuple[int, ...]) -> bytes:
    """Return one io record without its address."""
    return _IO.pack(0, dtype, 0, batch_stride, *strides, *(0,) * (MAX_RANK - len(strides)))


def address(array: Array) -> int:
    """Return the address of the first element, whatever the strides."""
    where: int = array.__array_interface__["data"][0]
    return where


class Request:
    """One reusable submission entry with room for its io records. One thread at a time."""

    __slots__ = ("_accepted", "_io", "_io_bytes", "_sqe")

    def __init__(self) -> None:
        self._sqe = ffi.new("maccel_sqe *")
        self._io = ffi.new("maccel_io[]", 2)
        self._io_bytes = memoryview(ffi.buffer(self._io))
        self._accepted = ffi.new("uint32_t *")

    def describe(self, model: Handle, records: bytes, num_io: int, batch: int, flags: int) -> None:
        """Set everything that the next requests of the same form have in common."""
        if len(records) > len(self._io_bytes):
            self._io = ffi.new("maccel_io[]", num_io)
            self._io_bytes = memoryview(ffi.buffer(self._io))
        self._io_bytes[: len(records)] = records
        sqe = self._sqe
        sqe.model, sqe.io = model, self._io
        sqe.num_io, sqe.batch, sqe.flags = num_io, batch, flags

    def point(self, index: int, array: Array, contiguous: bool) -> None:
        """Set the address of one array. The caller keeps the array until the completion."""
        if contiguous:
            self._io[index].data = ffi.from_buffer(array)
        else:
            self._io[index].data = ffi.cast("void *", address(array))

    def submit(
        self,
        ring: Handle,
        user_data: int,
        deadline_ns: int,
        priority: int,
        after: Sequence[int] = (),
    ) -> int:
        """Hand the request over; OK, AGAIN, or another status. Never blocks.

        Args:
            ring: native ring.
            user_data: of the request.
            deadline_ns: CLOCK_MONOTONIC, or 0.
            priority: higher first.
            after: user data of at most MAX_AFTER requests that must complete first.
        """
        sqe = self._sqe
        if after or sqe.num_after:
            sqe.num_after = len(after)
            sqe.after[0 : len(after)] = after
        sqe.user_data = user_data
        sqe.deadline_ns = deadline_ns
        sqe.priority = priority
        return lib.maccel_ring_submit(ring, sqe, 1, self._accepted)


class Reaper:
    """Room for the completions of one wake-up. One thread at a time."""

    __slots__ = ("_armed", "_bytes", "cqes", "room")

    def __init__(self, room: int) -> None:
        self.room = room
        self.cqes = ffi.new("maccel_cqe[]", room)
        self._bytes = memoryview(ffi.buffer(self.cqes))
        self._armed = ffi.new("int32_t *")

    def reap(self, ring: Handle) -> tuple[Iterator[tuple[int, int, int, int, int, int]], bool]:
        """Take what is there and arm the notification.

        Returns:
            The completions, each as the fields of Completion, and whether it is safe to sleep.
        """
        count = lib.maccel_ring_reap(ring, self.cqes, self.room, self._armed)
        return _CQE.iter_unpack(self._bytes[: max(count, 0) * _CQE.size]), bool(self._armed[0])

    def carried(self, count: int) -> Iterator[tuple[int, int, int, int, int, int]]:
        """Return the completions that ``Form.carry`` took."""
        return _CQE.iter_unpack(self._bytes[: count * _CQE.size])

    def harvest(self, ring: Handle) -> Iterator[tuple[int, int, int, int, int, int]]:
        """Take what is there without arming: for those who wait in C."""
        count = lib.maccel_ring_harvest(ring, self.cqes, self.room)
        return _CQE.iter_unpack(self._bytes[: max(count, 0) * _CQE.size])


def open_ring(device: Handle, ring_credits: int) -> Handle:
    """Open a pair of queues."""
    out = ffi.new("maccel_ring **")
    check(lib.maccel_ring_open(device, ring_credits, out))
    return out[0]


def cancel(ring: Handle, user_data: int) -> int:
    """Try to remove a request: OK, ALREADY or NOT_FOUND."""
    return lib.maccel_ring_cancel(ring, user_data)


def notify(ring: Handle) -> None:
    """Make the ring readable now."""
    lib.maccel_ring_notify(ring)


def wait(ring: Handle, timeout_ns: int) -> bool:
    """Block until a completion is there; False when the time ran out first."""
    return lib.maccel_ring_wait(ring, 1, timeout_ns) == OK


def ring_fd(ring: Handle) -> int:
    """Return the descriptor to poll for reading; owned by the ring."""
    return lib.maccel_ring_fd(ring)


def in_flight(ring: Handle) -> int:
    """Return how many requests are accepted and not harvested."""
    return lib.maccel_ring_in_flight(ring)


def close_ring(ring: Handle, timeout_ns: int) -> bool:
    """Stop admission and cancel what is queued; False when something still runs at the bound."""
    return lib.maccel_ring_close(ring, timeout_ns) != TIMEOUT


def free_ring(ring: Handle) -> None:
    """Free a ring, now or when its last request is done; its descriptor is closed now."""
    lib.maccel_ring_free(ring)
