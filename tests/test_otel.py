"""The OpenTelemetry adapter, with the real SDK."""

from typing import Any

import numpy as np
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import maccel_aio
from maccel_aio import testing
from maccel_aio.otel import OtelHooks

X = np.zeros(8, np.float32)


async def test_a_request_is_a_span_below_the_current_one(tmp_path):
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    hooks = OtelHooks(tracers, MeterProvider([reader]))
    path = testing.tiny_model(tmp_path / "tiny.mxq")
    async with (
        testing.faulty_accelerator(fail_every=2) as acc,
        acc.load(path, hooks=hooks, max_inflight=1) as model,
    ):
        with tracers.get_tracer("test").start_as_current_span("handler") as handler:
            await model.infer(X)
        with pytest.raises(maccel_aio.InferenceError):
            await model.infer(X)
        job = model.try_submit(X)
        with pytest.raises(maccel_aio.QueueFullError):
            model.try_submit(X)
        await job
    spans: list[Any] = [
        span for span in exporter.get_finished_spans() if span.name == "infer tiny.mxq"
    ]
    assert [span.attributes["maccel.outcome"] for span in spans] == [
        "done", "InferenceError", "done",
    ]  # fmt: skip
    assert spans[0].parent is not None
    assert spans[0].parent.span_id == handler.get_span_context().span_id
    assert spans[1].status.status_code is StatusCode.ERROR
    assert spans[0].start_time <= spans[0].end_time
    assert spans[0].attributes["maccel.device_ns"] >= 0
    assert [event.name for event in spans[0].events] == ["core took the request"]
    data: Any = reader.get_metrics_data()
    found = {
        metric.name: list(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert sum(point.count for point in found["maccel.request.duration"]) == 3
    assert found["maccel.request.dropped"][0].value == 1
