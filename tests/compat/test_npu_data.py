"""Tensors that are on the host, or on an accelerator."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maccel_aio.compat import qbruntime
from maccel_aio.compat._shared.status import StatusCode
from tests import kvmodel
from tests.core import mxqtools

pytestmark = pytest.mark.usefixtures("no_leaks")
F32 = np.float32
Int8 = qbruntime.DataType.Int8


def code_of(call: Any) -> StatusCode:
    with pytest.raises(qbruntime.QbRuntimeError) as caught:
        call()
    assert caught.value.reason
    assert caught.value.code is not None
    return caught.value.code


@pytest.fixture
def model(image_path: str, no_leaks: None) -> Any:
    made = qbruntime.load(image_path)
    yield made
    made.dispose()


def test_data_moves_between_host_and_accelerator(model: Any, pixels: Any) -> None:
    data = model.acquire_input_npu_data([4, 5, 3])
    assert (data.shape, data.dtype, len(data)) == ((4, 5, 3), np.dtype(F32), 4)
    assert (data.dev_no, data.hardware_name) == (-1, "")
    data[...] = pixels
    data[0, 0, 0] = 7
    data.launch(model._acc)
    assert (data.dev_no, data.hardware_name) == (0, "aries-rb")
    assert data._array is None
    for access in (lambda: data[0], lambda: data.__setitem__(0, 1)):
        with pytest.raises(ValueError, match=r"^NPUData is not on the CPU; call cpu\(\) first\.$"):
            access()
    data.cpu()
    data.cpu()
    assert data.dev_no == -1
    assert data[0, 0, 0] == 7
    assert np.array_equal(data[1:], pixels[1:])


@pytest.mark.parametrize("upload", [False, True])
def test_a_model_runs_where_the_data_is(model: Any, pixels: Any, upload: bool) -> None:
    data = model.acquire_input_npu_data([4, 5, 3])
    data[...] = pixels
    if upload:
        data.launch(model._acc)
    expected = model.infer(pixels)
    (plus, flat) = model.infer_npu_data([data])
    outputs = [
        model.acquire_output_npu_data([4, 5, 3], 0, upload),
        model.acquire_output_npu_data([1, 3, 4, 5], 1, upload),
    ]
    assert model.infer_npu_data([data], outputs) is None
    for made, wanted in zip([plus, flat, *outputs], [*expected, *expected], strict=True):
        assert made.dev_no == (0 if upload else -1)
        made.cpu()
        assert np.array_equal(made[...].reshape(wanted.shape), wanted)


def test_layouts_are_those_of_the_call(model: Any, pixels: Any) -> None:
    moved = np.moveaxis(pixels, -1, 0)
    data = model.acquire_input_npu_data([3, 4, 5])
    data[...] = moved
    assert np.array_equal(model.infer_npu_data_chw([data])[0][...], moved + 1)
    assert code_of(lambda: model.infer_npu_data([data])) is StatusCode.Model_ShapeMismatched
    batch = model.acquire_input_npu_data([2, 4, 5, 3])
    batch[...] = [pixels, pixels * 2]
    assert np.array_equal(model.infer_npu_data([batch])[0][1], pixels * 2 + 1)


def test_models_hand_data_on(model: Any, image_path: str, pixels: Any) -> None:
    other = qbruntime.Model(image_path)
    other.launch(model._acc)
    data = model.acquire_input_npu_data([4, 5, 3])
    data[...] = pixels
    data.launch(model._acc)
    (plus, _) = model.infer_npu_data([data])
    model.dispose()
    made = other.infer_npu_data([plus])
    assert made is not None
    twice = made[0]
    twice.cpu()
    assert np.array_equal(twice[...], pixels + 2)


def test_quantised_data_is_that_of_the_npu(tmp_path: Path) -> None:
    path = mxqtools.identity(tmp_path / "held.mxq", 6, dtype=mxqtools.U8, scale=0.5, zero=30)
    model = qbruntime.load(str(path))
    handle = model.get_model_variant_handle(0)
    data = handle.acquire_input_npu_data([1, 1, 6], 0, True, Int8)
    codes = np.array([-98, -97, 0, 5, 100, 127], np.int8)
    source = model.acquire_input_npu_data([1, 1, 6], dtype=Int8)
    source[...] = codes
    data.copy_from(source)
    target = handle.acquire_output_npu_data([1, 1, 6], 0, True, Int8)
    model.infer_npu_data([data], [target])
    target.cpu()
    assert target.dtype == np.int8
    assert np.array_equal(target[...].ravel(), codes)
    made = model.infer_npu_data([data])
    assert made is not None
    made[0].cpu()
    assert np.array_equal(made[0][...].ravel(), (codes.astype(F32) + 98) * F32(0.5))


def test_data_of_a_lost_accelerator_is_lost(image_path: str) -> None:
    model = qbruntime.Model(image_path)
    acc = qbruntime.Accelerator(1)
    data = model.acquire_input_npu_data([4, 5, 3])
    kept = model.acquire_input_npu_data([4, 5, 3])
    data.launch(acc)
    del acc
    gc.collect()
    assert (data.dev_no, data.hardware_name) == (-1, "")
    lost = StatusCode.MemoryPool_BufNotFound
    assert code_of(data.cpu) is lost
    assert code_of(lambda: kept.copy_from(data)) is lost
    assert code_of(lambda: data.launch(qbruntime.Accelerator())) is lost
    with pytest.raises(ValueError, match="not on the CPU"):
        data[0]


def test_what_does_not_fit_is_told(model: Any, image_path: str, pixels: Any) -> None:
    data = model.acquire_input_npu_data([4, 5, 3])
    there = model.acquire_input_npu_data([4, 5, 3], upload=True)
    elsewhere = model.acquire_input_npu_data([4, 5, 3])
    other = qbruntime.Accelerator(1)
    elsewhere.launch(other)
    shape, place = StatusCode.Model_ShapeMismatched, StatusCode.Driver_WrongBaseAddress
    kind = StatusCode.Model_DtypeMismatched
    wrong = model.acquire_output_npu_data([4, 5, 3])
    calls: list[tuple[Any, StatusCode]] = [
        (lambda: model.acquire_input_npu_data([4, 5]), shape),
        (lambda: model.acquire_input_npu_data([0, 4, 5, 3]), shape),
        (lambda: model.acquire_input_npu_data([4, 5, 3], 1), shape),
        (lambda: model.acquire_input_npu_data([4, 5, 3], dtype=Int8), kind),
        (lambda: model.acquire_output_npu_data([4, 5, 3], dtype=qbruntime.DataType.Float16), kind),
        (lambda: qbruntime.Model(image_path).acquire_input_npu_data([4, 5, 3], 0, True),
         StatusCode.Model_NotLaunched),
        (lambda: model.infer_npu_data([data, data]), shape),
        (lambda: model.infer_npu_data([data], [wrong]), shape),
        (lambda: model.infer_npu_data([data], [wrong, wrong]), shape),
        (lambda: model.infer_npu_data([there], [data, data]), place),
        (lambda: model.infer_npu_data([elsewhere]), place),
        (lambda: model.infer_npu_data([]), place),
        (lambda: model.infer_npu_data([data], None, 4), StatusCode.Model_NoCache),
        (lambda: data.copy_from(model.acquire_output_npu_data([3, 4, 5], 1)), shape),
    ]  # fmt: skip
    for call, code in calls:
        assert code_of(call) is code
    with pytest.raises(TypeError):
        model.acquire_input_npu_data([4, 5, 3], "a")


def test_tokens_are_data_too(tmp_path: Path) -> None:
    model = qbruntime.load(str(kvmodel.build(tmp_path / "kv.mxq", 4, 1, kvmodel.Weights())))
    x = np.random.default_rng(3).normal(0, 1, (1, 6, kvmodel.HIDDEN)).astype(F32)
    expected = model.infer(x)
    assert expected is not None
    first, last = (model.acquire_input_npu_data([1, n, kvmodel.HIDDEN]) for n in (5, 1))
    first[...], last[...] = x[:, :5], x[:, 5:]
    model.infer_npu_data([first])
    made = model.infer_npu_data([last], None, 5)
    assert made is not None
    assert np.allclose(made[0][...], expected[0][:, 5:], rtol=1e-4, atol=2e-6)
    out = model.acquire_output_npu_data([1, 1, kvmodel.HIDDEN])
    model.infer_npu_data([last], [out], 5)
    assert np.array_equal(out[...], made[0][...])
    wrong = model.acquire_output_npu_data([1, 2, kvmodel.HIDDEN])
    assert code_of(lambda: model.infer_npu_data([last], [wrong], 5)) is (
        StatusCode.Model_ShapeMismatched
    )
