"""Several accelerators as one: what is loaded here runs on all of them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Self

import anyio

# The module, not its class: it needs this one for its annotations.
from maccel_aio._core import _accelerator
from maccel_aio._core._pooled import PooledModel, add_reports
from maccel_aio._core._replica import Replica
from maccel_aio._core._threads import Opening
from maccel_aio._typing import override
from maccel_aio.errors import InvalidError, UnsupportedError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from types import TracebackType

    from maccel_aio._core._config import ModelConfig
    from maccel_aio._core._device import DeviceName
    from maccel_aio._core._model import Model
    from maccel_aio._core._observe import Hooks
    from maccel_aio._core._types import CloseReport, DeviceStats


class Pool:
    """Accelerators that share the work. Made by ``open_pool``.

    Args:
        devices: names of devices, which the pool opens and closes, or accelerators, which it
            opens and their owner closes.

    Raises:
        InvalidError: if there is none, or one twice.
    """

    def __init__(self, devices: Sequence[DeviceName | _accelerator.Accelerator]) -> None:
        self._owned: list[_accelerator.Accelerator] = []
        self._all: list[_accelerator.Accelerator] = []
        for device in devices:
            if isinstance(device, _accelerator.Accelerator):
                self._all.append(device)
            else:
                self._owned.append(_accelerator.Accelerator(device))
                self._all.append(self._owned[-1])
        names = [accelerator.name for accelerator in self._all]
        if not names or len(set(names)) < len(names):
            raise InvalidError(f"a pool needs at least one device and none twice, not {names}")

    @override
    def __repr__(self) -> str:
        return f"<Pool of {', '.join(accelerator.name for accelerator in self._all)}>"

    @property
    def accelerators(self) -> tuple[_accelerator.Accelerator, ...]:
        """The accelerators, in order."""
        return tuple(self._all)

    def stats(self) -> dict[str, DeviceStats]:
        """Return a snapshot of the counters of each device, by name.

        Raises:
            ClosedError: if one is not open.
        """
        return {accelerator.name: accelerator.stats() for accelerator in self._all}

    def load(
        self,
        path: str | os.PathLike[str],
        config: ModelConfig | None = None,
        *,
        max_inflight: int | None = None,
        max_waiting: int | None = 1024,
        cancel_grace: float = 1.0,
        hooks: Hooks | None = None,
    ) -> Opening[PooledModel]:
        """Load a model onto every device: ``await`` the result, or use it in ``async with``.

        Args:
            path: of the ``.mxq`` file.
            config: which cores.
            max_inflight: most requests that one event loop may have in flight on each device.
            max_waiting: most requests that may wait for a credit of each device.
            cancel_grace: see ``Model``.
            hooks: told about every request; None for nobody.

        Raises:
            ModelFormatError: if the file is not a sound model.
            FileNotFoundError: if there is none.
            UnsupportedError: if the model keeps state between calls.
        """

        async def load_on(accelerator: _accelerator.Accelerator) -> Model:
            return await accelerator.load(
                path, config, max_inflight=max_inflight, max_waiting=max_waiting,
                cancel_grace=cancel_grace, hooks=hooks,
            )  # fmt: skip

        return Opening(functools.partial(self._load, load_on))

    async def _load(self, load_on: _Loader) -> PooledModel:
        made: list[Replica] = []
        try:
            for accelerator in self._all:
                model = await load_on(accelerator)
                made.append(Replica(accelerator.name, model))
                _check_stateless(model)
        except BaseException:  # also a cancellation: none may stay behind
            with anyio.CancelScope(shield=True):
                for replica in made:
                    await replica.model.aclose(0.0)
            raise
        return PooledModel(made)

    async def open(self) -> Self:
        """Open all devices.

        Raises:
            DeviceNotFoundError: if one is not there.
        """
        try:
            for accelerator in self._all:
                await accelerator.open()
        except BaseException:
            await self.aclose(0.0)
            raise
        return self

    async def aclose(self, drain: float | None = 5.0) -> CloseReport:
        """Close the accelerators that the pool made, at the same time. Idempotent, bounded.

        Args:
            drain: longest wait for what runs, seconds; None for no bound.
        """
        reports: list[CloseReport] = []

        async def close(accelerator: _accelerator.Accelerator) -> None:
            reports.append(await accelerator.aclose(drain))

        async with anyio.create_task_group() as tasks:
            for accelerator in self._owned:
                tasks.start_soon(close, accelerator)
        return add_reports(reports)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _check_stateless(model: Model) -> None:
    if model.cache_infos:
        raise UnsupportedError(
            "the model keeps state between calls, and its replicas would differ in it: load it on "
            "one accelerator"
        )


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    _Loader = Callable[[_accelerator.Accelerator], Awaitable[Model]]


def open_pool(devices: Sequence[DeviceName | _accelerator.Accelerator]) -> Opening[Pool]:
    """Open several devices as one: ``await`` the result, or use it in ``async with``.

    Args:
        devices: names such as ``["soft:0", "soft:1"]``, or accelerators.

    Raises:
        InvalidError: if there is none, or one twice.
        DeviceNotFoundError: if one is not there.
    """
    return Opening(Pool(devices).open)
