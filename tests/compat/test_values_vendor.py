"""The value types of the vendor's packages and ours, called alike."""

import copy
import functools
import operator
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compat.vendor import PACKAGES, Ref, build, ours, outcome, theirs

ODD: list[Any] = [
    None,
    "x",
    b"x",
    1.5,
    True,
    -1,
    2**31,
    2**40,
    2**63,
    2**64,
    [],
    (),
    {},
    np.float32(2),
    np.int8(3),
]
odd = st.sampled_from(ODD)
numbers = st.integers(-(2**33), 2**33) | st.floats() | odd
BUFFER_SHAPES = ("original_shape", "reshaped_shape", "shape")
CLUSTERS = [Ref("Cluster", name) for name in ("Cluster0", "Cluster1", "Error")]
KINDS = ["Core", "Cluster", "CoreMode", "LogLevel", "CacheType", "CoreAllocationPolicy"]
CORES = [Ref("Core", n) for n in ("Core0", "Core1", "Core2", "Core3", "All", "GlobalCore", "Error")]
IDS = [Ref("CoreId", cluster.member, core.member) for cluster in CLUSTERS for core in CORES]

pytestmark = pytest.mark.parametrize("name", PACKAGES)


def same(name: str, call: Callable[[ModuleType], Any]) -> None:
    assert outcome(lambda: call(ours(name))) == outcome(lambda: call(theirs(name)))


@given(scale=numbers, uniform=st.booleans() | odd, scales=st.lists(numbers, max_size=3) | odd)
def test_scales_are_made_and_shown_alike(name: str, scale: Any, uniform: Any, scales: Any) -> None:
    same(name, lambda p: p.Scale(scale, uniform, scales))


@given(point=numbers, asymmetric=st.booleans() | odd, points=st.lists(numbers, max_size=3) | odd)
def test_zero_points_are_kept_alike(name: str, point: Any, asymmetric: Any, points: Any) -> None:
    same(name, lambda p: p.Scale(0.5, True, [], point, asymmetric, points))


@given(data=st.data())
def test_scales_are_read_alike(name: str, data: st.DataObject) -> None:
    scales = data.draw(st.lists(st.floats(width=32), min_size=1, max_size=5))
    uniform = data.draw(st.booleans())
    within = st.integers(0, len(scales) - 1)
    index = data.draw((st.integers(-9, 10**6) if uniform else within) | st.sampled_from(["a", 0.0]))
    same(name, lambda p: p.Scale(0.25, uniform, scales)[index])


@given(key=st.sampled_from(["scale", "is_uniform", "scale_list", "nothing"]), value=numbers)
def test_scales_are_assigned_alike(name: str, key: str, value: Any) -> None:
    def assign(package: ModuleType) -> object:
        made = package.Scale(1.0, False, [1.0])
        setattr(made, key, value)
        if key == "scale_list":
            made.scale_list.append(7.0)
        return getattr(made, key), made

    same(name, assign)


@pytest.mark.parametrize("args", [(), (1.0,), (1.0, True), (1.0, True, None)])
def test_a_scale_needs_its_arguments(name: str, args: tuple[Any, ...]) -> None:
    same(name, lambda p: p.Scale(*args))


def compared(how: Callable[[Any, Any], Any], first: Ref, second: Ref, package: ModuleType) -> Any:
    return how(build(first, package), build(second, package))


@pytest.mark.parametrize("first", IDS)
@pytest.mark.parametrize("second", IDS)
def test_core_ids_compare_alike(name: str, first: Ref, second: Ref) -> None:
    for compare in (operator.eq, operator.ne, operator.lt, operator.gt):
        same(name, functools.partial(compared, compare, first, second))


