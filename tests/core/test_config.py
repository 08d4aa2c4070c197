"""ModelConfig keeps the vendor's semantics, value for value."""

import itertools

import pytest

from maccel_aio import (
    Cluster,
    Core,
    CoreId,
    CoreMode,
    LatencySetPolicy,
    MaintenancePolicy,
    ModelConfig,
    SchedulePolicy,
)

C0, C1 = Cluster.Cluster0, Cluster.Cluster1
LOCALS = [Core.Core0, Core.Core1, Core.Core2, Core.Core3]


def ids(*pairs):
    return [CoreId([C0, C1][c], LOCALS[k]) for c, k in pairs]


def state(config):
    return (
        config.get_core_mode(), config.is_core_allocation_automatic(), config.get_num_cores(),
        config.get_core_ids(), config.get_clusters(), config.get_activation_slots(),
    )  # fmt: skip


def test_a_fresh_config_is_automatic():
    assert state(ModelConfig()) == (CoreMode.Auto, False, 0, [], [], -1)
    assert ModelConfig().get_forced_npu_bundle_index() == -1
    assert ModelConfig().get_async_pipeline_enabled() is False


def test_a_number_of_cores_is_a_shorthand():
    assert state(ModelConfig(3)) == (CoreMode.Single, True, 3, [], [], 1)
    assert ModelConfig(True).get_num_cores() == 1
    for bad in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            ModelConfig(bad)
    with pytest.raises(TypeError):
        ModelConfig(2.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [1, 8, 9, 100])
def test_single_mode_by_number(number):
    config = ModelConfig()
    assert config.set_single_core_mode(number) is True
    assert state(config) == (CoreMode.Single, True, number, [], [], -1)


@pytest.mark.parametrize("number", [0, -1])
def test_refused_numbers_change_nothing(number, caplog):
    config = ModelConfig()
    config.set_global8_core_mode()
    before = state(config)
    assert config.set_single_core_mode(number) is False
    assert state(config) == before
    assert "num_cores" in caplog.text


def test_single_mode_by_cores_sorts_and_removes_doubles():
    config = ModelConfig()
    assert config.set_single_core_mode(core_ids=ids((1, 3), (1, 0), (0, 1), (0, 1))) is True
    assert state(config) == (
        CoreMode.Single, False, 3, ids((0, 1), (1, 0), (1, 3)), [], 6,
    )  # fmt: skip
    assert config.set_single_core_mode(ids((0, 0))) is True
    assert config.get_activation_slots() == 2


@pytest.mark.parametrize("core", [Core.All, Core.GlobalCore, Core.Error])
def test_special_cores_are_refused(core):
    config = ModelConfig()
    assert config.set_single_core_mode(core_ids=[*ids((0, 0)), CoreId(C0, core)]) is False
    assert config.set_single_core_mode(core_ids=[]) is False
    assert config.set_single_core_mode(core_ids=[CoreId(Cluster.Error, Core.Core0)]) is False
    assert state(config) == state(ModelConfig())


@pytest.mark.parametrize("args", [(), (None,), (1, ids((0, 0))), (2, [])])
def test_exactly_one_argument_is_needed(args):
    with pytest.raises(ValueError, match="either"):
        ModelConfig().set_single_core_mode(*args)


@pytest.mark.parametrize("name", ["set_multi_core_mode", "set_global4_core_mode"])
def test_cluster_modes_keep_clusters_as_given(name):
    config = ModelConfig()
    setter = getattr(config, name)
    for clusters, slots in [([C0], 2), ([C1, C0], 4), ([C0, C0], 4)]:
        assert setter(clusters) is True
        assert config.get_clusters() == clusters
        assert config.get_activation_slots() == slots
        assert (config.get_num_cores(), config.get_core_ids()) == (0, [])
    before = state(config)
    for bad in ([], [Cluster.Error], [C0, Cluster.Error]):
        assert setter(bad) is False
        assert state(config) == before
    assert setter() is True
    assert config.get_clusters() == [C0, C1]


