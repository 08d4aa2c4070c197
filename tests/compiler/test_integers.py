"""Look-ups and casts come before the views of what they read."""

import numpy as np
import onnx
from onnx import TensorProto

from maccel_aio.compiler.importer import infer
from maccel_aio.compiler.integers import views_last
from tests.compiler.onnx_models import Model


def rewritten(m: Model, *outputs: str) -> onnx.ModelProto:
    model = infer(m.build(*outputs))
    found = views_last(model, infer)
    onnx.checker.check_model(found, full_check=True)
    return found


def test_a_mask_becomes_float_before_it_gets_its_shape():
    m = Model({"mask": (1, 7)}, types={"mask": TensorProto.INT64})
    t = m.add("Unsqueeze", "mask", m.const([1, 2], np.int64))
    t = m.add("Expand", t, m.const([1, 1, 5, 7], np.int64))
    model = rewritten(m, m.add("Relu", m.add("Cast", t, to=1)))
    cast = next(n for n in model.graph.node if n.op_type == "Cast")
    assert cast.input[0] == "mask"


def test_ids_are_looked_up_before_they_are_reshaped():
    m = Model({"ids": (1, 6)}, types={"ids": TensorProto.INT64})
    flat = m.add("Reshape", "ids", m.const([-1, 3], np.int64))
    model = rewritten(m, m.add("Gather", m.const(np.ones((5, 4), np.float32)), flat))
    lookup = next(n for n in model.graph.node if n.op_type == "Gather")
    assert lookup.input[1] == "ids"
    (out,) = model.graph.output
    assert [d.dim_value for d in out.type.tensor_type.shape.dim] == [2, 3, 4]


def test_what_has_nothing_to_exchange_stays_the_same():
    m = Model({"x": (2, 3)})
    model = infer(m.build(m.add("Relu", m.add("Reshape", "x", m.const([6], np.int64)))))
    assert views_last(model, infer) is model