@pytest.mark.parametrize("pair", [(a, b) for a in CLUSTERS for b in CORES][:9])
def test_core_ids_are_made_and_changed_alike(name: str, pair: tuple[Ref, Ref]) -> None:
    cluster, core = pair
    same(name, lambda p: p.CoreId(build(cluster, p), build(core, p)))
    same(name, lambda p: p.CoreId(core=build(core, p), cluster=build(cluster, p)))
    same(name, lambda p: p.CoreId(build(core, p), build(cluster, p)))
    same(name, lambda p: copy.copy(p.CoreId(build(cluster, p), build(core, p))))

    def change(package: ModuleType) -> object:
        made = package.CoreId(package.Cluster.Cluster0, package.Core.Core0)
        made.cluster, made.core = build(cluster, package), build(core, package)
        return made, made.cluster, made.core

    same(name, change)


@pytest.mark.parametrize("args", [(), (1,), (1, 1), (None, None), ("a", "b")])
def test_no_core_id_is_refused_alike(name: str, args: tuple[Any, ...]) -> None:
    same(name, lambda p: p.CoreId(*args))


@given(values=st.lists(st.integers(0, 1000) | odd, max_size=14))
def test_buffer_infos_are_made_alike(name: str, values: list[Any]) -> None:
    same(name, lambda p: p.BufferInfo(*values))


@given(values=st.lists(st.integers(0, 1000), min_size=13, max_size=13))
def test_buffer_infos_compute_alike(name: str, values: list[int]) -> None:
    def read(package: ModuleType) -> object:
        made = package.BufferInfo(*values)
        shapes = [getattr(made, n + tail)() for n in BUFFER_SHAPES for tail in ("", "_chw")]
        return shapes, made.original_size(), made.reshaped_size(), made.size()

    same(name, read)


@given(value=numbers)
def test_buffers_take_the_same_sizes(name: str, value: Any) -> None:
    def size(package: ModuleType) -> object:
        buffer = package.Buffer()
        buffer.size = value
        return buffer.size, buffer

    same(name, size)
    same(name, lambda p: p.Buffer(3).size)


@pytest.mark.parametrize("value", ["x", None, np.zeros(3, np.int8), [1, 2], 7, np.ones(2)])
def test_buffers_take_the_same_contents(name: str, value: Any) -> None:
    same(name, lambda p: p.Buffer().set_buffer(value))


@given(key=st.sampled_from(["name", "layer_hash", "size", "num_batches"]), value=numbers)
def test_cache_infos_are_made_and_changed_alike(name: str, key: str, value: Any) -> None:
    def change(package: ModuleType) -> object:
        made = package.CacheInfo()
        setattr(made, key, value)
        return made.cache_type, made.name, made.layer_hash, made.size, made.num_batches

    same(name, change)
    same(name, lambda p: getattr(p.CacheInfo(**{key: value}), key))


@pytest.mark.parametrize("value", [Ref("CacheType", "Batch"), Ref("Core", "Core0"), 1, None])
def test_cache_types_are_checked_alike(name: str, value: Any) -> None:
    same(name, lambda p: p.CacheInfo(build(value, p)).cache_type)


@settings(max_examples=50)
@given(values=st.lists(st.integers(-(2**31), 2**31 - 1) | odd, max_size=4))
def test_batch_params_are_made_alike(name: str, values: list[Any]) -> None:
    if name == "maccel":
        return  # it has none
    same(name, lambda p: p.BatchParam(*values))


@pytest.mark.parametrize("value", [1, None, "INFO", Ref("Core", "Core0")])
def test_no_log_level_is_refused_alike(name: str, value: Any) -> None:
    same(name, lambda p: p.set_log_level(build(value, p)))


@pytest.mark.parametrize("kind", KINDS)
def test_enums_are_shown_and_refused_alike(name: str, kind: str) -> None:
    same(name, lambda p: [(str(m), repr(m), f"{m}", m.name) for m in getattr(p, kind)])
    same(name, lambda p: [m.value.value for m in getattr(p, kind)])
    same(name, lambda p: getattr(p, kind)(1))
    same(name, lambda p: next(iter(getattr(p, kind))) == 1)
    same(name, lambda p: int(next(iter(getattr(p, kind)))))
    same(name, lambda p: operator.lt(*list(getattr(p, kind))[:2]))
