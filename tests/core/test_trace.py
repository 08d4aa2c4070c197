"""Traces are valid by the trace event format, complete, and cost nothing outside of the block."""

import itertools
import json

import anyio
import numpy as np
import pytest

import maccel_aio
import maccel_aio.sync

X = np.arange(8, dtype=np.float32)


def checked(path):
    """Return the events of a file after checking them by the rules of the format."""
    document = json.loads(path.read_text())
    assert set(document) == {"traceEvents", "displayTimeUnit", "otherData"}
    assert document["displayTimeUnit"] in ("ms", "ns")
    open_pairs: dict[object, int] = {}
    rows: dict[object, list[dict[str, float]]] = {}
    for event in document["traceEvents"]:
        assert {"ph", "name", "pid", "tid", "ts"} <= set(event)
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert isinstance(event["ts"], int | float)
        assert event["ph"] in ("M", "X", "b", "e")
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name")
            assert isinstance(event["args"]["name"], str)
        if event["ph"] == "X":
            assert event["dur"] >= 0
            rows.setdefault((event["pid"], event["tid"]), []).append(event)
        if event["ph"] in "be":
            key = (event["cat"], event["id"], event["name"])
            open_pairs[key] = open_pairs.get(key, 0) + (1 if event["ph"] == "b" else -1)
    assert set(open_pairs.values()) <= {0}
    for events in rows.values():  # what shares a row must not overlap
        events.sort(key=lambda event: event["ts"])
        for one, two in itertools.pairwise(events):
            assert one["ts"] + one["dur"] <= two["ts"] + 1e-3
    return document


async def test_every_request_of_the_block_is_in_the_file(plus, tmp_path):
    for _ in range(10):
        await plus.infer(X)
    async with maccel_aio.trace(tmp_path / "t.json") as trace:
        for _ in range(10):
            await plus.infer(X)
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(plus.infer, X)
        assert "20 requests" in repr(trace)
        assert len(plus.port_here().watchers) == 1
    await plus.infer(X)
    assert plus.port_here().watchers == ()
    events = checked(tmp_path / "t.json")["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    assert len(spans) == 20
    assert {event["args"]["outcome"] for event in spans} == {"ok"}
    assert {event["name"] for event in spans} == {"plus.mxq"}
    assert sum(event["ph"] == "b" and event["name"] == "queue" for event in events) == 20
    assert sum(event["ph"] == "b" and event["name"] == "loop lag" for event in events) == 20
    assert {e["args"]["name"] for e in events if e["name"] == "process_name"} == {"soft:0"}


async def test_failures_and_removed_requests_are_told_apart(plus_path, tmp_path):
    async with (
        maccel_aio.Accelerator("fault:soft:0?cores=1&delay_ms=5&fail_every=2") as acc,
        acc.load(plus_path) as model,
        maccel_aio.trace(tmp_path / "t.json"),
    ):
        jobs = [model.try_submit(X) for _ in range(6)]
        jobs[-1].cancel()
        for job in jobs[:-1]:
            with anyio.move_on_after(10):
                try:
                    await job
                except maccel_aio.InferenceError:
                    continue
        while model.stats().cancelled == 0:  # noqa: ASYNC110 - a counter
            await anyio.sleep(0.001)
    events = checked(tmp_path / "t.json")["traceEvents"]
    outcomes = [event["args"]["outcome"] for event in events if event["ph"] == "X"]
    assert outcomes.count("failed") == 2
    assert outcomes.count("ok") == 3


async def test_a_trace_is_bounded_and_says_what_it_left_out(plus, tmp_path):
    async with maccel_aio.trace(tmp_path / "t.json", max_events=3):
        for _ in range(5):
            await plus.infer(X)
    document = checked(tmp_path / "t.json")
    assert document["otherData"]["left_out"] == 2
    with pytest.raises(maccel_aio.InvalidError):
        maccel_aio.trace(tmp_path / "t.json", max_events=0)


def test_the_blocking_face_is_traced_and_cpu_segments_are(tmp_path):
    onnx = pytest.importorskip("onnx", reason="the graph of a CPU segment is made with onnx")
    from tests.core import mxqtools

    node = onnx.helper.make_node("Neg", ["a"], ["b"])
    value = [onnx.helper.make_tensor_value_info(n, 1, [1, 8]) for n in "ab"]
    graph = onnx.helper.make_graph([node], "g", value[:1], value[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 10
    path = mxqtools.segmented(tmp_path / "s.mxq", 8, model.SerializeToString())
    with maccel_aio.sync.load(path) as made, maccel_aio.trace(tmp_path / "t.json"):
        made.infer(X)
    events = checked(tmp_path / "t.json")["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    assert [event["cat"] for event in spans] == ["npu", "cpu", "npu"]
    assert [event["name"] for event in spans] == ["s.mxq npu0", "cpu0", "s.mxq npu1"]
    assert [event["args"].get("segment") for event in spans] == ["npu0", None, "npu1"]


async def test_traces_nest(plus, tmp_path):
    async with maccel_aio.trace(tmp_path / "outer.json"):
        await plus.infer(X)
        async with maccel_aio.trace(tmp_path / "inner.json"):
            await plus.infer(X)
    counts = [
        sum(event["ph"] == "X" for event in checked(tmp_path / f"{name}.json")["traceEvents"])
        for name in ("outer", "inner")
    ]
    assert counts == [2, 1]
