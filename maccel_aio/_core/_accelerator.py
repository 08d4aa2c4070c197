"""The asynchronous accelerator, and loading in one step."""

from __future__ import annotations

import functools
import threading
import time
import warnings
from typing import TYPE_CHECKING, Self

import anyio
import anyio.to_thread
import numpy as np

from maccel_aio._core import _binding, _device
from maccel_aio._core._buffer import Buffer
from maccel_aio._core._events import DeviceEvents, Watch
from maccel_aio._core._model import Model
from maccel_aio._core._resident import Resident
from maccel_aio._core._threads import Opening, shielded
from maccel_aio._core._types import CloseReport
from maccel_aio._typing import override
from maccel_aio.errors import ClosedError, InvalidError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from numpy.typing import DTypeLike

    from maccel_aio._core._config import ModelConfig
    from maccel_aio._core._devices import Pool
    from maccel_aio._core._observe import Hooks
    from maccel_aio._core._types import CoreId, DeviceStats


class BaseAccelerator:
    """What the faces' accelerators have in common. Any thread.

    Args:
        device: "auto", a number, a native name, or (name, number).
        number: of the device, when ``device`` is a bare name.

    Raises:
        InvalidError: if it is none of these.
    """

    def __init__(self, device: _device.DeviceName = "auto", number: int | None = None) -> None:
        if number is not None:
            if not isinstance(device, str):
                raise InvalidError(f"a number needs the bare name of a device, not {device!r}")
            device = (device, number)
        self._requested = _device.native_name(device)
        self._device: _device.NativeDevice | None = None
        self._lock = threading.Lock()
        self._shut = False

    @override
    def __repr__(self) -> str:
        state = "closed" if self._shut else "new" if self._device is None else "open"
        return f"<{type(self).__name__} {self.name!r} {state}>"

    def __del__(self) -> None:
        if getattr(self, "_device", None) is not None and not self._shut:
            warnings.warn(f"{self!r} was never closed", ResourceWarning, source=self, stacklevel=1)

    @property
    def name(self) -> str:
        """The device's canonical name; as requested until it is open."""
        return self._requested if self._device is None else self._device.info.name

    @property
    def info(self) -> _binding.DeviceInfo:
        """What the device says of itself: its kind, its cores, how many of them run at one time.

        Raises:
            ClosedError: if the accelerator is not open.
        """
        return self._here().info

    @property
    def cores(self) -> tuple[CoreId, ...]:
        """The cores that can each run a request.

        Raises:
            ClosedError: if the accelerator is not open.
        """
        return self._here().cores

    def stats(self) -> DeviceStats:
        """Return a snapshot of the device's counters, over everybody who uses it.

        Raises:
            ClosedError: if the accelerator is not open.
        """
        return self._here().stats()

    def allocate(
        self, shape: int | Sequence[int], dtype: DTypeLike = np.float32, *, shared: bool = False
    ) -> Buffer:
        """Take memory of the device as an array. Any thread; nothing is copied, nothing waits.

        Args:
            shape: of the array.
            dtype: of its elements.
            shared: let another process map it, by ``Buffer.fileno``.

        Raises:
            InvalidError: if shape or dtype cannot be.
            OutOfMemoryError: if there is not so much memory.
            ClosedError: if the accelerator is not open.
        """
        return Buffer(self._here(), shape, dtype, shared=shared)

    def _here(self) -> _device.NativeDevice:
        if self._device is None or self._shut:
            state = "closed" if self._shut else "not open yet"
            raise ClosedError(f"the accelerator {self._requested} is {state}")
        self._device.check()
        return self._device

    def open_blocking(self) -> _device.NativeDevice:
        """Open the device if it is not open yet. Blocks.

        Raises:
            DeviceNotFoundError: if there is none of this name.
            ClosedError: if the accelerator is closed.
        """
        with self._lock:
            if self._shut:
                raise ClosedError(f"the accelerator {self._requested} is closed")
            if self._device is None:
                self._device = _device.acquire(self._requested)
            self._device.check()
            return self._device

    def load_resident(self, path: str | os.PathLike[str], config: ModelConfig) -> Resident:
        """Load a file. Blocks."""
        return Resident(self.open_blocking(), path, config)

    def release_blocking(self, timeout_s: float) -> bool:
        """Give the device up; False when it could not be stopped in time. Blocks."""
        with self._lock:
            device = self._device
        return True if device is None else device.release(timeout_s)