def test_slots_and_sequences():
    config = ModelConfig()
    config.set_activation_slots(3)
    assert config.set_single_core_mode(2)
    assert config.get_activation_slots() == 3
    config.set_activation_slots(-5)
    assert config.get_activation_slots() == 3
    assert config.set_auto_core_mode()
    assert state(config) == (CoreMode.Auto, False, 0, [], [], -1)
    config.set_activation_slots(0)
    assert config.get_activation_slots() == 0
    assert config.set_global8_core_mode()
    assert state(config) == (CoreMode.Global8, False, 0, [], [], 2)
    with pytest.raises(TypeError):
        config.set_activation_slots("a")  # type: ignore[arg-type]


def test_forced_bundles_and_the_pipeline_switch_survive_modes():
    config = ModelConfig()
    assert config.force_single_npu_bundle(7)
    assert not config.force_single_npu_bundle(-2)
    config.set_async_pipeline_enabled(True)
    config.set_global8_core_mode()
    assert config.get_forced_npu_bundle_index() == 7
    assert config.get_async_pipeline_enabled() is True
    assert config.force_single_npu_bundle(-1)
    assert config.get_forced_npu_bundle_index() == -1


def test_copies_are_equal_and_independent():
    config = ModelConfig(4)
    twin = config.copy()
    assert twin == config
    twin.set_global8_core_mode()
    assert twin != config
    assert config != 5
    assert "core_mode=CoreMode.Single" in repr(config)


def test_native_options():
    config = ModelConfig()
    assert config.native_options() == (0, 14, 0, 0, 0, False, 0)
    config.set_single_core_mode(core_ids=ids((0, 1), (1, 3)))
    assert config.native_options()[:4] == (1 << 1 | 1 << 11, 0, 2, 4)
    config.set_multi_core_mode([C1])
    assert config.native_options()[:4] == (0x1F00, 1, 0, 2)
    config.schedule_policy = SchedulePolicy.LIFO
    config.latency_set_policy = LatencySetPolicy.Auto
    assert config.native_options(5)[4:] == (2, True, 5)


def test_policies_of_a_fresh_config():
    config = ModelConfig()
    assert config.schedule_policy is SchedulePolicy.ByPriority
    assert config.maintenance_policy is MaintenancePolicy.DropExpired
    assert config.latency_set_policy is LatencySetPolicy.Manual
    assert (config.early_latencies, config.finish_latencies) == ([], [])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("schedule_policy", SchedulePolicy),
        ("maintenance_policy", MaintenancePolicy),
        ("latency_set_policy", LatencySetPolicy),
    ],
)
def test_policies_are_kept_and_survive_the_mode(name, kind):
    for member in kind:
        config = ModelConfig()
        setattr(config, name, member)
        config.set_global8_core_mode()
        assert getattr(config.copy(), name) is member
        for wrong in (member.value, member.name, None):
            with pytest.raises(TypeError, match=f"{kind.__name__} is needed"):
                setattr(config, name, wrong)
        assert getattr(config, name) is member


@pytest.mark.parametrize("name", ["early_latencies", "finish_latencies"])
def test_latencies_are_microseconds_of_each_variant(name):
    config, ask = ModelConfig(), name.removesuffix("_latencies") + "_ns"
    assert getattr(config, ask)(0) == 0
    setattr(config, name, (5, 0, 7))
    getattr(config, name).append(9)
    assert getattr(config, name) == [5, 0, 7]
    assert [getattr(config, ask)(variant) for variant in range(5)] == [5000, 0, 7000, 7000, 7000]
    config.maintenance_policy = MaintenancePolicy.Maintain
    assert getattr(config, ask)(0) == 0
    config.maintenance_policy = MaintenancePolicy.DropExpired
    config.latency_set_policy = LatencySetPolicy.Auto
    assert getattr(config, ask)(0) == 0
    for wrong in ([-1], [1 << 53]):
        with pytest.raises(ValueError, match="microseconds"):
            setattr(config, name, wrong)
    with pytest.raises(TypeError):
        setattr(config, name, [1.5])
    assert getattr(config, name) == [5, 0, 7]


def test_core_ids_are_ordered_values():
    every = [CoreId(cluster, core) for cluster, core in itertools.product([C1, C0], LOCALS)]
    assert sorted(every)[0] == CoreId(C0, Core.Core0)
    assert CoreId(C0, Core.Core3) < CoreId(C0, Core.All) < CoreId(C1, Core.Core0)
    assert CoreId(C0, Core.Core1) >= CoreId(C0, Core.Core1)
    assert len({*every, *every}) == 8
    assert str(every[0]) == "Cluster1.Core0"
