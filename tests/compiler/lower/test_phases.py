"""The sub-pixel decomposition equals the scatter form of a transposed convolution."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from maccel_aio.compiler.lower.phases import Phase, phases


def _scatter(x, w, out, stride, dilation, pad):
    full = np.zeros(out + 4 * pad + len(x) * stride + len(w) * dilation + 8)
    for i, value in enumerate(x):
        for k, weight in enumerate(w):
            full[i * stride + k * dilation] += value * weight
    return full[pad : pad + out]


def _convolve(x, w, phase: Phase):
    part = np.concatenate(
        [np.zeros(phase.before), x[phase.start : phase.start + phase.size], np.zeros(phase.after)]
    )
    taps = [w[k] for k in phase.taps] or [0.0]
    span = (len(taps) - 1) * phase.dilation
    count = len(part) - span
    return [sum(t * part[j + n * phase.dilation] for n, t in enumerate(taps)) for j in range(count)]


@given(
    size=st.integers(1, 7),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    pad=st.integers(0, 3),
    extra=st.integers(0, 3),
)
def test_phases_make_every_output_once(size, kernel, stride, dilation, pad, extra):
    out = (size - 1) * stride + (kernel - 1) * dilation + 1 - pad + extra
    if out < 1:
        return
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(size), rng.standard_normal(kernel)
    got = np.full(out, np.nan)
    for phase in phases(size, out, kernel, stride, dilation, pad):
        assert min(phase.before, phase.after, phase.start) >= 0
        assert 1 <= phase.size <= size - phase.start
        bare = phase if phase.taps else phase.without_taps(size)
        target = slice(phase.offset, None, phase.step)
        assert np.isnan(got[target]).all()
        got[target] = _convolve(x, w, bare)
    np.testing.assert_allclose(got, _scatter(x, w, out, stride, dilation, pad), atol=1e-12)
