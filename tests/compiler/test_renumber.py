"""Adding or multiplying one number: formats in which no code changes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import maccel_aio
from maccel_aio.compiler.calibration import open_session
from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.ir import Graph, Node, TensorQuant
from maccel_aio.compiler.isa import Op
from maccel_aio.compiler.lower import lower_bundle
from maccel_aio.compiler.numeric import quantise_graph
from maccel_aio.compiler.passes import run_passes
from maccel_aio.compiler.ranges import affine_u8
from maccel_aio.compiler.renumber import number_of, shared_codes
from maccel_aio.compiler.report import sqnr_db
from tests.compiler.device import File
from tests.compiler.onnx_models import Model


@given(
    st.floats(-20, 0),
    st.floats(0.1, 20),
    st.one_of(
        st.tuples(st.floats(0.01, 50), st.just(0.0)), st.tuples(st.just(1.0), st.floats(-5, 5))
    ),
    st.booleans(),
)
def test_codes_of_x_read_as_y_are_the_function(
    low: float, high: float, function: tuple[float, float], exact: bool
) -> None:
    factor, shift = function
    y = TensorQuant("u8", *affine_u8(low, high))
    found = shared_codes(y, low, high, factor, shift, exact=exact)
    if found is None:
        return
    codes = np.arange(256, dtype=np.float64)
    x = (codes - found.x.zero) * found.x.scale
    result = (codes - found.y.zero) * found.y.scale + found.offset
    np.testing.assert_allclose(result, factor * x + shift, atol=found.y.scale * 2e-3)
    assert found.y.scale <= y.scale * 1.2001
    assert not exact or found.offset == 0.0
    if not exact:
        assert found.y == y
        assert abs(found.offset) <= y.scale * 0.5001
    reach = (0 - found.y.zero) * found.y.scale, (255 - found.y.zero) * found.y.scale
    assert reach[0] - found.y.scale <= low
    assert high <= reach[1] + found.y.scale


def node(op: str, value: float, *, first: bool = False) -> tuple[Graph, Node]:
    m = Model({"x": (1, 4, 6, 6)})
    operands = (m.const(np.float32(value)), "x") if first else ("x", m.const(np.float32(value)))
    graph = import_model(m.build(m.add("MaxPool", m.add(op, *operands), kernel_shape=[1, 1])))
    return graph, next(n for n in graph.nodes if n.op == op)


@pytest.mark.parametrize(
    ("op", "value", "first", "wanted"),
    [
        ("Add", 3.0, False, (1.0, 3.0)),
        ("Add", 3.0, True, (1.0, 3.0)),
        ("Sub", 3.0, False, (1.0, -3.0)),
        ("Sub", 3.0, True, None),
        ("Mul", 0.5, False, (0.5, 0.0)),
        ("Mul", -0.5, False, None),
        ("Div", 4.0, False, (0.25, 0.0)),
        ("Div", 4.0, True, None),
        ("Div", 0.0, False, None),
        ("Max", 1.0, False, None),
    ],
)
def test_which_nodes_are_one_number(
    op: str, value: float, first: bool, wanted: tuple[float, float] | None
) -> None:
    graph, found = node(op, value, first=first)
    number = number_of(graph, found)
    assert number == (None if wanted is None else ("x", *wanted))


def shifted() -> tuple[Model, onnx.ModelProto]:
    """A hard swish with a number added, as learnt affines of mobile networks have it."""
    m = Model({"x": (1, 3, 12, 12)})
    t = m.add("HardSwish", m.conv("x", (8, 3, 3, 3), pads=[1] * 4))
    t = m.add("Add", t, m.const(np.float32(0.37)))
    last = m.conv(m.add("Relu", m.conv(t, (8, 1, 3, 3), group=8, pads=[1] * 4)), (5, 8, 1, 1))
    return m, m.build(last)


def test_the_addition_becomes_no_instruction() -> None:
    m, model = shifted()
    graph = import_model(model)
    run_passes(graph)
    assert [n.op for n in graph.nodes].count("Add") == 1
    quantise_graph(graph, m.feed(8), on_npu=lambda _: True)
    layers = {id(n): k for k, n in enumerate(graph.nodes)}
    lowered = lower_bundle(graph, graph.nodes, graph.inputs, graph.outputs, layers=layers)
    ops = [insn.op for insn in lowered.emitter.instructions]
    assert set(ops) <= {Op.CONV, Op.DWCONV, Op.FILL}


def test_the_result_with_shared_codes_is_right(tmp_path: Path) -> None:
    m, model = shifted()
    maccel_aio.compile(model, tmp_path / "m.mxq", calibration=m.feed(8), measure=0)
    feed = {name: value[0] for name, value in m.feed(8).items()}
    exact = open_session(model).run(None, feed)[0]
    (found,) = File((tmp_path / "m.mxq").read_bytes()).run(feed)
    assert sqnr_db(exact, found) > 25
