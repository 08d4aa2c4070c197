"""What the two classic models have in common."""

from __future__ import annotations

import abc
import os
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from maccel_aio._typing import override
from maccel_aio.compat._shared import convert
from maccel_aio.compat._shared.described import Described, ScaleT
from maccel_aio.compat._shared.raw_model import RawModel, StateT

if TYPE_CHECKING:
    import logging

    from maccel_aio.compat._shared.buffer import Buffer
    from maccel_aio.compat._shared.config_state import Place
    from maccel_aio.compat._shared.variant import Variant

CoreIdT = TypeVar("CoreIdT")
ModeT = TypeVar("ModeT")


class BaseModel(Described[ScaleT], abc.ABC, Generic[StateT, ScaleT, CoreIdT, ModeT]):
    """A model file; calls need it launched. Any thread, also many at one time.

    Args:
        path: of the ``.mxq`` file.
        state: of the configuration; copied.
        symmetric: whether int8 elements have no zero point.

    Raises:
        TypeError: if the path is none.
        VendorError: if the file cannot be read, or the configuration does not fit it.
    """

    _log: ClassVar[logging.Logger]

    def __init__(self, path: object, state: StateT, symmetric: bool) -> None:
        name = convert.text(os.fspath(path) if isinstance(path, os.PathLike) else path)
        self._model = RawModel(name, state, symmetric, self._error, self._log)
        self._input_shape = self.get_model_input_shape()
        self._output_shape = self.get_model_output_shape()

    def is_target(self, core_id: CoreIdT) -> bool:
        """Return whether the model may run on a core.

        Raises:
            AttributeError: if it is no core.
        """
        raw: Any = core_id._core_id  # type: ignore[attr-defined]  # noqa: SLF001 - the inner layer
        return raw.rank in self._model.places()

    def get_core_mode(self) -> ModeT:
        """Return how cores share the work: for the automatic mode, what it comes to."""
        return self._mode(self._model.mode)

    def get_target_cores(self) -> list[CoreIdT]:
        """Return the cores that the model may run on."""
        return [self._core_id(place) for place in self._model.places()]

    @property
    def target_cores(self) -> list[CoreIdT]:
        """The cores that the model may run on; deprecated by the vendor."""
        return self.get_target_cores()

    def infer_buffer(
        self,
        inputs: list[Buffer],
        outputs: list[Buffer],
        shape: list[list[int]] = [],  # noqa: B006 - never changed
        cache_size: int = 0,
    ) -> None:
        """Run the model once, from buffers into buffers. Blocks.

        Args:
            inputs: one an input: see ``acquire_input_buffer`` and ``reposition_inputs``.
            outputs: one an output.
            shape: of each input, to choose a variant; default: the one of the buffers.
            cache_size: tokens in the KV cache.

        Raises:
            VendorError: if something does not fit, or the device fails.
        """
        raws = [one._buffer for one in inputs], [one._buffer for one in outputs]  # noqa: SLF001
        self._model.infer_buffers(*raws, shape, cache_size)

    def infer_speedrun(self) -> None:
        """Compute once, without bringing inputs in or outputs out.

        Raises:
            VendorError: if the model is not launched, or the device fails.
        """
        self._model.speedrun()

    def get_num_model_variants(self) -> int:
        """Return the number of variants: sets of shapes that the model was compiled for."""
        return len(self._model.variants)

    def get_identifier(self) -> int:
        """Return a number that tells the models of the process apart, from 0 on."""
        return self._model.identifier

    def get_model_path(self) -> str:
        """Return the path of the file, as it was given."""
        return self._model.path

    @override
    def _variant(self) -> Variant:
        return self._model.variants[0]

    @abc.abstractmethod
    def _mode(self, number: int) -> ModeT:
        """Return the enum member of a mode."""

    @abc.abstractmethod
    def _core_id(self, place: Place) -> CoreIdT:
        """Return the core of a place."""
