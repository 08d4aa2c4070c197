"""Models with fused preprocessing: uint8 pixels in, as int8 elements, and through buffers."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.core import mxqtools

pytestmark = pytest.mark.usefixtures("no_leaks")
HOW = {"mean": [120, 110, 100], "std": [60, 50, 55], "channels": "RGB"}
PIXELS = np.arange(60, dtype=np.uint8).reshape(4, 5, 3) * 4
CODES = (PIXELS.astype(np.int16) - 128).astype(np.int8)
SCALE, ZERO = 0.5, 37


def fused(path: Path, out: int) -> str:
    """Pixels [h, w, c] -> (table[pixel] - zero) * scale, where the table is 255 - pixel."""
    program = mxqtools.Program()
    held: dict[str, Any] = {"dtype": mxqtools.U8, "scale": SCALE, "zero": ZERO}
    source = program.tensor(1, 4, 5, 3, **held)
    target = program.tensor(1, 4, 5, 3, **(held if out == mxqtools.U8 else {}))
    program.tables[source] = program.const(np.tile(np.arange(256)[::-1], (3, 1)), np.uint8)
    if out == mxqtools.U8:
        program.copy(source, target)
    else:
        program.conv1x1(source, target, np.eye(3), np.full(3, SCALE))
    values = [
        mxqtools.Value(name, (1, 3, 4, 5), tensor, (0, 2, 3, 1), "NCHW")
        for name, tensor in (("x", source), ("y", target))
    ]
    code, data = program.pack([source], [target])
    ports = [[mxqtools.port(value)] for value in values]
    variant = {
        "inputs": [mxqtools.spec(program, values[0], HOW)],
        "outputs": [mxqtools.spec(program, values[1])],
        "segments": [{"kind": "npu", "name": "npu0", "program": 1, "consts": 2,
                      "inputs": ports[0], "outputs": ports[1]}],
        "tensors": {},
    }  # fmt: skip
    text = json.dumps(mxqtools.manifest([variant], len(program.insns))).encode()
    path.write_bytes(mxqtools.container([(1, text), (2, code), (3, data)]))
    return str(path)


@pytest.fixture(params=[mxqtools.U8, mxqtools.F32], ids=["bytes", "floats"])
def model(request: pytest.FixtureRequest, package: ModuleType, tmp_path: Path) -> Any:
    made = package.load(fused(tmp_path / "fused.mxq", request.param))
    yield made
    made.dispose()


def real(codes: Any, scale: Any) -> Any:
    """Return what int8 elements stand for by the scale that a client reads."""
    return (codes.astype(np.float32) - np.float32(getattr(scale, "zero_point", 0))) * scale[0]


def test_pixels_go_through_the_table(model: Any) -> None:
    expected = (255.0 - PIXELS - ZERO) * SCALE
    for x in (PIXELS, np.ascontiguousarray(np.moveaxis(PIXELS, -1, 0))):
        (made,) = model.infer(x)
        assert made.dtype == np.float32
        assert np.array_equal(made if x is PIXELS else np.moveaxis(made, 0, -1), expected)
        assert np.array_equal(model.infer_async(x).get()[0], made)
    batch = model.infer(np.stack([PIXELS, PIXELS + 1]))[0]
    assert np.array_equal(batch[0], expected)
    assert np.array_equal(batch[1], expected - SCALE)


def test_int8_elements_are_past_the_table(model: Any) -> None:
    (scale,) = model.get_input_scale()
    low, high = -ZERO * SCALE, (255 - ZERO) * SCALE
    expected = np.clip(real(CODES, scale), low, high)
    for x in (CODES, np.ascontiguousarray(np.moveaxis(CODES, -1, 0))):
        (made,) = model.infer_to_float(x)
        shown = made if x is CODES else np.moveaxis(made, 0, -1)
        assert np.abs(shown - expected).max() <= SCALE / 2
        assert np.array_equal(model.infer_async_to_float(x).get()[0], made)


def test_int8_outputs_where_the_npu_has_bytes(model: Any, error: Any) -> None:
    (scale,) = model.get_output_scale()
    (floats,) = model.infer_to_float(CODES)
    if scale[0] == 1.0:
        with pytest.raises(error, match="Model_DtypeMismatched") as caught:
            model.infer(CODES)
        assert "'y' has no int8 form" in caught.value.reason
        return
    (codes,) = model.infer(CODES)
    assert codes.dtype == np.int8
    assert np.abs(real(codes, scale) - floats).max() <= scale[0] / 2
    assert np.array_equal(model.infer_async(CODES).get()[0], codes)


def test_real_values_are_refused(model: Any, error: Any) -> None:
    for call in (model.infer, model.infer_async):
        with pytest.raises(error, match="Model_DtypeMismatched") as caught:
            call(PIXELS.astype(np.float32))
        assert "uint8 pixels" in caught.value.reason
    with pytest.raises(error, match="Model_DtypeMismatched"):
        model.infer_to_float(PIXELS)


def test_buffers_hold_pixels(model: Any, error: Any) -> None:
    ins, outs = model.acquire_input_buffer(), model.acquire_output_buffer()
    assert ins[0].size == PIXELS.size
    for x in (PIXELS, np.moveaxis(PIXELS, -1, 0)):
        model.reposition_inputs([x], ins)
        model.infer_buffer(ins, outs)
        results: list[Any] = []
        model.reposition_outputs(outs, results)
        assert np.array_equal(results[0], model.infer(PIXELS)[0])
    for wrong in (PIXELS.astype(np.float32), CODES):
        with pytest.raises(error, match="Model_DtypeMismatched") as caught:
            model.reposition_inputs([wrong], ins)
        assert "takes uint8" in caught.value.reason
    model.release_buffer(ins + outs)


def test_buffers_hold_batches_of_pixels(model: Any) -> None:
    seqlens = [[5, 5]]
    ins, outs = model.acquire_input_buffer(seqlens), model.acquire_output_buffer(seqlens)
    batch = np.stack([PIXELS, 255 - PIXELS])
    model.reposition_inputs([batch], ins, seqlens)
    model.infer_buffer(ins, outs)
    results: list[Any] = []
    model.reposition_outputs(outs, results, seqlens)
    assert np.array_equal(results[0], model.infer(batch)[0])
    model.release_buffer(ins + outs)
