"""Planned memory: nothing that lives is overwritten, whatever the graph looks like."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.isa import ALIGN
from maccel_aio.compiler.lower import Lowered, lower_bundle
from maccel_aio.compiler.numeric import quantise_graph
from maccel_aio.compiler.passes import run_passes
from maccel_aio.compiler.planner import SLACK, align, plan
from maccel_aio.compiler.view import FOREVER, Buffer, View
from tests.compiler.families.harness import PROPERTY
from tests.compiler.onnx_models import Model
from tests.compiler.test_random_graphs import STEPS, Grower

BUFFERS = st.lists(
    st.tuples(st.integers(1, 5000), st.integers(-1, 30), st.integers(0, 12)), max_size=40
)


def _made(rows: list[tuple[int, int, int]]) -> list[Buffer]:
    return [Buffer(size, first, first + length) for size, first, length in rows]


@settings(PROPERTY, max_examples=200)
@given(BUFFERS)
def test_buffers_that_live_together_lie_apart(rows):
    buffers = _made(rows)
    total = plan(buffers)
    assert total % ALIGN == 0
    for k, a in enumerate(buffers):
        assert a.offset % ALIGN == 0
        assert 0 <= a.offset <= a.offset + a.size <= total
        for b in buffers[:k]:
            together = a.first <= b.last and b.first <= a.last
            apart = a.offset + a.size + SLACK <= b.offset or b.offset + b.size + SLACK <= a.offset
            assert apart or not together


@settings(PROPERTY, max_examples=100)
@given(BUFFERS)
def test_the_arena_is_between_the_busiest_moment_and_the_sum(rows):
    buffers = _made(rows)
    total = plan(buffers)
    sizes = [align(b.size + SLACK) for b in buffers]
    moments = {b.first for b in buffers}
    busiest = max(
        (sum(s for s, b in zip(sizes, buffers, strict=True) if b.first <= at <= b.last)
         for at in moments), default=0,
    )  # fmt: skip
    assert max(busiest, ALIGN) <= total <= max(sum(sizes), ALIGN)


@settings(PROPERTY, max_examples=50)
@given(BUFFERS)
def test_a_plan_does_not_depend_on_what_was_planned_before(rows):
    buffers, again = _made(rows), _made(rows)
    plan(buffers)
    first = [b.offset for b in buffers]
    plan(buffers)
    plan(again)
    assert first == [b.offset for b in buffers] == [b.offset for b in again]


def test_buffers_that_are_never_used_take_no_room():
    assert plan([Buffer(10_000)]) == ALIGN
    merged, host = Buffer(10_000, 1, 2), Buffer(100, 0, 3)
    merged.alias = host
    assert plan([merged, host]) == align(100 + SLACK)


def _cells(view: View) -> np.ndarray:
    """Return the arena bytes of a view's elements."""
    found = np.array([view.buffer.root.offset + view.offset])
    for size, stride in zip(view.dims, view.strides, strict=True):
        if stride:
            found = (found[:, None] + np.arange(size) * stride).ravel()
    return np.unique(found[:, None] + np.arange(view.item))


class _Arena:
    """Runs a program without computing: who wrote each byte last."""

    def __init__(self, size: int) -> None:
        self.writer = np.full(size, -1)

    def check(self, lowered: Lowered) -> None:
        for k, port in enumerate(lowered.emitter.inputs):
            self.writer[_cells(port.view)] = -2 - k
        for step, insn in enumerate(lowered.emitter.instructions):
            for view in insn.inputs:
                if view is not None:
                    self.read(view)
            outs = [_cells(view) for view in insn.outputs]
            if len(outs) == 2:
                assert not set(outs[0]) & set(outs[1])
            for cells in outs:
                self.writer[cells] = step
        for view in lowered.emitter.outputs:
            self.read(view)
            assert view.buffer.root.last == FOREVER

    def read(self, view: View) -> None:
        """Whatever is read has been written, and by users of that same buffer."""
        assert (self.writer[_cells(view)] != -1).all()


def _overlaps(lowered: Lowered) -> list[tuple[int, int]]:
    """Return pairs of placed buffers that share bytes while both live."""
    placed = [b for b in lowered.emitter.buffers if b.alias is None and b.last >= b.first]
    return [
        (k, j)
        for k, a in enumerate(placed)
        for j, b in enumerate(placed[:k])
        if a.first <= b.last and b.first <= a.last
        and a.offset < b.offset + b.size and b.offset < a.offset + a.size
    ]  # fmt: skip


def _checked(graph: Any) -> None:
    layers = {id(node): k for k, node in enumerate(graph.nodes)}
    lowered = lower_bundle(graph, graph.nodes, graph.inputs, graph.outputs, layers=layers)
    assert _overlaps(lowered) == []
    for insn in lowered.emitter.instructions:
        for view in (*insn.inputs, *insn.outputs):
            if view is not None:
                reach = sum((n - 1) * s for n, s in zip(view.dims, view.strides, strict=True))
                assert 0 <= view.offset + reach + view.item <= view.buffer.root.size
        for view in insn.outputs:
            sizes = zip(view.dims, view.strides, strict=True)
            assert all(stride or size == 1 for size, stride in sizes)
    _Arena(lowered.arena_bytes).check(lowered)


@settings(PROPERTY, max_examples=60)
@given(data=st.data())
def test_programs_of_random_graphs_read_only_what_was_written(data):
    grower = Grower(data)
    for step in data.draw(st.lists(st.sampled_from(STEPS), min_size=2, max_size=10)):
        grower.grow(step)
    grower.do_relu(*grower.tensors[-1])
    made = [name for name, _ in grower.tensors if name != "x"]
    extra = data.draw(st.sets(st.sampled_from(made), max_size=2))
    model = grower.m.build(*dict.fromkeys([*sorted(extra), made[-1]]))
    graph = import_model(model)
    run_passes(graph)
    if data.draw(st.booleans()):
        quantise_graph(graph, grower.m.feed(2), on_npu=lambda _: True)
    _checked(graph)


def test_a_dense_block_in_int8_is_planned_without_conflicts():
    m = Model({"x": (1, 6, 8, 8)})
    features, width = ["x"], 6
    for _ in range(4):
        joined = features[0] if len(features) == 1 else m.add("Concat", *features, axis=1)
        features.append(m.add("Relu", m.conv(joined, (12, width, 3, 3), pads=[1] * 4)))
        width += 12
    out = m.add("GlobalAveragePool", m.add("Concat", *features, axis=1))
    graph = import_model(m.build(out, features[2]))
    run_passes(graph)
    quantise_graph(graph, m.feed(4), on_npu=lambda _: True)
    _checked(graph)
