"""The policies that ``maccel`` deprecates: here they act, as their names promise."""

from typing import Any

import numpy as np
import pytest

from maccel_aio._core._types import LatencySetPolicy, MaintenancePolicy, SchedulePolicy
from maccel_aio.compat import maccel, qbruntime
from maccel_aio.compat._shared.choice import CoreChoice
from maccel_aio.compat._shared.status import StatusCode

pytestmark = pytest.mark.usefixtures("no_leaks")


def chosen(config: "maccel.ModelConfig | qbruntime.ModelConfig") -> CoreChoice:
    return CoreChoice(config._model_config).copy()


def test_policies_reach_the_core_by_name() -> None:
    config = maccel.ModelConfig()
    assert chosen(config).schedule_policy is SchedulePolicy.FIFO
    assert chosen(config).maintenance_policy is MaintenancePolicy.Maintain
    assert chosen(config).latency_set_policy is LatencySetPolicy.Auto
    for name, core in (("FIFO", "FIFO"), ("LIFO", "LIFO"), ("Undefined", "FIFO")):
        config.schedule_policy = maccel.SchedulePolicy[name]
        assert chosen(config).schedule_policy is SchedulePolicy[core]
    config.maintenance_policy = maccel.MaintenancePolicy.Undefined
    assert chosen(config).maintenance_policy is MaintenancePolicy.Maintain
    config.maintenance_policy = maccel.MaintenancePolicy.DropExpired
    config.early_latencies, config.finish_latencies = [5], [7, 1 << 63]
    config.latency_set_policy = maccel.LatencySetPolicy.Manual
    assert chosen(config).early_ns(0) == 5000
    assert chosen(config).finish_ns(0) == 7000
    assert chosen(config).finish_ns(1) < 1 << 63
    assert chosen(qbruntime.ModelConfig()).schedule_policy is SchedulePolicy.ByPriority


def test_an_expired_call_is_dropped_or_kept(image_path: str, pixels: Any) -> None:
    config = maccel.ModelConfig()
    config.latency_set_policy = maccel.LatencySetPolicy.Manual
    config.finish_latencies = [1]
    config.maintenance_policy = maccel.MaintenancePolicy.DropExpired
    acc = maccel.Accelerator()
    model = maccel.Model(image_path, config)
    model.launch(acc)
    with pytest.raises(maccel.MAccelError) as caught:
        model.infer(pixels)
    assert caught.value.code is StatusCode.Model_TaskQueueTimeout
    model.dispose()
    config.maintenance_policy = maccel.MaintenancePolicy.Maintain
    kept = maccel.Model(image_path, config)
    kept.launch(acc)
    made = kept.infer(pixels)
    assert made is not None
    assert np.array_equal(made[0], pixels + 1)
    kept.dispose()


@pytest.mark.parametrize("name", ["get_latency_consumed", "get_latency_finished"])
def test_latencies_are_not_kept(image_path: str, pixels: Any, name: str) -> None:
    model = maccel.load(image_path)
    model.infer(pixels)
    with pytest.raises(maccel.MAccelError, match="NotImplemented occurred") as caught:
        getattr(model, name)()
    assert caught.value.code is StatusCode.NotImplemented
    assert caught.value.reason == "latencies are not kept"
    model.dispose()
    assert not hasattr(qbruntime.Model, name)
