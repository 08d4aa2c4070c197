"""Recurrent layers against onnxruntime."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from maccel_aio import compiler, sync
from maccel_aio.compiler.state import StateOptions
from tests.compiler.cases import recurrent_layer
from tests.compiler.device import File
from tests.compiler.onnx_models import Model
from tests.compiler.operators import check_float, check_int8, family


@pytest.mark.parametrize("name", family("recurrent"))
def test_float_programs_compute_what_onnxruntime_computes(name: str, tmp_path: Path) -> None:
    check_float(name, tmp_path)


@pytest.mark.parametrize("name", family("recurrent"))
def test_int8_programs_are_near_onnxruntime(name: str, tmp_path: Path) -> None:
    check_int8(name, tmp_path)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_batch_first_is_the_same_with_two_dimensions_exchanged(op: str, tmp_path: Path) -> None:
    shapes: dict[str, tuple[int, ...]] = {"x": (3, 5, 7), "h": (3, 2, 9)}
    shapes |= {"c": (3, 2, 9)} if op == "LSTM" else {}
    first, usual = Model(shapes), Model({n: (s[1], s[0], s[2]) for n, s in shapes.items()})
    names = recurrent_layer(first, op, states=True, direction="bidirectional", layout=1)
    model = first.build(*names)
    wanted = usual.build(*recurrent_layer(usual, op, states=True, direction="bidirectional"))
    report = compiler.compile(model, tmp_path / "m.mxq", precision="float32", simplify=False)
    assert all(layer.where == "npu" for layer in report.layers)
    feed = first.feed()
    got = File((tmp_path / "m.mxq").read_bytes()).run(feed)
    session = ort.InferenceSession(wanted.SerializeToString(), providers=["CPUExecutionProvider"])
    turned = {name: value.swapaxes(0, 1).copy() for name, value in feed.items()}
    for k, (want, have) in enumerate(zip(session.run(None, turned), got, strict=True)):
        # [T, D, B, H] -> [B, T, D, H]; states [D, B, H] -> [B, D, H]
        moved = want.transpose((2, 0, 1, 3)) if k == 0 else want.swapaxes(0, 1)
        np.testing.assert_allclose(have, moved, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_bfloat16_weights_are_rounded_and_nothing_else_is(op: str, tmp_path: Path) -> None:
    made = Model({"x": (6, 2, 7)})
    model = made.build(*recurrent_layer(made, op))
    for weight in model.graph.initializer:
        if len(weight.dims) == 3:  # weights that bfloat16 holds: rounding them changes nothing
            bits = np.frombuffer(weight.raw_data, np.uint32) & 0xFFFF0000
            weight.raw_data = bits.astype(np.uint32).tobytes()
    feed = made.feed()
    results = []
    for precision in ("float32", "bfloat16"):
        compiler.compile(model, tmp_path / "m.mxq", precision=precision)
        results.append(File((tmp_path / "m.mxq").read_bytes()).run(feed))
    for wide, narrow in zip(*results, strict=True):
        np.testing.assert_array_equal(wide, narrow)


def test_bfloat16_halves_the_weights_of_the_layer(tmp_path: Path) -> None:
    made = Model({"x": (6, 2, 7)})
    model = made.build(*recurrent_layer(made, "LSTM", bias=False))
    wide, narrow = (
        compiler.compile(model, tmp_path / "m.mxq", precision=precision).layers[0]
        for precision in ("float32", "bfloat16")
    )
    assert (wide.precision, narrow.precision) == ("float32", "bfloat16")
    biases = 4 * 9 * 4
    assert wide.weight_bytes - biases == 2 * (narrow.weight_bytes - biases)
    assert wide.macs == 6 * 2 * 4 * 9 * (7 + 9)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_steps_with_kept_state_are_the_whole_sequence(op: str, tmp_path: Path) -> None:
    kept = {"h": (1, 1, 9)} | ({"c": (1, 1, 9)} if op == "LSTM" else {})
    step, whole = Model({"x": (1, 1, 7), **kept}), Model({"x": (12, 1, 7)})
    outputs = recurrent_layer(step, op, states=True)
    (name, *last) = recurrent_layer(whole, op)
    wanted = whole.build(name, *last)
    state = StateOptions(dict(zip(kept, outputs[1:], strict=True)))
    path = tmp_path / "m.mxq"
    compiler.compile(step.build(*outputs), path, precision="float32", state=state)
    feed = whole.feed()
    session = ort.InferenceSession(wanted.SerializeToString(), providers=["CPUExecutionProvider"])
    (want, *_) = session.run(None, feed)
    with sync.Accelerator("soft:0") as device, sync.load(path, accelerator=device) as model:
        rows = [np.array(model.infer([row[None]])[0]).reshape(1, 9) for row in feed["x"]]
    np.testing.assert_allclose(np.stack(rows)[:, None], want, rtol=1e-4, atol=2e-5)
