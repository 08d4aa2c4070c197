"""The limits of this machine, measured: what a layer's time is compared with."""

from __future__ import annotations

from typing import NamedTuple

from maccel_aio._core import _binding

#: Where the operating system does not tell the sizes: those of common server cores.
_USUAL_L2_BYTES, _USUAL_L3_BYTES = 1 << 20, 32 << 20


class Peaks(NamedTuple):
    """What one core of this machine can do at most. Operations are two per multiply-accumulate."""

    #: The instruction set level at which it was measured, as ``isa()`` names it.
    isa: str
    #: Operations a second on bytes, summed into 32 bits.
    int8_ops: float
    #: float32 operations a second.
    f32_ops: float
    #: Bytes a second read from the second and third level of the caches, and from memory.
    l2_read: float
    l3_read: float
    dram_read: float
    #: Sizes of the caches, bytes.
    l2_bytes: int
    l3_bytes: int


def measure_peaks() -> Peaks:
    """Measure the limits of one core now: clocks and neighbours change. Blocks for 0.1 to 0.4 s.

    Raises:
        OutOfMemoryError: if there is no room to read from.
    """
    return Peaks(
        isa=_binding.isa()[0],
        int8_ops=_binding.measure_peak(_binding.PEAK_INT8),
        f32_ops=_binding.measure_peak(_binding.PEAK_F32),
        l2_read=_binding.measure_peak(_binding.PEAK_READ_L2),
        l3_read=_binding.measure_peak(_binding.PEAK_READ_L3),
        dram_read=_binding.measure_peak(_binding.PEAK_READ_DRAM),
        l2_bytes=_binding.cache_bytes(2) or _USUAL_L2_BYTES,
        l3_bytes=_binding.cache_bytes(3) or _USUAL_L3_BYTES,
    )
