"""The blocking model of the core, fed with requests that are described already."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from maccel_aio import sync
from maccel_aio._core import _binding
from maccel_aio._core._blocking_stream import BackgroundJob
from maccel_aio._core._segments import keep, stage_call
from maccel_aio.errors import MaccelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from maccel_aio._core._base_model import Prepared
    from maccel_aio._core._port import Call
    from maccel_aio._core._resident import Loaded
    from maccel_aio._typing import Array

Values = dict[str, "Array"]


class Engine(sync.Model):
    """See the base. What the classic calls need beside it. Any thread."""

    @property
    def variants(self) -> tuple[Loaded, ...]:
        """The variants, ready to run.

        Raises:
            ClosedError: if it is closed.
        """
        return self._here().loaded

    def run(self, call: Call) -> list[Array]:
        """Carry out a request.

        Raises:
            MaccelError: as ``infer`` does.
        """
        return self._run(call, None)

    def begin(self, call: Call) -> sync.Job:
        """Submit a request and return its job; blocks only while no credit is free.

        Raises:
            MaccelError: as ``submit`` does.
        """
        return self._port_here().begin(call, None)

    def begin_in_background(self, function: Callable[[], list[Array]]) -> BackgroundJob:
        """Let a worker thread carry something out.

        Raises:
            ClosedError: if it is closed.
        """
        self._here()
        return BackgroundJob(function)

    def submit_then(
        self, arrays: list[Array], show: Callable[[list[Array]], list[Array]]
    ) -> BackgroundJob:
        """Submit a call of a model with state, from its first token on.

        Args:
            arrays: the inputs, without a batch dimension.
            show: makes what the job returns of the outputs.

        Raises:
            MaccelError: as ``submit`` does.
        """
        return self._in_background(self.prepare(arrays, None, 0, None, None, 0), show)

    def run_stages(self, prepared: Prepared, values: Values) -> Values:
        """Run the segments of a variant one after the other and return all values.

        Args:
            prepared: the variant, and how many items there are.
            values: the inputs, each (items, *ONNX shape); filled.

        Raises:
            MaccelError: as ``infer`` does.
        """
        tally = self._tally_here()
        tally.begin()
        status = _binding.CANCELED
        try:
            for stage in prepared.loaded.stages:
                if stage.cpu is not None:
                    made = stage.cpu.run(values)
                else:
                    made = self.run(stage_call(stage, values, prepared))
                keep(stage, made, values)
            status = _binding.OK
        except MaccelError as problem:
            status = problem.code
            raise
        finally:
            tally.end(status)
        return values


def close_with(owner: object, engine: Engine) -> None:
    """Close an engine when its owner is collected, or the process ends."""
    weakref.finalize(owner, engine.close)
