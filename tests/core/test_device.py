"""Devices: names, sharing, options, the order of closing, and what is left for later."""

import gc
import os
import pickle
from pathlib import Path

import anyio
import anyio.lowlevel
import numpy as np
import pytest

import maccel_aio
import maccel_aio.sync
from maccel_aio import Cluster, Core, CoreId, ModelConfig
from maccel_aio._core import _device, _graveyard
from maccel_aio._core._resident import Resident
from maccel_aio._core._ring import Ring
from maccel_aio.errors import ClosedError

X = np.zeros(8, np.float32)


@pytest.fixture
def anyio_backend():
    """Nothing here depends on the event loop."""
    return "asyncio"


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("auto", "soft:0"), (0, "soft:0"), (7, "soft:7"), ("soft", "soft:0"), ("soft:2", "soft:2"),
        ("null", "null:0"), (("soft", 1), "soft:1"), (("null", 3), "null:3"),
        ("fault:soft:0?seed=1", "fault:soft:0?seed=1"), ("soft:0?cores=1", "soft:0?cores=1"),
    ],
)  # fmt: skip
def test_names_of_devices(asked, name):
    assert _device.native_name(asked) == name


@pytest.mark.parametrize("wrong", [1.0, None, b"soft", ["soft", 0], ("soft",), (1, 2, 3), False])
def test_what_is_no_name_is_refused(wrong):
    with pytest.raises(maccel_aio.InvalidError, match="a device is a name"):
        maccel_aio.Accelerator(wrong)


@pytest.mark.parametrize(
    ("device", "match"),
    [
        ("soft:-1", "not a device index"), ("soft:10000", "not a device index"),
        ("soft:x", "not a device index"), ("gpu", "."), ("", "."),
        ("soft:0?nice=20", "nice.*0 to 19"),
        ("soft:0?cores=3", "cores"), ("soft:0?wings=2", "unknown device option.*wings"),
        ("fault:soft:0?delay_ms=x", "delay_ms"), ("fault:soft:0?fail_rate=2", "fail_rate"),
        ("fault:soft:0?hang_every=0", "hang_every"), ("fault:soft:0?bogus=1", "delay_ms"),
        ("fault:", "wraps another kind"), ("fault:fault:soft:0", "wraps another kind"),
        ("soft:0?" + "x" * 200, "longer"), ("null:0?inline=2", "inline"),
    ],
)  # fmt: skip
def test_devices_that_cannot_be_opened_say_why(device, match):
    acc = maccel_aio.sync.Accelerator(device)
    with pytest.raises(maccel_aio.MaccelError, match=match):
        acc.open()
    assert "new" in repr(acc)
    acc.close()
    with pytest.raises(ClosedError):
        acc.open()


def test_a_number_needs_a_bare_name():
    assert maccel_aio.Accelerator("soft", 2).name == "soft:2"
    assert maccel_aio.Accelerator("auto", 2).name == "soft:2"
    for device in (0, ("soft", 1)):
        with pytest.raises(maccel_aio.InvalidError, match="number"):
            maccel_aio.Accelerator(device, 1)


def test_all_spellings_of_one_device_share_it():
    with maccel_aio.sync.Accelerator("auto") as one:
        for other in ("soft", 0, "soft:0", ("soft", 0)):
            with maccel_aio.sync.Accelerator(other) as two:
                assert two._device is one._device
        assert one.stats().open_ns > 0
        with maccel_aio.sync.Accelerator("soft:1") as two:
            assert two._device is not one._device
        assert _device.still_open() == ["soft:0"]
        assert "open [1 owners, 0 parts]" in repr(one._device)
    assert _device.still_open() == []


