"""Reading models: shapes, old and odd files, and what is refused."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from maccel_aio.compiler.importer import import_model
from maccel_aio.errors import CompileError
from tests.compiler.onnx_models import Model


def _conv_model(shape, opset=17) -> onnx.ModelProto:
    m = Model({"x": (1, 3, 8, 8)}, opset)
    model = m.build(m.add("Relu", m.conv("x", (4, 3, 3, 3))))
    dims = model.graph.input[0].type.tensor_type.shape
    del dims.dim[:]
    for size in shape:
        dim = dims.dim.add()
        if isinstance(size, int):
            dim.dim_value = size
        else:
            dim.dim_param = size
    return model


def test_a_symbolic_batch_becomes_one():
    graph = import_model(_conv_model(("n", 3, 8, 8)))
    assert graph.tensors["x"].shape == (1, 3, 8, 8)
    assert graph.symbolic_batch == {"x"}
    assert graph.tensors[graph.outputs[0]].shape == (1, 4, 6, 6)


def test_other_symbols_must_be_given():
    with pytest.raises(CompileError, match=r"nx3xhxw.*x=1x3x224x224"):
        import_model(_conv_model(("n", 3, "h", "w")))
    graph = import_model(_conv_model(("n", 3, "h", "w")), shapes={"x": (2, 3, 9, 7)})
    assert graph.tensors[graph.outputs[0]].shape == (2, 4, 7, 5)
    assert not graph.symbolic_batch


def test_a_given_shape_wins_over_what_the_file_says_anywhere():
    model = _conv_model((10, 3, 32, 32))
    model.graph.value_info.append(
        helper.make_tensor_value_info(model.graph.node[0].output[0], 1, (10, 4, 30, 30))
    )
    graph = import_model(model, shapes={"x": (1, 3, 20, 24)})
    assert graph.tensors[graph.outputs[0]].shape == (1, 4, 18, 22)
    assert all(t.dims[0] == 1 for t in graph.tensors.values() if t.const is None)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"y": (1, 3, 8, 8)}, "the model's inputs are"),
        ({"x": (1, 3, 8)}, "4 dimensions"),
        ({"x": (1, 3, 0, 8)}, "must be positive"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes, message):
    with pytest.raises(CompileError, match=message):
        import_model(_conv_model((1, 3, 8, 8)), shapes=shapes)


def test_the_same_symbol_has_the_same_size_everywhere():
    m = Model({"a": (1, 5), "b": (1, 5)})
    model = m.build(m.add("Add", "a", "b"))
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[1].dim_param = "length"
    graph = import_model(model, shapes={"a": (1, 7)})
    assert graph.tensors["b"].shape == (1, 7)


def test_weights_listed_as_inputs_are_no_inputs():
    model = _conv_model((1, 3, 8, 8))
    model.ir_version = 3
    for weight in model.graph.initializer:
        value = helper.make_tensor_value_info(weight.name, TensorProto.FLOAT, list(weight.dims))
        model.graph.input.append(value)
    assert import_model(model).inputs == ["x"]


def test_the_model_given_is_not_changed():
    model = _conv_model(("n", 3, 8, 8))
    before = model.SerializeToString(deterministic=True)
    import_model(model)
    assert model.SerializeToString(deterministic=True) == before


def test_what_is_no_model_is_refused(tmp_path):
    path = tmp_path / "no.onnx"
    path.write_bytes(b"\x00garbage\xff" * 10)
    with pytest.raises(CompileError, match=r"no\.onnx"):
        import_model(path)
    with pytest.raises(FileNotFoundError):
        import_model(tmp_path / "missing.onnx")
    with pytest.raises(CompileError, match="no nodes"):
        import_model(onnx.ModelProto())


def test_a_path_gives_the_name_and_the_digest(tmp_path):
    path = tmp_path / "small.onnx"
    onnx.save(_conv_model((1, 3, 8, 8)), path)
    graph = import_model(path)
    assert graph.name == "small"
    assert len(graph.source_sha256) == 64
    assert import_model(path.read_bytes(), name="x").source_sha256 == graph.source_sha256


def test_a_failing_simplifier_is_no_error(monkeypatch, caplog):
    import onnxslim

    def fail(_model):
        raise RuntimeError("internal")

    monkeypatch.setattr(onnxslim, "slim", fail)
    graph = import_model(_conv_model((1, 3, 8, 8)))
    assert [node.op for node in graph.nodes] == ["Conv", "Relu"]
    assert "onnxslim failed" in caplog.text


def test_names_that_subgraphs_read_are_inputs_of_the_node():
    inner = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "then",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (2,))],
    )
    node = helper.make_node("If", ["flag"], ["z"], then_branch=inner, else_branch=inner)
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info("flag", TensorProto.BOOL, (1,)),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, (2,)),
        ],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, (2,))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    found = import_model(model, simplify=False)
    assert found.nodes[0].inputs == ["flag", "x"]
    assert found.tensors["flag"].dtype == np.bool_


def test_shapes_that_simplification_gets_wrong_are_inferred_again():
    """onnxslim takes an empty list of axes for none; ONNX says all."""
    m = Model({"x": (2, 3)}, opset=18)
    none = m.const(np.zeros(0), np.int64)
    graph = import_model(m.build(m.add("Relu", m.add("ReduceSum", "x", none, keepdims=0))))
    assert [graph.tensors[node.output].shape for node in graph.nodes] == [(), ()]


def rated() -> onnx.ModelProto:
    """A model with an input that says how it works."""
    made = Model({"x": (1, 4), "rate": (1,)})
    return made.build(made.add("Mul", "x", made.add("Add", "rate", made.const([1.0]))))


def test_inputs_may_become_constants() -> None:
    graph = import_model(rated(), constants={"rate": [2.0]})
    assert graph.inputs == ["x"]
    values = [t.const.ravel().tolist() for t in graph.tensors.values() if t.const is not None]
    assert [3.0] in values


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"other": 1.0}, "inputs are"),
        ({"rate": 2.0}, "shape"),
        ({"rate": [1, 2]}, "shape"),
        ({"rate": "fast"}, "'rate' is no array of float32"),
        ({"rate": [[1], [2, 3]]}, "'rate' is no array of float32"),
    ],
)
def test_constants_have_to_fit(constants: dict[str, Any], message: str) -> None:
    with pytest.raises(CompileError, match=message):
        import_model(rated(), constants=constants)


@pytest.mark.parametrize("value", [2.7, float("nan"), 2**40])
def test_constants_lose_nothing_in_the_type_of_their_input(value: float) -> None:
    model = rated()
    model.graph.input[1].type.tensor_type.elem_type = TensorProto.INT32
    with pytest.raises(CompileError, match="is not of int32"):
        import_model(model, constants={"rate": [value]})
