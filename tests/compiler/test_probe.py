"""Shapes of what ONNX's own inference does not know."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import maccel_aio
import maccel_aio.sync
from maccel_aio.compiler.importer import infer
from maccel_aio.compiler.probe import probe_shapes
from tests.compiler.families.harness import compiled, reference

DOMAIN = "com.microsoft"


def _model(op: str, inputs: dict[str, Any], *, attrs: Any = None, behind: str = "") -> Any:
    """`op` of another domain, and maybe an operator of ONNX behind it."""
    nodes = [helper.make_node(op, [*inputs], ["t"], name="odd", domain=DOMAIN, **(attrs or {}))]
    if behind:
        nodes.append(helper.make_node(behind, ["t"], ["y"], name="behind"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info("y" if behind else "t", TensorProto.FLOAT, None)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _shapes(model: Any) -> dict[str, list[Any]]:
    values = (*model.graph.value_info, *model.graph.output)
    return {
        v.name: [d.dim_value or None for d in v.type.tensor_type.shape.dim]
        for v in values
        if v.type.tensor_type.HasField("shape")
    }


def test_what_is_behind_an_operator_of_another_domain_has_a_shape_again():
    model = infer(_model("QuickGelu", {"x": (2, 5)}, behind="Tanh"))
    assert _shapes(model) == {}
    assert _shapes(probe_shapes(model, {}, infer)) == {"t": [2, 5], "y": [2, 5]}


def test_sizes_that_differ_are_variable():
    model = infer(_model("QuickGelu", {"x": (2, "n")}))
    assert _shapes(probe_shapes(model, {"x": (2, -4)}, infer)) == {"t": [2, None]}


def test_a_model_that_does_not_run_stays_as_it_is():
    model = infer(_model("NoSuchOperator", {"x": (2, 5)}))
    assert probe_shapes(model, {}, infer) is model


def test_a_model_without_such_operators_is_not_run():
    model = infer(_model("QuickGelu", {"x": (2, 5)}))
    model.graph.node[0].domain, model.graph.node[0].op_type = "", "Relu"
    model = infer(model)
    assert probe_shapes(model, {}, infer) is model


@pytest.mark.parametrize("behind", ["", "Tanh"])
def test_such_a_model_compiles_and_runs(behind):
    model = _model("QuickGelu", {"x": (2, 5)}, behind=behind)
    found = compiled(model)
    assert found.on_cpu() == ["com.microsoft.QuickGelu"]
    feed = {"x": np.linspace(-2, 2, 10, dtype=np.float32).reshape(2, 5)}
    np.testing.assert_allclose(found.run(feed)[0], reference(model, feed)[0], atol=1e-5)


def test_a_size_that_depends_on_values_is_variable(tmp_path):
    model = _model("Unique", {"x": (6,)}, behind="Tanh")
    model.graph.node[0].output.extend(["places", "counts"])
    assert _shapes(probe_shapes(infer(model), {}, infer))["t"] == [None]
    path = tmp_path / "m.mxq"
    maccel_aio.compile(model, path, precision="float32")
    with maccel_aio.sync.load(path) as loaded:
        for values in ([3, 1, 2, 5, 4, 6], [3, 1, 2, 5, 4, 4]):
            (found,) = loaded.infer(np.asarray(values, np.float32))
            np.testing.assert_allclose(sorted(found), np.tanh(np.unique(values)), atol=1e-5)