class Accelerator(BaseAccelerator):
    """An accelerator, for event loops. Opened at its first use, shared by name in the process.

    Args:
        device: "auto" (the best there is), a number, a native name such as "soft:0", "null" or
            "fault:soft:0?...", or a pair like ("soft", 1).
        number: of the device, when ``device`` is a bare name: ``Accelerator("soft", 1)``.

    Raises:
        InvalidError: if it is none of these.
    """

    def __init__(self, device: _device.DeviceName = "auto", number: int | None = None) -> None:
        super().__init__(device, number)
        self._models: dict[int, Model] = {}
        self._report: CloseReport | None = None

    async def open(self) -> None:
        """Open the device now rather than at its first use.

        Raises:
            DeviceNotFoundError: if there is none of this name.
            ClosedError: if the accelerator is closed.
        """
        if self._device is None or self._shut:
            await anyio.to_thread.run_sync(self.open_blocking)
        self._here()

    def load(
        self,
        path: str | os.PathLike[str],
        config: ModelConfig | None = None,
        *,
        max_inflight: int | None = None,
        max_waiting: int | None = 1024,
        cancel_grace: float = 1.0,
        hooks: Hooks | None = None,
        inline: bool = False,
    ) -> Opening[Model]:
        """Load a model: ``await`` the result, or use it in ``async with``.

        Args:
            path: of the ``.mxq`` file.
            config: which cores.
            max_inflight: most requests that one event loop may have in flight.
            max_waiting: most requests that may wait for a credit; None for no bound.
            cancel_grace: see ``Model``.
            hooks: told about every request; None for nobody.
            inline: see ``Model``.

        Raises:
            ModelFormatError: if the file is not a sound model.
            FileNotFoundError: if there is none.
            DeviceNotFoundError: if there is no such device.
        """
        make = functools.partial(
            Model, path, config, max_inflight=max_inflight, max_waiting=max_waiting,
            cancel_grace=cancel_grace, hooks=hooks, inline=inline,
        )  # fmt: skip
        return Opening(functools.partial(self._load, make, owned=False))

    async def _load(self, make: Callable[[], Model], *, owned: bool) -> Model:
        model = make()
        try:
            await model.launch(self)
        except BaseException:  # also a cancellation
            if owned:
                await self.aclose()
            raise
        model._owns_accelerator = owned  # noqa: SLF001 - one mechanism
        return model

    def pool(self, *others: _device.DeviceName | Accelerator) -> Opening[Pool]:
        """Let this accelerator and others share the work of models: see ``open_pool``.

        Args:
            *others: names of devices, or accelerators.

        Raises:
            InvalidError: if one of them is there twice.
        """
        from maccel_aio._core._devices import open_pool

        return open_pool([self, *others])

    def events(self, *, interval: float = 0.1, stall: float = 10.0) -> DeviceEvents:
        """Watch the device: ``async with`` the result, then ``async for`` its events.

        Args:
            interval: seconds between two looks while somebody waits for an event.
            stall: seconds without a completion after which a device with work has stalled.

        Raises:
            InvalidError: if one of them is not positive.
            ClosedError: by the block, if the accelerator is not open.
        """
        return DeviceEvents(lambda: Watch(self.name, self.stats, stall), interval)

    def adopt(self, model: Model) -> None:
        """Remember a model, to close it with the accelerator."""
        self._models[id(model)] = model

    def disown(self, model: Model) -> None:
        """Forget a model that is closed."""
        self._models.pop(id(model), None)

    async def aclose(self, drain: float | None = 5.0) -> CloseReport:
        """Close the models, then the device unless another accelerator uses it. Idempotent.

        It is shielded from cancellation and bounded by ``drain``.

        Args:
            drain: longest wait for what runs, seconds; None for no bound.
        """
        if self._shut:
            while self._report is None:  # noqa: ASYNC110 - its closer may run in another loop
                await anyio.sleep(0.002)
            return self._report
        self._shut = True
        report = await shielded(self._close(3600.0 if drain is None else drain))
        self._report = report
        return report

    async def _close(self, drain: float) -> CloseReport:
        limit = time.monotonic() + drain
        drained = abandoned = 0
        for model in list(self._models.values()):
            report = await model.aclose(max(limit - time.monotonic(), 0.0))
            drained += report.drained
            abandoned += report.abandoned
        remaining = max(limit - time.monotonic(), 0.0)
        stopped = await anyio.to_thread.run_sync(self.release_blocking, remaining)
        return CloseReport(drained, abandoned, timed_out=abandoned > 0 or not stopped)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def load(
    path: str | os.PathLike[str],
    config: ModelConfig | None = None,
    accelerator: Accelerator | None = None,
) -> Opening[Model]:
    """Load a model in one step: ``await`` the result, or use it in ``async with``.

    Args:
        path: of the ``.mxq`` file.
        config: which cores.
        accelerator: where to; default: the best there is, closed with the model.

    Raises:
        ModelFormatError: if the file is not a sound model.
        FileNotFoundError: if there is none.
    """
    if accelerator is not None:
        return accelerator.load(path, config)

    async def start() -> Model:
        made = Accelerator()
        return await made._load(functools.partial(Model, path, config), owned=True)  # noqa: SLF001

    return Opening(start)
