"""A ring that a test turns by hand: no event loop, no thread."""

from typing import Any

import numpy as np
import pytest

from maccel_aio import ModelConfig
from maccel_aio._core import _device, _graveyard, _ring
from maccel_aio._core._job import BaseJob
from maccel_aio._core._port import Call, Port
from maccel_aio._core._resident import Resident
from maccel_aio._typing import override

X = np.arange(8, dtype=np.float32)


class CountedJob(BaseJob):
    """Knows how often it was settled."""

    __slots__ = ("settled",)

    def __init__(self, *args):
        super().__init__(*args)
        self.settled = 0

    @override
    def settle(self, status, timing):
        self.settled += 1
        super().settle(status, timing)


class Rig:
    """A device, a model on it, one ring, and as many ports as asked for; no loop, no thread."""

    def __init__(self, name, path, credits_=8, limits=(8,), max_waiting=None):
        self.device = _device.acquire(name)
        self.resident = Resident(self.device, path, ModelConfig())
        self.loaded = self.resident.loaded[0]
        self.ring = _ring.Ring(self.device, credits_)
        self.woken: list[Any] = []
        self.ports = [
            Port(self.ring, limit, max_waiting, CountedJob, self.woken.extend) for limit in limits
        ]

    def call(self, x=X, out=None, **options):
        planner, bundle = self.loaded.direct, self.loaded.stages[0].bundle
        assert planner is not None
        assert bundle is not None
        plan = planner.plan([x], out)
        assert plan is not None
        return Call(bundle.handle, plan, [x], out, options.pop("deadline_ns", 0),
                    options.pop("priority", 0))  # fmt: skip

    def submit(self, port=None, **options):
        port = port or self.ports[0]
        slot = port.take()
        return None if slot is None else port.start(slot, self.call(**options))

    def reap_until(self, condition):
        for _ in range(20_000):
            if condition():
                return
            if not self.ring.wait(1_000_000):
                continue
            self.ring.reap()
        pytest.fail("the completions did not come")

    def close(self):
        """Stop the device, which ends what hangs, and take everything apart."""
        self.device.release(10.0)
        self.ring.dispose()
        self.resident.unload()
        assert _graveyard.sweep_until_empty(5.0)
