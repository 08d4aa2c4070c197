"""Spans and metrics of models for OpenTelemetry. Needs the extra ``otel``.

::

    async with accelerator.load("network.mxq", hooks=maccel_aio.otel.OtelHooks()) as model:
        ...
"""

from __future__ import annotations

import pathlib
import time
from typing import TYPE_CHECKING, NamedTuple

from maccel_aio.errors import UnsupportedError

try:
    from opentelemetry import metrics, trace
except ImportError as problem:
    raise UnsupportedError(
        'this needs opentelemetry-api: pip install "maccel-aio[otel]"'
    ) from problem

if TYPE_CHECKING:
    from maccel_aio._core._observe import DropReason, JobView

__all__ = ["OtelHooks"]


class _Token(NamedTuple):
    span: trace.Span
    attributes: dict[str, str]


class OtelHooks:
    """Hooks that make one span a request, a child of the span that was current at submission.

    The span has the attributes ``maccel.model``, ``maccel.device``, ``maccel.items``,
    ``maccel.outcome``, ``maccel.queue_ns``, ``maccel.device_ns`` and ``maccel.lag_ns``, and an
    event where a core took the request. The metrics are ``maccel.request.duration`` (seconds) and
    ``maccel.request.dropped``.

    Args:
        tracer_provider: default: the global one.
        meter_provider: default: the global one.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer("maccel_aio", tracer_provider=tracer_provider)
        meter = metrics.get_meter("maccel_aio", meter_provider=meter_provider)
        self._duration = meter.create_histogram(
            "maccel.request.duration", "s", "From submission to result"
        )
        self._dropped = meter.create_counter(
            "maccel.request.dropped", "{request}", "Requests that were turned away"
        )
        #: CLOCK_MONOTONIC to the epoch, nanoseconds.
        self._epoch = time.time_ns() - time.monotonic_ns()

    def on_admit(self, job: JobView) -> object:
        """Start a span."""
        model = pathlib.PurePath(job.model).name
        attributes = {"maccel.model": model, "maccel.device": job.device}
        span = self._tracer.start_span(
            f"infer {model}", kind=trace.SpanKind.CLIENT,
            attributes={**attributes, "maccel.items": job.items},
            start_time=self._epoch + time.monotonic_ns(),
        )  # fmt: skip
        return _Token(span, attributes)

    def on_done(self, job: JobView, token: object) -> None:
        """End the span, and count how long it took."""
        if not isinstance(token, _Token):
            return
        timing, span = job.timing, token.span
        outcome = job.state.value if job.error is None else type(job.error).__name__
        span.set_attribute("maccel.outcome", outcome)
        if timing.t_start:
            span.set_attribute("maccel.queue_ns", timing.t_start - timing.t_submit)
            span.set_attribute("maccel.device_ns", timing.t_done - timing.t_start)
            span.set_attribute("maccel.lag_ns", timing.t_reaped - timing.t_done)
            span.add_event("core took the request", timestamp=self._epoch + timing.t_start)
        if job.error is not None:
            span.record_exception(job.error)
            span.set_status(trace.StatusCode.ERROR, str(job.error))
        ended = timing.t_reaped or time.monotonic_ns()
        span.end(self._epoch + ended)
        if timing.t_submit:
            self._duration.record(
                (ended - timing.t_submit) / 1e9, {**token.attributes, "maccel.outcome": outcome}
            )

    def on_drop(self, reason: DropReason, n: int) -> None:
        """Count what was turned away."""
        self._dropped.add(n, {"maccel.reason": reason})
