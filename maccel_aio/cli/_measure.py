"""Measuring a model: rounds of latency, throughput and speed run, taken in turn."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import numpy as np

from maccel_aio.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from numpy.typing import NDArray

    from maccel_aio import Accelerator, Model, TensorSpec

PERCENTILES = (50, 95, 99)
_LENGTH = 8
"""A dimension of variable length has so many times its unit in a measurement."""


class Spread(NamedTuple):
    """Median and range of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass
class Figures:
    """What the rounds gave; one element a round, except for `latencies_s`.

    Attributes:
        latencies_s: every request of the rounds with one in flight.
        throughput: inferences a second with `depth` in flight.
        busy_share: how much of the cores' time went into work, 0..1, during the same.
        speedrun: inferences a second that the cores compute with `depth` in flight, if nothing
            but computing took time.
        peer_s: the median latency of the peer, where there is one.
    """

    latencies_s: list[float] = field(default_factory=list)
    throughput: list[float] = field(default_factory=list)
    busy_share: list[float] = field(default_factory=list)
    speedrun: list[float] = field(default_factory=list)
    peer_s: list[float] = field(default_factory=list)
    round_latency_s: list[float] = field(default_factory=list)

    def percentiles(self) -> dict[str, float]:
        """Return the latency percentiles in seconds, by names like ``p95``."""
        values = np.percentile(self.latencies_s, PERCENTILES)
        return {f"p{p}": float(v) for p, v in zip(PERCENTILES, values, strict=True)}

    @property
    def efficiency(self) -> float:
        """Throughput as a share of the speed run: what transfers and queues leave, 0..1."""
        return statistics.median(self.throughput) / statistics.median(self.speedrun)

    def peer_ratio(self) -> Spread:
        """Return how many times longer than ours the peer's latency is, round by round."""
        pairs = zip(self.peer_s, self.round_latency_s, strict=True)
        return Spread.of([peer / ours for peer, ours in pairs])


def random_inputs(specs: Sequence[TensorSpec], seed: int = 0) -> list[NDArray[Any]]:
    """Return one request of noise: raw pixels where the model takes them, else real values."""
    rng = np.random.default_rng(seed)
    return [_noise(rng, spec) for spec in specs]


def _noise(rng: np.random.Generator, spec: TensorSpec) -> NDArray[Any]:
    if spec.preprocess is not None:
        order = (0, 2, 3, 1) if spec.layout == "NCHW" else (0, 1, 2, 3)
        return rng.integers(0, 256, [spec.shape[axis] for axis in order], np.uint8)
    shape = [size if size >= 0 else -size * _LENGTH for size in spec.shape]
    if np.dtype(spec.dtype).kind in "biuO":
        whole: NDArray[Any] = rng.integers(0, 2, shape)
        return whole.astype(str if spec.dtype == "object" else spec.dtype)
    values: NDArray[Any] = rng.standard_normal(shape).astype(spec.dtype)
    return values


async def for_seconds(
    seconds: float, depth: int, work: Callable[[int], Awaitable[object]]
) -> tuple[list[float], float]:
    """Keep `depth` calls of `work` under way; return every duration, and calls a second."""
    durations: list[float] = []
    began = time.perf_counter()

    async def loop(worker: int) -> None:
        while (start := time.perf_counter()) - began < seconds:
            await work(worker)
            durations.append(time.perf_counter() - start)

    async with anyio.create_task_group() as tasks:
        for worker in range(depth):
            tasks.start_soon(loop, worker)
    return durations, len(durations) / (time.perf_counter() - began)


class Bench:
    """Measures one model; used by one task.

    Args:
        accelerator: where the model is loaded.
        model: what is measured.
        depth: requests in flight for throughput.
        seconds: length of one part of a round.
        peer: called in a worker thread for one inference of the peer; None for no peer.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: Model,
        *,
        depth: int,
        seconds: float,
        peer: Callable[[], object] | None = None,
    ) -> None:
        self._accelerator, self._model = accelerator, model
        self._depth, self._seconds, self._peer = depth, seconds, peer
        self._inputs = [random_inputs(model.inputs, seed) for seed in range(depth)]
        self.figures = Figures()

    async def _infer(self, worker: int) -> None:
        await self._model.infer(self._inputs[worker])

    async def _speedrun(self) -> float:
        """Return how many inferences a second all cores together could compute."""
        computing: list[float] = []

        async def once(_worker: int) -> None:
            computing.append(await self._model.speedrun(1))

        await for_seconds(self._seconds, self._depth, once)
        if not any(computing):
            raise InvalidError(
                "nothing of this model runs on the device, so there is no speed run to measure; "
                "maccel-aio summary lists its layers"
            )
        cores = min(self._depth, self._accelerator.info.workers)
        return cores / statistics.mean(computing)

    async def warm_up(self) -> None:
        """Run what the rounds run, briefly, so that the first round is like the others."""
        await for_seconds(self._seconds / 10, self._depth, self._infer)
        if self._peer is not None:
            await anyio.to_thread.run_sync(self._run_peer, self._seconds / 10)

    async def round(self) -> None:
        """Measure each figure once."""
        figures = self.figures
        latencies, _ = await for_seconds(self._seconds, 1, self._infer)
        figures.latencies_s += latencies
        figures.round_latency_s.append(statistics.median(latencies))
        before, began = self._accelerator.stats(), time.perf_counter_ns()
        _, rate = await for_seconds(self._seconds, self._depth, self._infer)
        busy = self._accelerator.stats().busy_ns - before.busy_ns
        room = (time.perf_counter_ns() - began) * self._accelerator.info.workers
        figures.throughput.append(rate)
        figures.busy_share.append(busy / room)
        figures.speedrun.append(await self._speedrun())
        if self._peer is not None:
            latency = await anyio.to_thread.run_sync(self._run_peer, self._seconds)
            figures.peer_s.append(latency)

    def _run_peer(self, seconds: float) -> float:
        """Return the median latency of the peer, one call after another."""
        if self._peer is None:
            raise RuntimeError("there is no peer to measure")
        latencies: list[float] = []
        began = time.perf_counter()
        while (start := time.perf_counter()) - began < seconds or not latencies:
            self._peer()
            latencies.append(time.perf_counter() - start)
        return statistics.median(latencies)
