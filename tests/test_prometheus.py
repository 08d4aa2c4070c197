"""The Prometheus adapter, with the real client library."""

import numpy as np
import prometheus_client
import pytest

import maccel_aio
from maccel_aio import testing
from maccel_aio.prometheus import DeviceCollector, PrometheusHooks

X = np.zeros(8, np.float32)


@pytest.fixture
def registry():
    return prometheus_client.CollectorRegistry()


async def test_requests_are_counted_and_timed(tmp_path, registry):
    path = testing.tiny_model(tmp_path / "tiny.mxq")
    hooks = PrometheusHooks(registry)
    async with (
        testing.faulty_accelerator(fail_every=4) as acc,
        acc.load(path, hooks=hooks, max_inflight=1) as model,
    ):
        for _ in range(8):
            try:
                await model.infer(X)
            except maccel_aio.InferenceError:
                continue
        job = model.try_submit(X)
        with pytest.raises(maccel_aio.QueueFullError):
            model.try_submit(X)
        assert registry.get_sample_value("maccel_in_flight", {"model": "tiny.mxq"}) == 1
        await job

    def value(name, **labels):
        return registry.get_sample_value(f"maccel_{name}", labels)

    assert value("requests_total", model="tiny.mxq", outcome="done") == 7
    assert value("requests_total", model="tiny.mxq", outcome="InferenceError") == 2
    assert value("in_flight", model="tiny.mxq") == 0
    assert value("dropped_total", reason="queue_full") == 1
    for name in ("queue_seconds", "device_seconds", "lag_seconds"):
        assert value(f"{name}_count", model="tiny.mxq") == 9
        assert value(f"{name}_sum", model="tiny.mxq") < 60
    assert b"maccel_requests_total" in prometheus_client.generate_latest(registry)


async def test_a_device_is_asked_when_it_is_scraped(tmp_path, registry):
    path = testing.tiny_model(tmp_path / "tiny.mxq")
    async with maccel_aio.Accelerator("soft:0") as acc:
        DeviceCollector(acc, registry)
        before = registry.get_sample_value("maccel_device_completed_total", {"device": "soft:0"})
        async with acc.load(path) as model:
            await model.infer(X)
        after = registry.get_sample_value("maccel_device_completed_total", {"device": "soft:0"})
        assert (before, after) == (0, 1)
        assert registry.get_sample_value("maccel_device_queued", {"device": "soft:0"}) == 0
    assert b"device" not in prometheus_client.generate_latest(registry)
