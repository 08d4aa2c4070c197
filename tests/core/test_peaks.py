"""The measured limits: all there, of this machine, and refused when there is no such limit."""

import pytest

import maccel_aio
from maccel_aio._core import _binding


def test_every_limit_is_measured():
    peaks = maccel_aio.measure_peaks()
    assert peaks.isa == maccel_aio.isa()[0]
    rates = (peaks.int8_ops, peaks.f32_ops, peaks.l2_read, peaks.l3_read, peaks.dram_read)
    assert all(1e6 < rate < 1e14 for rate in rates)
    assert 0 < peaks.l2_bytes <= peaks.l3_bytes


def test_the_active_level_counts(monkeypatch):
    monkeypatch.setenv("MACCEL_ISA", "scalar")
    assert maccel_aio.measure_peaks().isa == "scalar"


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(maccel_aio.InvalidError, match="no peak 77"):
        _binding.measure_peak(77)
    assert _binding.cache_bytes(77) == 0
