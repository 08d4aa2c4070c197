"""What may change, and the rungs of it."""

import pytest

from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.ir import Graph
from maccel_aio.compiler.passes import run_passes
from maccel_aio.compiler.precision import PrecisionOptions
from maccel_aio.compiler.units import (
    FINE,
    FLOAT,
    Rung,
    Unit,
    find_sums,
    find_units,
    wished,
    work_outside,
)
from tests.compiler.onnx_models import Model


def residual() -> Graph:
    m = Model({"x": (1, 3, 8, 8)})
    t = m.add("Relu", m.conv("x", (8, 3, 3, 3), pads=[1] * 4))
    graph = import_model(m.build(m.conv(m.add("Add", m.conv(t, (8, 8, 1, 1)), t), (4, 8, 1, 1))))
    run_passes(graph)
    return graph


def test_units_cover_all_work_and_name_the_layers_that_read_them() -> None:
    graph = residual()
    units = find_units(graph, lambda _: True, PrecisionOptions())
    assert sum(unit.work for unit in units) == pytest.approx(1)
    assert sum(unit.size for unit in units) == pytest.approx(1)
    weighted = {node.name for node in graph.nodes if node.weights is not None}
    assert {layer for unit in units for layer in unit.layers} == weighted


def test_streams_of_16_bits_can_become_float() -> None:
    graph = residual()
    sums = find_sums(graph, lambda _: True, PrecisionOptions())
    assert sums
    assert all(unit.start == FINE for unit in sums)
    assert sums[0].below(FLOAT, 1.0) == FINE
    assert sums[0].below(FINE, 1.0) is None
    names = {unit.name for unit in sums}
    assert not names & {unit.name for unit in find_units(graph, lambda _: True, PrecisionOptions())}


def test_rungs_go_down_to_8_bits_with_the_range_that_serves_best() -> None:
    unit = Unit("t", 0.5, 0.5, ("conv",))
    steps = [FLOAT]
    while (below := unit.below(steps[-1], 0.8)) is not None:
        steps.append(below)
    assert steps == [FLOAT, FINE, Rung("u8", 16, 0.8), Rung(keep=0.8)]
    prices = [unit.price(rung) for rung in steps]
    assert prices == sorted(prices, reverse=True)
    assert prices[-1] == 0


def test_a_choice_becomes_wishes() -> None:
    wide, words = Unit("a", 0.25, 0.1, ("la",)), Unit("b", 0.5, 0.1, ("lb", "lc"))
    narrow = Unit("c", 0.25, 0.1)
    choice = {wide: FINE, words: Rung("u8", 16, 0.8), narrow: Rung(keep=0.5)}
    options = wished(PrecisionOptions(storage={"z": "f32"}), choice)
    assert options.storage == {"z": "f32", "a": "s16"}
    assert options.weight_bits == {"lb": 16, "lc": 16}
    assert options.keep == {"b": 0.8, "c": 0.5}
    assert work_outside(choice) == 0.25
