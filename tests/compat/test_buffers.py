"""Buffers in the NPU's own form: acquired, filled, run on, read, released."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maccel_aio.compat._shared.status import StatusCode
from tests import kvmodel
from tests.core import mxqtools

pytestmark = pytest.mark.usefixtures("no_leaks")
F32 = np.float32


def through_buffers(model: Any, inputs: list[Any], seqlens: list[list[int]]) -> list[Any]:
    ins, outs = model.acquire_input_buffer(seqlens), model.acquire_output_buffer(seqlens)
    model.reposition_inputs(inputs, ins, seqlens)
    model.infer_buffer(ins, outs)
    results: list[Any] = []
    model.reposition_outputs(outs, results, seqlens)
    model.release_buffer(ins + outs)
    return results


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dtype=st.sampled_from([mxqtools.U8, mxqtools.S8, mxqtools.F32]), zero=st.integers(0, 127),
    scale=st.floats(2**-6, 4, width=32), items=st.integers(1, 3), seed=st.integers(0, 99),
)  # fmt: skip
def test_the_way_through_buffers_gives_the_same(
    tmp_path: Path, package: ModuleType, dtype: int, zero: int, scale: float, items: int, seed: int
) -> None:
    kept = (1.0, 0) if dtype == mxqtools.F32 else (scale, zero)
    path = mxqtools.identity(tmp_path / "held.mxq", 6, dtype=dtype, scale=kept[0], zero=kept[1])
    model = package.load(str(path))
    x = np.random.default_rng(seed).normal(0, 100, (items, 1, 1, 6)).astype(F32)
    given_ = x if items > 1 else x[0]
    expected = model.infer(given_)
    seqlens = [[1] * items] if items > 1 else []
    results = through_buffers(model, [given_], seqlens)
    assert [one.dtype for one in results] == [F32]
    assert np.array_equal(results[0], expected[0])
    model.dispose()


def test_layouts_and_given_arrays_work_too(image: Any, pixels: Any) -> None:
    expected = image.infer(pixels)
    moved = np.moveaxis(pixels, -1, 0)
    for one, wanted in zip(through_buffers(image, [moved], []), expected, strict=True):
        assert np.array_equal(one, wanted)
    outs = image.acquire_output_buffer()
    ins = image.acquire_input_buffer()
    image.reposition_inputs([pixels], ins)
    image.infer_buffer(ins, outs, [[4, 5, 3]])
    given_ = [np.zeros((3, 4, 5), F32), np.zeros((1, 3, 4, 5), F32)]
    kept = list(given_)
    image.reposition_outputs(outs, given_)
    assert all(a is b for a, b in zip(kept, given_, strict=True))
    assert np.array_equal(given_[0], np.moveaxis(expected[0], -1, 0))
    assert np.array_equal(given_[1][0], expected[1])


def test_a_handle_has_buffers_of_its_variant(image: Any, pixels: Any) -> None:
    handle = image.get_model_variant_handle(0)
    ins, outs = handle.acquire_input_buffer(), handle.acquire_output_buffer()
    handle.reposition_inputs([pixels], ins)
    image.infer_buffer(ins, outs)
    results: list[Any] = []
    handle.reposition_outputs(outs, results)
    assert np.array_equal(results[0], pixels + 1)
    handle.release_buffer(ins + outs)


def test_a_buffer_may_bring_memory_of_its_own(tmp_path: Path, package: ModuleType) -> None:
    path = mxqtools.identity(tmp_path / "held.mxq", 6, dtype=mxqtools.S8, scale=0.5)
    model = package.load(str(path))
    codes = np.arange(-6, 6, dtype=np.int8)
    ins, outs = [package.Buffer()], model.acquire_output_buffer([[1, 1]])
    ins[0].set_buffer(codes)
    assert (ins[0].size, outs[0].size) == (12, 12)
    model.infer_buffer(ins, outs)
    taken = [np.zeros((2, 1, 1, 6), np.int8)]
    model.reposition_outputs(outs, taken)
    assert np.array_equal(taken[0].ravel(), codes)


def test_pixels_are_kept_as_they_are(tmp_path: Path, package: ModuleType, error: Any) -> None:
    path = mxqtools.conv(tmp_path / "conv.mxq", np.eye(3), 4, 5)
    model = package.load(str(path))
    x = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    (expected,) = model.infer(x)
    assert np.array_equal(through_buffers(model, [x], [])[0], expected)
    with pytest.raises(error, match="Model_DtypeMismatched"):
        model.reposition_inputs([x.astype(np.complex64)], model.acquire_input_buffer())


def test_what_was_released_is_gone(image: Any, pixels: Any, error: Any) -> None:
    ins, outs = image.acquire_input_buffer(), image.acquire_output_buffer()
    image.release_buffer(ins)
    assert ins[0].size == 0
    for call in (
        lambda: image.release_buffer(ins), lambda: image.reposition_inputs([pixels], ins),
        lambda: image.infer_buffer(ins, outs),
    ):  # fmt: skip
        with pytest.raises(error) as caught:
            call()
        assert caught.value.code is StatusCode.MemoryPool_BufNotFound


def test_what_does_not_fit_is_told(
    image: Any, pixels: Any, error: Any, package: ModuleType
) -> None:
    ins, outs = image.acquire_input_buffer(), image.acquire_output_buffer()
    small = [package.Buffer()]
    small[0].set_buffer(np.zeros(7, np.int8))
    two = image.acquire_input_buffer([[5, 5]])
    size, shape = StatusCode.Model_BufferSizeMismatched, StatusCode.Model_ShapeMismatched
    calls: list[tuple[Any, StatusCode]] = [
        (lambda: image.infer_buffer(ins, outs[:1]), size),
        (lambda: image.infer_buffer(small, outs), size),
        (lambda: image.infer_buffer(two, outs), shape),
        (lambda: image.infer_buffer(ins, outs, [[4, 5]]), shape),
        (lambda: image.infer_buffer(ins, outs, [], 3), StatusCode.Model_NoCache),
        (lambda: image.reposition_inputs([pixels, pixels], ins), size),
        (lambda: image.reposition_inputs([pixels[0]], ins), shape),
        (lambda: image.reposition_inputs([pixels], two), shape),
        (lambda: image.acquire_input_buffer([[4]]), shape),
        (lambda: image.acquire_output_buffer([[5], [5]]), shape),
    ]
    for call, code in calls:
        with pytest.raises(error) as caught:
            call()
        assert caught.value.code is code, caught.value.reason
    assert image.acquire_input_buffer([[]])[0].size == ins[0].size


def test_segments_on_the_cpu_have_float_buffers(segmented_path: str, package: ModuleType) -> None:
    model = package.load(segmented_path)
    x = np.arange(16, dtype=F32).reshape(2, 1, 1, 8)
    assert model.acquire_input_buffer()[0].size == 32
    assert np.array_equal(through_buffers(model, [x], [[1, 1]])[0], (x + 1) * 2 + 10)


def test_a_model_that_is_not_launched_has_buffers_and_runs_none(
    image_path: str, package: ModuleType, error: Any, pixels: Any
) -> None:
    model = package.Model(image_path)
    ins, outs = model.acquire_input_buffer(), model.acquire_output_buffer()
    model.reposition_inputs([pixels], ins)
    with pytest.raises(error, match="Model_NotLaunched"):
        model.infer_buffer(ins, outs)


def test_tokens_go_through_buffers_of_their_number(
    tmp_path: Path, package: ModuleType, error: Any
) -> None:
    weights = kvmodel.Weights()
    model = package.load(str(kvmodel.build(tmp_path / "kv.mxq", 4, 1, weights)))
    x = np.random.default_rng(3).normal(0, 1, (1, 11, kvmodel.HIDDEN)).astype(F32)
    expected = model.infer(x)[0]
    ins, outs = model.acquire_input_buffer([[3, 4]]), model.acquire_output_buffer([[3, 4]])
    for begin, end in ((0, 7), (7, 11)):
        if begin:
            ins, outs = model.acquire_input_buffer(), model.acquire_output_buffer()
        model.reposition_inputs([x[:, begin:end]], ins)
        model.infer_buffer(ins, outs, [], begin)
        results: list[Any] = []
        model.reposition_outputs(outs, results)
        assert np.allclose(results[0], expected[:, begin:end], rtol=1e-4, atol=2e-6)
    wrong: list[list[list[int]]] = [[[0]], [[]], [[3], [3]]]
    for seqlens in wrong:
        with pytest.raises(error, match="Model_ShapeMismatched"):
            model.acquire_input_buffer(seqlens)
    with pytest.raises(error, match="Model_ShapeMismatched"):
        model.infer_buffer(ins, model.acquire_output_buffer([[9]]))
    with pytest.raises(error, match="Model_CacheOverflow"):
        model.infer_buffer(ins, outs, [], 10**6)
