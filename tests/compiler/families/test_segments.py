"""Models of which parts run on the CPU: at the beginning, the middle, the end, and everywhere."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import maccel_aio.sync
from tests.compiler.families.harness import assert_same, check_float, compiled, reference
from tests.compiler.onnx_models import Model

IMAGE = (1, 4, 6, 6)


def _host(m: Model, x: str) -> str:
    """Add a node that only the CPU has."""
    return str(m.add("CumSum", x, m.const(2, np.int64)))


def _conv(m: Model, x: str) -> str:
    return m.conv(x, (4, 4, 1, 1))


def _check(m: Model, kinds: list[str], *outputs: str):
    model, feed = m.build(*outputs), m.feed()
    found = compiled(model)
    assert [s["kind"] for s in found.file.variant["segments"]] == kinds
    assert_same(found.run(feed), reference(model, feed), 1e-4)
    data = m.feed(6)
    eight = compiled(model, calibration=data)
    sample = {name: value[0] for name, value in data.items()}
    for have, want in zip(eight.run(sample), reference(model, sample), strict=True):
        assert have.shape == want.shape
        noise = np.square(have.astype(np.float64) - want).sum()
        assert noise <= 0.01 * np.square(want.astype(np.float64)).sum()
    return found


def test_at_the_beginning():
    m = Model({"x": IMAGE})
    _check(m, ["cpu", "npu"], _conv(m, _host(m, "x")))


def test_at_the_end():
    m = Model({"x": IMAGE})
    _check(m, ["npu", "cpu"], _host(m, _conv(m, "x")))


def test_in_the_middle():
    m = Model({"x": IMAGE})
    _check(m, ["npu", "cpu", "npu"], _conv(m, _host(m, _conv(m, "x"))))


def test_again_and_again():
    m = Model({"x": IMAGE})
    t = "x"
    for _ in range(3):
        t = _host(m, _conv(m, t))
    _check(m, ["npu", "cpu"] * 3, t)


def test_everywhere():
    m = Model({"x": IMAGE})
    found = _check(m, ["cpu"], _host(m, _host(m, "x")))
    assert found.report.npu_share == 1.0  # no multiplications at all
    assert found.report.macs == 0


def test_in_one_of_two_branches():
    m = Model({"x": IMAGE})
    t = _conv(m, "x")
    found = _check(m, ["npu", "cpu", "npu"], m.add("Add", _host(m, t), _conv(m, t)))
    first = found.file.variant["segments"][0]
    assert len(first["outputs"]) == 1  # the other convolution waits, and adds what comes back


def test_in_both_branches_at_once():
    m = Model({"x": IMAGE})
    t = _conv(m, "x")
    out = m.add("Add", _conv(m, _host(m, t)), _conv(m, _host(m, m.add("Relu", t))))
    _check(m, ["npu", "cpu", "npu"], out)


def test_a_value_that_skips_a_segment():
    m = Model({"x": IMAGE})
    early = _conv(m, "x")
    late = _conv(m, _host(m, _conv(m, early)))
    found = _check(m, ["npu", "cpu", "npu"], m.add("Mul", late, early))
    assert set(found.file.variant["tensors"]) >= {
        port["name"] for port in found.file.variant["segments"][1]["inputs"]
    }


def test_outputs_of_every_segment():
    m = Model({"x": IMAGE})
    a = _conv(m, "x")
    b = _host(m, a)
    c = _conv(m, b)
    _check(m, ["npu", "cpu", "npu"], c, a, b)


def test_an_input_that_only_the_last_segment_reads():
    m = Model({"x": IMAGE, "y": IMAGE})
    _check(m, ["npu", "cpu", "npu"], m.add("Add", _host(m, _conv(m, "x")), "y"))


def test_one_tensor_for_the_npu_and_the_cpu():
    m = Model({"x": IMAGE})
    t = m.add("Relu", _conv(m, "x"))
    _check(m, ["npu", "cpu"], _conv(m, t), _host(m, t))


def test_a_condition_with_bodies():
    m = Model({"x": IMAGE})
    t = _conv(m, "x")
    flag = m.add("Greater", m.add("ReduceMax", t, keepdims=0), m.const(100.0))
    bodies = []
    for op in ("Neg", "Exp"):
        out = helper.make_tensor_value_info(f"{op}.out", TensorProto.FLOAT, IMAGE)
        node = helper.make_node(op, [t], [f"{op}.out"])
        bodies.append(helper.make_graph([node], op, [], [out]))
    chosen = m.add("If", flag, then_branch=bodies[0], else_branch=bodies[1])
    _check(m, ["npu", "cpu", "npu"], _conv(m, chosen))


def test_integers_pass_between_segments_of_the_cpu():
    m = Model({"x": (1, 4, 6)})
    t = m.add("MatMul", "x", m.random(6, 6))
    best = m.add("ArgMax", t, axis=2, keepdims=1)
    picked = m.add("GatherElements", t, best, axis=2)
    model, feed = m.build(m.add("Add", picked, m.const(1.0))), m.feed()
    found = compiled(model)
    assert_same(found.run(feed), reference(model, feed))


def test_an_output_of_integers():
    m = Model({"x": (1, 4, 6)})
    t = m.add("ArgMax", m.add("MatMul", "x", m.random(6, 6)), axis=2)
    model = m.build(t)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    feed = m.feed()
    (have,), (want,) = compiled(model).run(feed), reference(model, feed)
    assert have.dtype == want.dtype == np.int64
    np.testing.assert_array_equal(have, want)


def test_an_input_of_integers():
    table = np.random.default_rng(0).normal(size=(10, 8)).astype(np.float32)
    m = Model({})
    t = m.add("Gather", m.const(table), "ids")
    model_out = m.add("MatMul", t, m.random(8, 5))
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, [1, 4])
    out = helper.make_tensor_value_info(model_out, TensorProto.FLOAT, [1, 4, 5])
    graph = helper.make_graph(m.nodes, "g", [ids], [out], m.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    feed = {"ids": np.array([[1, 9, 0, 3]])}
    found = compiled(model, calibration={"ids": np.arange(8).reshape(2, 1, 4)})
    (have,), (want,) = found.run(feed), reference(model, feed)
    np.testing.assert_allclose(have, want, rtol=0.05, atol=0.05 * np.abs(want).max())


def test_half_precision_stays_with_the_cpu():
    m = Model({"x": IMAGE})
    half = m.add("Cast", "x", to=TensorProto.FLOAT16)
    weight = m.const(np.ones((4, 4, 1, 1), np.float16))
    back = m.add("Cast", m.add("Conv", half, weight), to=TensorProto.FLOAT)
    check_float(m, m.add("Relu", back), cpu=["Cast", "Conv", "Cast"])


def test_a_model_function_is_a_node():
    body = [helper.make_node("Neg", ["a"], ["n"]), helper.make_node("Exp", ["n"], ["b"])]
    opsets = [helper.make_opsetid("", 17)]
    function = helper.make_function("own", "Decay", ["a"], ["b"], body, opsets)
    m = Model({"x": IMAGE})
    t = _conv(m, "x")
    model = m.build(m.add("Relu", t))
    model.graph.node[-1].op_type, model.graph.node[-1].domain = "Decay", "own"
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("own", 1))
    feed = m.feed()
    assert_same(compiled(model).run(feed), reference(model, feed))


@pytest.mark.parametrize("size", [1, 3])
def test_segments_through_the_public_interface(tmp_path, size):
    m = Model({"x": IMAGE})
    model = m.build(_conv(m, _host(m, _conv(m, "x"))))
    path = tmp_path / "m.mxq"
    maccel_aio.compile(model, path, precision="float32")
    batch = m.feed(size)["x"][:, 0]
    with maccel_aio.sync.load(path) as loaded:
        (have,) = loaded.infer(batch)
    want = np.concatenate([reference(model, {"x": item[None]})[0] for item in batch])
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-4)


def test_parts_for_the_cpu_are_models_by_themselves():
    m = Model({"x": IMAGE})
    found = compiled(m.build(_conv(m, _host(m, _conv(m, "x")))))
    file = found.file
    (segment,) = [s for s in file.variant["segments"] if s["kind"] == "cpu"]
    part = onnx.load_model_from_string(file.sections[segment["onnx"]])
    onnx.checker.check_model(part)
    assert [v.name for v in part.graph.input] == [p["name"] for p in segment["inputs"]]
    assert [n.op_type for n in part.graph.node] == ["CumSum"]
