"""Metrics of models for Prometheus. Needs the extra ``prometheus``.

::

    hooks = maccel_aio.prometheus.PrometheusHooks()
    async with accelerator.load("network.mxq", hooks=hooks) as model:
        ...
"""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from maccel_aio._typing import override
from maccel_aio.errors import MaccelError, UnsupportedError

try:
    import prometheus_client
    from prometheus_client import metrics_core
    from prometheus_client.registry import Collector
except ImportError as problem:
    raise UnsupportedError(
        'this needs prometheus_client: pip install "maccel-aio[prometheus]"'
    ) from problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    import maccel_aio
    from maccel_aio._core._observe import DropReason, JobView

__all__ = ["DeviceCollector", "PrometheusHooks"]

#: Upper bounds of the buckets, seconds: 50 us to 10 s.
_BUCKETS = (
    5e-5,
    1e-4,
    2.5e-4,
    5e-4,
    1e-3,
    2.5e-3,
    5e-3,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    10,
)
_TIMES = {
    "queue_seconds": "From submission to the core that takes the request",
    "device_seconds": "On a core of the device",
    "lag_seconds": "From the device's last byte to the event loop that takes the result",
}


class PrometheusHooks:
    """Hooks that count and time the requests of models; one object may serve several models.

    Metrics, each with the label ``model``: ``requests_total`` (label ``outcome``), ``in_flight``,
    ``queue_seconds``, ``device_seconds``, ``lag_seconds``; and ``dropped_total`` (``reason``).

    Args:
        registry: where the metrics live; default: the global registry.
        prefix: of their names.
    """

    def __init__(
        self, registry: prometheus_client.CollectorRegistry | None = None, prefix: str = "maccel"
    ) -> None:
        registry = prometheus_client.REGISTRY if registry is None else registry
        self._requests = prometheus_client.Counter(
            f"{prefix}_requests", "Requests that are over", ["model", "outcome"], registry=registry
        )
        self._dropped = prometheus_client.Counter(
            f"{prefix}_dropped", "Requests that were turned away", ["reason"], registry=registry
        )
        self._in_flight = prometheus_client.Gauge(
            f"{prefix}_in_flight", "Requests on their way", ["model"], registry=registry
        )
        self._times = [
            prometheus_client.Histogram(
                f"{prefix}_{name}", text, ["model"], buckets=_BUCKETS, registry=registry
            )
            for name, text in _TIMES.items()
        ]

    def on_admit(self, job: JobView) -> object:
        """Count a request as in flight; its label is the token."""
        label = pathlib.PurePath(job.model).name
        self._in_flight.labels(label).inc()
        return label

    def on_done(self, job: JobView, token: object) -> None:
        """Count and time the end of a request."""
        label = str(token)
        self._in_flight.labels(label).dec()
        outcome = type(job.error).__name__ if job.error is not None else job.state.value
        self._requests.labels(label, outcome).inc()
        timing = job.timing
        if not timing.t_start:  # it never reached a core
            return
        spans = (
            timing.t_start - timing.t_submit,
            timing.t_done - timing.t_start,
            timing.t_reaped - timing.t_done,
        )
        for histogram, nanoseconds in zip(self._times, spans, strict=True):
            histogram.labels(label).observe(nanoseconds / 1e9)

    def on_drop(self, reason: DropReason, n: int) -> None:
        """Count what was turned away."""
        self._dropped.labels(reason).inc(n)


class DeviceCollector(Collector):
    """Gives the counters of a device to Prometheus when it asks: nothing is counted twice.

    Args:
        accelerator: open; when it is closed nothing is given any more.
        registry: where to register; default: the global registry.
        prefix: of the metrics' names.
    """

    def __init__(
        self,
        accelerator: maccel_aio.Accelerator,
        registry: prometheus_client.CollectorRegistry | None = None,
        prefix: str = "maccel",
    ) -> None:
        self._accelerator = accelerator
        self._prefix = prefix
        (prometheus_client.REGISTRY if registry is None else registry).register(self)

    @override
    def collect(self) -> Iterable[metrics_core.Metric]:
        """Return the counters as they are now."""
        try:
            stats, name = self._accelerator.stats(), self._accelerator.name
        except MaccelError:  # closed, or opened in the parent process
            return
        counters = {
            "submitted": stats.submitted, "completed": stats.completed, "failed": stats.failed,
            "canceled": stats.canceled, "expired": stats.expired,
            "busy_seconds": stats.busy_ns / 1e9,
        }  # fmt: skip
        for key, value in counters.items():
            counter = metrics_core.CounterMetricFamily(
                f"{self._prefix}_device_{key}", f"Of the device: {key}", labels=["device"]
            )
            counter.add_metric([name], value)
            yield counter
        gauges = {
            "queued": stats.queued, "running": stats.running, "buffer_bytes": stats.buffer_bytes,
        }  # fmt: skip
        for key, value in gauges.items():
            gauge = metrics_core.GaugeMetricFamily(
                f"{self._prefix}_device_{key}", f"Of the device, now: {key}", labels=["device"]
            )
            gauge.add_metric([name], value)
            yield gauge
