"""Which look-ups and conversions of integers the NPU has, and how their operands are stored."""

import numpy as np
import pytest
from onnx import TensorProto

from maccel_aio.compiler.importer import infer, to_graph
from maccel_aio.compiler.ir import FLOAT, INTEGER, Graph
from maccel_aio.compiler.passes.canonical import canonicalise
from tests.compiler.onnx_models import Model

TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)


def canonical(m: Model, *outputs: str) -> Graph:
    """Return the graph of a model with canonical nodes only."""
    graph = to_graph(infer(m.build(*outputs)), "g")
    canonicalise(graph)
    return graph


def test_rows_of_a_constant_are_a_lookup_of_integers():
    m = Model({"ids": (2, 3)}, types={"ids": TensorProto.INT64})
    graph = canonical(m, m.add("Gather", m.const(TABLE), "ids"))
    (node,) = graph.nodes
    assert (node.op, node.inputs, node.reason) == ("Lookup", ["ids"], "")
    assert graph.tensors["ids"].quant == INTEGER


def test_integers_that_only_become_floats_are_floats_from_the_start():
    m = Model({"ids": (2, 3)}, types={"ids": TensorProto.INT32})
    graph = canonical(m, m.add("Cast", "ids", to=1))
    assert graph.nodes[0].reason == ""
    assert graph.tensors["ids"].quant == FLOAT


@pytest.mark.parametrize(
    ("table", "attrs", "why"),
    [
        (TABLE.astype(np.float16), {}, "a table of type float16"),
        (TABLE, {"axis": 1}, "another dimension"),
        (np.zeros((2, 1, 1, 1, 1, 1), np.float32), {}, "more than 6 dimensions"),
    ],
)
def test_other_tables_need_the_cpu(table: np.ndarray, attrs: dict[str, int], why: str):
    m = Model({"ids": (2, 3)}, types={"ids": TensorProto.INT64})
    graph = canonical(m, m.add("Gather", m.const(table, table.dtype), "ids", **attrs))
    assert why in graph.nodes[0].reason
    assert graph.tensors["ids"].quant is None


def test_casts_to_other_types_need_the_cpu():
    m = Model({"ids": (2, 3)}, types={"ids": TensorProto.INT64})
    out = m.add("Cast", "ids", to=TensorProto.DOUBLE)
    m.types[out] = TensorProto.DOUBLE
    graph = canonical(m, out)
    assert "to float64" in graph.nodes[0].reason
