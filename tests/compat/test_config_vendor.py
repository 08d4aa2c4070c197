"""Random sequences of calls on the vendor's ModelConfig and ours: results, state, messages."""

import functools
import logging
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compat.vendor import PACKAGES, Listener, Ref, build, ours, outcome, printed, theirs

CLUSTERS = ["Cluster0", "Cluster1", "Error"]
CORES = ["Core0", "Core1", "Core2", "Core3", "All", "GlobalCore", "Error"]
GETTERS = [
    "get_core_mode", "get_core_allocation_policy", "get_num_cores", "get_core_ids",
    "get_forced_npu_bundle_index", "get_async_pipeline_enabled", "__repr__",
]  # fmt: skip
MORE_GETTERS = {"maccel": [], "qbruntime": ["get_clusters", "get_activation_slots"]}
POLICIES = {
    "schedule_policy": [Ref("SchedulePolicy", n) for n in ("FIFO", "LIFO", "ByPriority")],
    "latency_set_policy": [Ref("LatencySetPolicy", n) for n in ("Auto", "Manual")],
    "maintenance_policy": [Ref("MaintenancePolicy", n) for n in ("Maintain", "Undefined")],
}
Call = tuple[str, tuple[Any, ...], dict[str, Any]]

clusters = st.sampled_from([Ref("Cluster", name) for name in CLUSTERS])
cores = st.sampled_from([Ref("Core", name) for name in CORES])
good_ids = st.builds(
    Ref, st.just("CoreId"), st.sampled_from(CLUSTERS[:2]), st.sampled_from(CORES[:4])
)
any_ids = st.builds(Ref, st.just("CoreId"), st.sampled_from(CLUSTERS), st.sampled_from(CORES))
id_lists = st.lists(good_ids, max_size=9) | st.lists(any_ids, max_size=4)
cluster_lists = st.lists(clusters, max_size=3) | st.lists(
    st.sampled_from([Ref("Cluster", name) for name in CLUSTERS[:2]]), min_size=1, max_size=3
)
odd: st.SearchStrategy[Any] = st.sampled_from(
    [None, "x", 1.5, True, 2**31, 2**40, -(2**40), b"1", (), [], {}]
)
counts = st.integers(-2, 12)