@pytest.mark.parametrize(
    ("device", "kind", "clusters", "local"),
    [("soft:4", "soft", 2, 4), ("soft:0?cores=1", "soft", 1, 1), ("null:2", "null", 2, 4),
     ("fault:soft:0?seed=3", "fault", 2, 4)],
)  # fmt: skip
def test_a_device_says_what_it_is(device, kind, clusters, local):
    with maccel_aio.sync.Accelerator(device) as acc:
        info = acc.info
        assert (info.kind, info.clusters, info.local_cores) == (kind, clusters, local)
        assert (info.pid, len(acc.cores)) == (os.getpid(), clusters * local)
        assert acc.cores[0] == CoreId(Cluster.Cluster0, Core.Core0)
        assert list(acc.cores) == sorted(acc.cores)
        assert 1 <= info.workers <= max(1, os.cpu_count() or 1)
        assert pickle.loads(pickle.dumps(acc.cores)) == acc.cores
        assert acc.name.startswith(device.split("?")[0])


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are looked up in /proc")
@pytest.mark.parametrize(
    ("device", "steps"), [("soft:6", 1), ("soft:6?nice=0", 0), ("soft:6?nice=19", 19)]
)
def test_cores_stand_back_behind_the_threads_of_the_program(plus_path, device, steps):
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with maccel_aio.sync.Accelerator(device) as acc, acc.load(plus_path) as model:
        job = model.submit(X)  # infer() might do without a thread of the device
        job.result()
        cores = [
            int(task) for task in os.listdir("/proc/self/task") if _name(task).startswith("mx-")
        ]
        assert cores
        ranks = {os.getpriority(os.PRIO_PROCESS, core) for core in cores}
        assert ranks == {min(own + steps, 19)}
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def _name(task):
    try:
        return Path("/proc/self/task", task, "comm").read_text()
    except OSError:  # it has ended
        return ""


def test_the_last_owner_closes_and_only_the_last():
    first, second = _device.acquire("soft:5"), _device.acquire("soft:5")
    assert first is second
    assert first.release(1.0)
    first.check()
    assert first.release(1.0)
    with pytest.raises(ClosedError, match="soft:5 is closed"):
        first.check()
    assert "closed" in repr(first)
    assert first.release(1.0)  # once more harms nobody
    third = _device.acquire("soft:5")
    assert third is not first
    third.release(1.0)


def test_a_device_is_freed_after_its_parts_in_any_order(plus_path):
    for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0), (2, 0, 1)):
        device = _device.acquire("soft:6")
        resident = Resident(device, plus_path, ModelConfig())
        ring = Ring(device, 4)
        acts = (lambda d=device: d.release(1.0), resident.unload, ring.dispose)
        for act in order:
            acts[act]()
        assert _graveyard.sweep() == 0


def test_a_device_that_hangs_is_freed_later_and_can_be_opened_again(plus_path):
    name = "fault:soft:6?delay_ms=120"
    with maccel_aio.sync.Accelerator(name) as acc:
        model = acc.load(plus_path)
        job = model.submit(X)
        while not acc.stats().running:
            pass
        report = acc.close(drain=0.0)
        assert report.timed_out
        with pytest.raises(maccel_aio.MaccelError):
            job.result(10)
    with maccel_aio.sync.Accelerator(name) as again, again.load(plus_path) as model:
        assert model.infer(X)[0][0] == 1
    assert _graveyard.sweep_until_empty(5.0)


def test_what_is_forgotten_is_reported_once_and_freed():
    acc = maccel_aio.sync.Accelerator("soft:8")
    acc.open()
    device = acc._device
    assert device is not None
    with pytest.warns(ResourceWarning, match="'soft:8' open> was never"):  # noqa: PT031 - both
        del acc
        gc.collect()
    device.release(1.0)
    closed = maccel_aio.sync.Accelerator("soft:8")
    closed.open()
    closed.close()
    del closed  # silent
    maccel_aio.sync.Accelerator("soft:8")  # never opened: nothing to report
    gc.collect()


async def test_closing_in_the_middle_of_opening(plus_path):
    """Whoever closes first wins; nobody is left with half a device."""
    for _ in range(10):
        acc = maccel_aio.Accelerator("soft:9")

        async def use(acc=acc):
            try:
                async with acc.load(plus_path) as model:
                    await model.infer(X)
            except ClosedError:
                pass

        async with anyio.create_task_group() as group:
            group.start_soon(use)
            await anyio.lowlevel.checkpoint()
            group.start_soon(acc.aclose)
        assert _device.still_open() == []


async def test_reports_of_closing_are_the_same_for_everybody(plus_path):
    acc = maccel_aio.Accelerator("fault:soft:0?cores=1&delay_ms=20")
    model = await acc.load(plus_path)
    for _ in range(3):
        await model.submit(X)
    reports: list[maccel_aio.CloseReport] = []

    async def close(what):
        reports.append(await what.aclose(drain=5))

    async with anyio.create_task_group() as group:
        for what in (model, model, acc, acc):
            group.start_soon(close, what)
    assert [report.drained for report in reports[:2]] in ([3, 3], [3, 0], [0, 3])
    assert not any(report.timed_out for report in reports)
    assert (await model.aclose()).drained == 3
