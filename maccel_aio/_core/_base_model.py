"""What the asynchronous and the blocking model have in common: everything that needs no waiting."""

from __future__ import annotations

import threading
import warnings
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from maccel_aio._core import _binding, _edges, _limits, _shapes
from maccel_aio._core._arrays import Plan, as_arrays
from maccel_aio._core._buffer import Buffer
from maccel_aio._core._config import ModelConfig
from maccel_aio._core._histogram import Histogram
from maccel_aio._core._observe import HookWatcher, attach
from maccel_aio._core._port import Call, Port
from maccel_aio._core._steps import Step, Steps, split
from maccel_aio._core._summary import summary
from maccel_aio._core._types import ModelStats
from maccel_aio._typing import override
from maccel_aio.errors import (
    ClosedError,
    InvalidError,
    NoCacheError,
    ShapeError,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from maccel_aio._core._job import BaseJob
    from maccel_aio._core._manifest import Manifest
    from maccel_aio._core._observe import Hooks
    from maccel_aio._core._resident import Bundle, Loaded, Resident
    from maccel_aio._core._state import CacheInfo, State
    from maccel_aio._core._types import LayerTime, TensorSpec
    from maccel_aio._typing import Array

#: Fewest credits of a model per event loop or thread.
_MIN_CREDITS = 64
#: A plan for requests that only compute.
_NO_TRANSFER = Plan(_shapes.Match(None, 1, False), b"", 0, (), (), (), False, False)


class Prepared(NamedTuple):
    """A call whose arrays fit a variant."""

    loaded: Loaded
    arrays: list[Array]
    out: list[Array] | None
    #: For a model that is one NPU program, else None.
    plan: Plan | None
    match: _shapes.Match
    deadline_ns: int
    priority: int
    #: Jobs that write the arrays.
    after: tuple[BaseJob, ...] = ()
    #: For a model that keeps state, else None.
    steps: Steps | None = None

    def call(self) -> Call:
        """Return the native request of a model that is one NPU program."""
        bundle = self.loaded.stages[0].bundle
        if self.plan is None or bundle is None:
            raise InvalidError("the model is not one NPU program")
        arrays = self.arrays
        if self.plan.needs_copy:
            arrays = self.plan.copy(arrays)
        return Call(
            bundle.handle, self.plan, arrays, self.out, self.deadline_ns, self.priority,
            after=self.after,
        )  # fmt: skip


class BaseModel:
    """A model file on a device. See the faces for what waits.

    Args:
        path: of the ``.mxq`` file.
        config: which cores; copied.
        max_inflight: most requests that one event loop or thread may have in flight.
        max_waiting: most requests that may wait for a credit; None for no bound.
        cancel_grace: how long a cancelled request with ``out=`` waits for the device, seconds.
        hooks: told about every request; None for nobody.

    Raises:
        InvalidError: if a bound is not possible.
    """

    #: Room of the ring that requests go through.
    _ring_credits: ClassVar[int]

    def __init__(
        self,
        path: str | os.PathLike[str],
        config: ModelConfig | None = None,
        *,
        max_inflight: int | None = None,
        max_waiting: int | None = 1024,
        cancel_grace: float = 1.0,
        hooks: Hooks | None = None,
    ) -> None:
        if max_inflight is not None and max_inflight < 1:
            raise InvalidError(f"max_inflight must be at least 1, got {max_inflight}")
        if max_waiting is not None and max_waiting < 0:
            raise InvalidError(f"max_waiting must be at least 0, got {max_waiting}")
        if not cancel_grace >= 0:  # NaN is not, either
            raise InvalidError(f"cancel_grace must be at least 0 s, got {cancel_grace}")
        self._path = path
        self._config = ModelConfig() if config is None else config.copy()
        self._max_inflight = max_inflight
        self._max_waiting = max_waiting
        self.cancel_grace = cancel_grace
        self._hooks = None if hooks is None else HookWatcher(hooks)
        self._resident: Resident | None = None
        #: Of the inputs; empty when all are float32.
        self.dtypes: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._ports: list[Port] = []
        #: Sums over ports whose loop or thread has ended.
        self._past = ModelStats(0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0)
        self._shut = False

    @override
    def __repr__(self) -> str:
        state = "closed" if self._shut else "new" if self._resident is None else "launched"
        stats = self.stats()
        return (
            f"<{type(self).__name__} {str(self._path)!r} {state} "
            f"[{stats.in_flight} in flight, {stats.waiting} waiting, {stats.completed} completed]>"
        )

    def __del__(self) -> None:
        if getattr(self, "_resident", None) is not None and not self._shut:
            warnings.warn(f"{self!r} was never closed", ResourceWarning, source=self, stacklevel=1)

    # ---- description

    @property
    def path(self) -> str:
        """The file, as it was given."""
        return str(self._path)

    @property
    def config(self) -> ModelConfig:
        """A copy of the configuration."""
        return self._config.copy()

    @property
    def manifest(self) -> Manifest:
        """What the file says of itself.

        Raises:
            ClosedError: if the model is not launched.
        """
        return self._here().manifest

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs of the first variant, in order; those that carry state are not among them."""
        resident = self._here()
        if resident.state is not None:
            return tuple(resident.state.inputs)
        return resident.loaded[0].variant.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs of the first variant, in order; without those that carry state."""
        resident = self._here()
        if resident.state is not None:
            return tuple(resident.state.outputs)
        return resident.loaded[0].variant.outputs

    @property
    def cache_infos(self) -> list[CacheInfo]:
        """The caches that the model keeps from one call to the next; none for most models."""
        state = self._here().state
        return [] if state is None else state.infos

    def summary(self) -> str:
        """Return a description of the model for people."""
        return summary(self._here().manifest)

    def stats(self) -> ModelStats:
        """Return a snapshot of the counters, over all event loops and threads."""
        with self._lock:
            ports, past = list(self._ports), self._past
        return _add_up(ports, past)._replace(max_inflight=self._credits())

    def set_profile(self, on: bool) -> None:
        """Switch per-layer times on, from zero, or off. Costs nothing while off."""
        self._here().set_profile(on)

    def layer_times(self) -> list[LayerTime]:
        """Return the time of each NPU layer since profiling was switched on."""
        return self._here().layer_times()

    # ---- for the faces

    def _here(self) -> Resident:
        if self._resident is None or self._shut:
            state = "closed" if self._shut else "not launched"
            raise ClosedError(f"the model is {state}", path=str(self._path))
        return self._resident

    def _state(self) -> State:
        state = self._here().state
        if state is None:
            raise NoCacheError("the model keeps nothing from one call to the next")
        return state

    def _credits(self) -> int:
        if self._max_inflight is not None:
            return min(self._max_inflight, self._ring_credits)
        if self._resident is None:
            return _MIN_CREDITS
        info = self._resident.device.info
        contexts = self._config.get_activation_slots()
        if contexts <= 0:
            contexts = info.clusters * info.local_cores
        return min(max(_MIN_CREDITS, 2 * contexts), self._ring_credits)

    def _settle_in(self, resident: Resident) -> None:
        """Take a loaded model over, or give it back when this one was closed meanwhile."""
        with self._lock:
            if self._resident is not None or self._shut:
                resident.unload()
                raise ClosedError("the model was launched or closed before", path=str(self._path))
            self._resident = resident
            self.dtypes = _edges.dtypes(self.inputs)

    def converted(self, x: object) -> list[Array]:
        """Return the inputs of a call as arrays that the model can read.

        Raises:
            InvalidError: if an array cannot become what its input takes.
        """
        return _edges.convert(as_arrays(x), self.dtypes)

    def _add_port(self, port: Port) -> None:
        """Add a port, and count those whose loop or thread has ended as past."""
        attach(port, self.path, self._hooks)
        with self._lock:
            gone = [other for other in self._ports if other.is_gone()]
            self._past = _add_up(gone, self._past)
            self._ports = [other for other in self._ports if other not in gone] + [port]

    def prepare(
        self,
        arrays: list[Array],
        out: Sequence[Array | Buffer] | None,
        cache_size: int,
        params: object,
        deadline: float | None,
        priority: int,
    ) -> Prepared:
        """Check a call and find its plan. Converts nothing: arrays must not need a cast.

        Raises:
            ShapeError: if the arrays fit no variant.
            InvalidError: if an argument is not of its type.
            DeadlineError: if the deadline is not in the future, or nearer than the model needs.
            NoCacheError: if it asks for a cache that the model does not have.
            CacheOverflowError: if its tokens find no room in the cache.
        """
        deadline_ns = _limits.absolute(self._config, deadline)
        given = None if out is None else _checked_out(out)
        priority = checked_priority(priority)
        resident = self._here()
        if resident.state is not None:
            wanted = _checked_params(params)
            steps = split(resident.state, arrays, given, cache_size, wanted)
            limit_ns = _limits.limit(resident.loaded[0], deadline_ns)
            return Prepared(
                resident.loaded[0], arrays, given, None, _NO_TRANSFER.match, limit_ns, priority,
                steps=steps,
            )  # fmt: skip
        if cache_size or params:
            raise NoCacheError("the model has no KV cache: leave cache_size and params out")
        for loaded in resident.loaded:
            made = fit(loaded, arrays, given, deadline_ns, priority)
            if made is not None:
                limit_ns = _limits.limit(loaded, deadline_ns)
                return made if limit_ns == deadline_ns else made._replace(deadline_ns=limit_ns)
        raise ShapeError(self._mismatch(arrays))

    def prepare_step(self, call: Prepared, step: Step) -> Prepared:
        """Return one step of a call of a model with state as a call of its own.

        Raises:
            ShapeError: if it does not fit its variant.
        """
        loaded = self._here().loaded[step.variant]
        arrays = [step.inputs[spec.name] for spec in loaded.variant.inputs]
        out = [step.outputs[spec.name] for spec in loaded.variant.outputs]
        made = fit(loaded, arrays, out, call.deadline_ns, call.priority)
        if made is None:
            raise ShapeError(self._mismatch(arrays))
        return made

    def _mismatch(self, arrays: Sequence[Array]) -> str:
        got = ", ".join(f"{array.dtype} {array.shape}" for array in arrays) or "nothing"
        wanted = " | ".join(_shapes.describe(one.variant.inputs) for one in self._here().loaded)
        return f"the arrays do not fit the model: expected {wanted}; got {got}"

    def _single(self, bundle: Bundle, deadline_ns: int) -> Call:
        """Return a request that computes and transfers nothing."""
        return Call(
            bundle.handle, _NO_TRANSFER, [], None, deadline_ns, 0, flags=_binding.COMPUTE_ONLY
        )

    def _in_flight(self) -> int:
        if self._resident is not None and self._resident.device.forked:
            return 0  # all that the ports know of runs in the parent
        ports = list(self._ports)
        outer = sum(port.in_flight for port in ports if not port.inner)
        return max(outer, sum(port.in_flight for port in ports if port.inner))


def fit(
    loaded: Loaded,
    arrays: list[Array],
    out: list[Array] | None,
    deadline_ns: int,
    priority: int,
) -> Prepared | None:
    """Return the call of a variant; None when the arrays do not fit it.

    Raises:
        ShapeError: if ``out`` does not fit.
    """
    if loaded.direct is not None:
        plan = loaded.direct.plan(arrays, out)
        if plan is None:
            return None
        return Prepared(loaded, arrays, out, plan, plan.match, deadline_ns, priority)
    found = _shapes.match(loaded.variant.inputs, [array.shape for array in arrays])
    if found is None:
        return None
    made = Prepared(loaded, arrays, out, None, found, deadline_ns, priority)
    _edges.check_staged(made)
    return made


def _add_up(every: Sequence[Port], past: ModelStats) -> ModelStats:
    ports = [port for port in every if not port.inner]
    completed = past.completed + sum(port.completed for port in ports)
    lag = past.lag_mean_ns * past.completed + sum(port.lag_sum_ns for port in every)
    return ModelStats(
        submitted=past.submitted + sum(port.submitted for port in ports),
        completed=completed,
        failed=past.failed + sum(port.failed for port in ports),
        cancelled=past.cancelled + sum(port.cancelled for port in ports),
        expired=past.expired + sum(port.expired for port in ports),
        abandoned=sum(port.abandoned for port in ports),
        in_flight=sum(port.in_flight for port in ports),
        waiting=sum(len(port.waiters) for port in ports),
        max_inflight=0,
        lag_mean_ns=lag / completed if completed else 0.0,
        lag_max_ns=max((past.lag_max_ns, *(port.lag_max_ns for port in every))),
        lag=Histogram(
            tuple(map(sum, zip(past.lag.counts, *(p.lag_counts for p in every), strict=True)))
        ),
    )


def _checked_out(out: object) -> list[Array]:
    if not isinstance(out, list | tuple):
        raise InvalidError(f"out must be a list of arrays, not one {type(out).__name__}")
    arrays = [array.target() if isinstance(array, Buffer) else array for array in out]
    for array in arrays:
        if not isinstance(array, np.ndarray):
            raise InvalidError(f"out must be a list of arrays, but holds a {type(array).__name__}")
    return arrays


def _checked_params(params: object) -> list[Any]:
    names = ("sequence_length", "cache_size", "cache_id")
    items = list(params) if isinstance(params, list | tuple) else params
    if items is None:
        return []
    if not isinstance(items, list) or not all(hasattr(i, n) for i in items for n in names):
        raise InvalidError(f"params is a list of BatchParam, not {params!r}")
    return items


def checked_priority(priority: object) -> int:
    """Return a priority as a number.

    Raises:
        InvalidError: if it is none of 32 bits.
    """
    if hasattr(priority, "__index__"):
        number = int(priority.__index__())
        if -(1 << 31) <= number < 1 << 31:
            return number
    raise InvalidError(f"a priority is an integer of 32 bits, not {priority!r}")
