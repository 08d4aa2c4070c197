"""The two state machines, row by row, without the vendor's packages."""

import copy
import logging
from typing import Any

import pytest

from maccel_aio.compat import maccel as m
from maccel_aio.compat import qbruntime as q


def shown(config: Any) -> tuple[str, str, int, str]:
    cores = " ".join(
        f"{one.cluster.name[-1]}.{one.core.name.removesuffix('lobalCore')[-1]}"
        for one in config.get_core_ids()
    )
    mode, policy = config.get_core_mode().name, config.get_core_allocation_policy().name
    return mode, policy, config.get_num_cores(), cores


LOCAL = "0.0 0.1 0.2 0.3 1.0 1.1 1.2 1.3"
C0, C1 = m.Cluster.Cluster0, m.Cluster.Cluster1
ROWS: list[tuple[list[tuple[str, tuple[Any, ...]]], list[bool], tuple[str, str, int, str]]] = [
    ([], [], ("Single", "Manual", 8, LOCAL)),
    ([("set_single_core_mode", (3,))], [True], ("Single", "Auto", 3, "")),
    ([("set_single_core_mode", (9,))], [False], ("Single", "Manual", 8, LOCAL)),
    ([("set_global4_core_mode", ([C1],))], [True],
     ("Global4", "Manual", 5, "1.0 1.1 1.2 1.3 1.G")),
    ([("set_multi_core_mode", ([C1, C1],)), ("set_multi_core_mode", ([C0],))], [True, True],
     ("Multi", "Manual", 5, "0.0 0.1 0.2 0.3 0.G")),
    ([("exclude_all_cores", ()), ("include", (C1, m.Core.Core3)), ("include", (C0, m.Core.Core1))],
     [True, True, True], ("Single", "Manual", 2, "1.3 0.1")),
    ([("set_single_core_mode", (3,)), ("include", (C0, m.Core.Core0))], [True, True],
     ("Single", "Auto", 1, "0.0")),
    ([("set_manual_mode", ())], [True], ("Single", "Manual", 0, "")),
    ([("exclude", (C0,))], [True], ("Single", "Manual", 4, "1.0 1.1 1.2 1.3")),
    ([("include", (m.Cluster.Error,))], [False], ("Single", "Manual", 8, LOCAL)),
    ([("exclude", (m.Cluster.Error,))], [True], ("Single", "Manual", 8, LOCAL)),
    ([("set_auto_mode", (0,))], [False], ("Single", "Manual", 8, LOCAL)),
]  # fmt: skip


@pytest.mark.parametrize(("calls", "returns", "state"), ROWS)
def test_rows_of_maccel(
    calls: list[tuple[str, tuple[Any, ...]]], returns: list[bool], state: tuple[Any, ...]
) -> None:
    config = m.ModelConfig()
    assert [getattr(config, name)(*args) for name, args in calls] == returns
    assert shown(config) == state


def test_cores_are_sorted_and_doubles_removed() -> None:
    config = q.ModelConfig()
    wanted = [
        q.CoreId(q.Cluster.Cluster1, q.Core.Core1),
        q.CoreId(q.Cluster.Cluster0, q.Core.Core2),
    ]
    assert config.set_single_core_mode(wanted * 2)
    assert shown(config) == ("Single", "Manual", 2, "0.2 1.1")
    assert config.get_activation_slots() == 4


def test_clusters_are_kept_as_given_and_slots_follow() -> None:
    config = q.ModelConfig()
    order = [q.Cluster.Cluster1, q.Cluster.Cluster0]
    assert config.set_multi_core_mode(order)
    assert (config.get_clusters(), config.get_activation_slots()) == (order, 4)
    config.set_activation_slots(-1)
    assert config.get_activation_slots() == 4
    assert config.set_auto_core_mode()
    assert (config.get_clusters(), config.get_activation_slots()) == ([], -1)


def test_an_impossible_count_is_an_error_instead_of_chance() -> None:
    for make in (lambda: m.ModelConfig(9), lambda: m.ModelConfig(0), lambda: q.ModelConfig(-1)):
        with pytest.raises(ValueError, match="cannot run on"):
            make()
    assert q.ModelConfig(9).get_num_cores() == 9
    assert q.ModelConfig(2).get_activation_slots() == 1


@pytest.mark.parametrize("package", [m, q])
def test_a_copy_is_independent(package: Any) -> None:
    config = package.ModelConfig()
    for again in (copy.copy(config), copy.deepcopy(config)):
        again.set_single_core_mode(2)
        assert config.get_num_cores() != 2
        assert again != config


@pytest.mark.parametrize("package", [m, q])
def test_a_refusal_says_why(package: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not package.ModelConfig().force_single_npu_bundle(-2)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "Invalid `npu_bundle_index` value: -2." in caplog.text
    assert caplog.records[0].name == package.__name__


@pytest.mark.parametrize("package", [m, q])
def test_the_log_level_hides_messages(package: Any, caplog: pytest.LogCaptureFixture) -> None:
    names = [member.name.lower() for member in package.LogLevel]
    assert names == ["debug", "info", "warn", "err", "fatal", "off"]
    try:
        package.set_log_level(list(package.LogLevel)[3])
        package.ModelConfig(1)
        assert not caplog.records
        package.ModelConfig().force_single_npu_bundle(-2)
        assert len(caplog.records) == 1
        package.set_log_level(list(package.LogLevel)[5])
        package.ModelConfig().force_single_npu_bundle(-2)
        assert len(caplog.records) == 1
    finally:
        logging.getLogger(package.__name__).setLevel(logging.NOTSET)