def calls(name: str, *args: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    return st.tuples(st.just(name), st.tuples(*args), st.just({}))


def keyword(name: str, key: str, value: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    return st.tuples(st.just(name), st.just(()), st.fixed_dictionaries({key: value}))


COMMON = [
    calls("set_single_core_mode", counts | odd),
    calls("set_single_core_mode"),
    calls("set_single_core_mode", id_lists),
    calls("set_single_core_mode", st.none() | counts, id_lists),
    keyword("set_single_core_mode", "core_ids", id_lists | odd),
    calls("set_global_core_mode", cluster_lists | odd),
    calls("set_global4_core_mode", cluster_lists | odd),
    calls("set_multi_core_mode", cluster_lists | odd),
    calls("set_multi_core_mode", st.lists(cores | good_ids, min_size=1, max_size=2)),
    calls("set_global4_core_mode"),
    calls("set_multi_core_mode"),
    calls("set_global8_core_mode"),
    calls("force_single_npu_bundle", st.integers(-4, 9) | odd),
    calls("set_async_pipeline_enabled", st.booleans() | odd),
]
OWN = {
    "maccel": [
        calls("include", clusters | odd),
        calls("include", clusters, cores | st.none()),
        calls("exclude", clusters),
        calls("exclude", clusters, cores | odd),
        calls("include_all_cores"),
        calls("exclude_all_cores"),
        calls("set_auto_mode", counts | odd),
        calls("set_auto_mode"),
        calls("set_manual_mode"),
    ],
    "qbruntime": [
        calls("set_auto_core_mode"),
        calls("set_activation_slots", st.integers(-3, 40) | odd),
    ],
}


def state(config: Any, name: str) -> list[tuple[Any, ...]]:
    found = [outcome(getattr(config, getter)) for getter in GETTERS + MORE_GETTERS[name]]
    if name == "maccel":
        found += [outcome(lambda key=key: getattr(config, key)) for key in POLICIES]  # type: ignore[misc]
    return found


def call(config: Any, method: str, args: Any, kwargs: Any) -> Any:
    return getattr(config, method)(*args, **kwargs)


def run(package: ModuleType, name: str, start: Any, sequence: list[Call]) -> list[Any]:
    config = package.ModelConfig() if start is None else package.ModelConfig(start)
    seen: list[Any] = [state(config, name)]
    for method, args, kwargs in sequence:
        built, keys = build(args, package), build(kwargs, package)
        got = outcome(functools.partial(call, config, method, built, keys))
        seen.append((method, args, kwargs, got, state(config, name)))
    return seen


@pytest.mark.parametrize("name", PACKAGES)
def test_any_sequence_of_setters_gives_the_same(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    vendor, mine = theirs(name), ours(name)
    listener = Listener()
    log = logging.getLogger(f"maccel_aio.compat.{name}")

    @settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
    @given(
        start=st.none() | st.integers(1, 8),
        sequence=st.lists(st.one_of(*COMMON, *OWN[name]), max_size=12),
    )
    def compare(start: int | None, sequence: list[Call]) -> None:
        listener.lines.clear()
        capfd.readouterr()
        expected = run(vendor, name, start, sequence)
        said = printed(capfd.readouterr().out)
        assert run(mine, name, start, sequence) == expected
        assert listener.lines == said

    log.addHandler(listener)
    log.propagate = False
    try:
        compare()
    finally:
        log.removeHandler(listener)
        log.propagate = True


@pytest.mark.parametrize("method", ["include", "exclude"])
@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("core", [None, *CORES])
@pytest.mark.parametrize("before", ["set_single_core_mode", "set_global8_core_mode"])
def test_every_core_is_included_and_excluded_alike(
    method: str, cluster: str, core: str | None, before: str
) -> None:
    args = (Ref("Cluster", cluster), None if core is None else Ref("Core", core))
    first: Call = (before, (1,) if before == "set_single_core_mode" else (), {})
    sequence: list[Call] = [first, (method, args, {}), (method, args, {})]
    mine, vendor = ours("maccel"), theirs("maccel")
    assert run(mine, "maccel", None, sequence) == run(vendor, "maccel", None, sequence)


@pytest.mark.parametrize("name", PACKAGES)
@pytest.mark.parametrize("start", [2.0, "a", 2**40, [], b"1", 1.5, -(2**31) - 1])
def test_what_is_no_count_is_refused_by_both(name: str, start: Any) -> None:
    expected = outcome(lambda: theirs(name).ModelConfig(start))
    assert expected[:2] == ("raises", "TypeError")
    assert outcome(lambda: ours(name).ModelConfig(start)) == expected


@given(
    values=st.lists(st.integers(-1, 2**64) | st.floats(), max_size=3) | odd,
    key=st.sampled_from(["early_latencies", "finish_latencies"]),
)
def test_latencies_round_trip_alike(values: Any, key: str) -> None:
    def assign(package: ModuleType) -> object:
        config = package.ModelConfig()
        setattr(config, key, values)
        getattr(config, key).append(1)
        return getattr(config, key)

    assert outcome(lambda: assign(ours("maccel"))) == outcome(lambda: assign(theirs("maccel")))


@pytest.mark.parametrize("key", POLICIES)
def test_policies_round_trip_alike(key: str) -> None:
    every = [ref for refs in POLICIES.values() for ref in refs]
    for value in [*every, 1, None, "FIFO"]:
        seen = []
        for package in (theirs("maccel"), ours("maccel")):
            config = package.ModelConfig()
            assigned = outcome(functools.partial(setattr, config, key, build(value, package)))
            seen.append((assigned, state(config, "maccel")))
        assert seen[0] == seen[1]
