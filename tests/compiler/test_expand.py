"""Replacing one ONNX node by several."""

import numpy as np
import onnx
import onnxruntime as ort

from maccel_aio.compiler.expand import Parts, expand_nodes
from maccel_aio.compiler.importer import infer
from tests.compiler.onnx_models import Model


def four_times(p: Parts, node: onnx.NodeProto) -> bool:
    """Mish becomes 4 * x, for known shapes of 2 dimensions."""
    (x,) = node.input
    if not p.known(x) or len(p.shapes[x]) != 2:
        return False
    scaled = p.node("Mul", x, p.const(4.0, np.float32))
    p.reshape(scaled, p.shapes[x], node.output[0])
    return True


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"x": x})[0]
    return found


def test_nodes_are_replaced_where_the_expansion_knows_how() -> None:
    made = Model({"x": (3, 4)}, opset=18)
    model = infer(made.build(made.add("Relu", made.add("Mish", made.add("Mish", "x")))))
    result = expand_nodes(model, "Mish", four_times, infer)
    assert [n.op_type for n in result.graph.node] == ["Mul", "Reshape"] * 2 + ["Relu"]
    assert len({n.name for n in result.graph.node}) == 5
    x = np.arange(12, dtype=np.float32).reshape(3, 4) - 5
    np.testing.assert_array_equal(run(result, x), np.maximum(16 * x, 0))
    assert [n.op_type for n in model.graph.node] == ["Mish", "Mish", "Relu"]


def test_other_nodes_and_refused_ones_stay() -> None:
    made = Model({"x": (3, 4, 5)}, opset=18)
    model = infer(made.build(made.add("Mish", "x")))
    assert expand_nodes(model, "Relu", four_times, infer) is model
    result = expand_nodes(model, "Mish", four_times, infer)
    assert [n.op_type for n in result.graph.node] == ["Mish"]


def test_shapes_follow_what_is_made() -> None:
    made = Model({"x": (3, 4)})
    p = Parts(infer(made.build(made.add("Relu", "x"))).graph, "base")
    assert p.known("x")
    assert not p.known("x", "nowhere")
    turned = p.transpose(p.reshape("x", (2, 6)), (1, 0))
    assert p.shapes[turned] == (6, 2)
