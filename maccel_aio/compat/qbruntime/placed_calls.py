"""Calls of the package with memory that has a place: pinned memory, and ``NPUData``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maccel_aio.compat._shared import npu_calls
from maccel_aio.compat._shared.pinned_memory import RawPinnedMemory
from maccel_aio.compat._shared.status import StatusCode
from maccel_aio.compat.qbruntime.model_variant_handle import acquire_npu_data
from maccel_aio.compat.qbruntime.npu_data import NPUData
from maccel_aio.compat.qbruntime.pinned_memory import PinnedMemory
from maccel_aio.compat.qbruntime.qbruntime import QbRuntimeError

if TYPE_CHECKING:
    from maccel_aio._typing import Array
    from maccel_aio.compat._shared.qbruntime_state import QbRuntimeState
    from maccel_aio.compat._shared.raw_model import RawModel
    from maccel_aio.compat.qbruntime.type import DataType


class PlacedCalls:
    """What ``Model`` has of them."""

    _model: RawModel[QbRuntimeState]

    def infer_pinned_memory(
        self,
        inputs: list[PinnedMemory],
        outputs: list[PinnedMemory] | None = None,
        cache_size: int = 0,
    ) -> list[PinnedMemory] | None:
        """Run the model once on memory of the accelerator, in place. Blocks.

        Args:
            inputs: one an input: see ``Accelerator.allocate_pinned_memory``.
            outputs: one an output, float32; None for new ones.
            cache_size: as for ``infer``.

        Returns:
            The outputs; None if they were given.

        Raises:
            QbRuntimeError: if something does not fit, or as ``infer`` does.
        """
        arrays = [one._array for one in inputs]  # noqa: SLF001 - the inner layer
        given = None if outputs is None else [one._array for one in outputs]  # noqa: SLF001
        try:
            made = self._model.infer(arrays, given, cache_size)
        except ValueError as problem:
            code = StatusCode.Model_ShapeMismatched
            raise QbRuntimeError.of(code, str(problem), self._model.path) from problem
        return None if made is None else [self._pinned(one) for one in made]

    def _pinned(self, array: Array) -> PinnedMemory:
        home = self._model.running().accelerator
        made = RawPinnedMemory(home, array.shape, array.dtype, QbRuntimeError)
        made.array[...] = array
        return PinnedMemory(made)

    def acquire_input_npu_data(
        self,
        shape: list[int],
        idx: int = 0,
        upload: bool = False,
        dtype: DataType | None = None,
    ) -> NPUData:
        """Return memory for an input.

        Args:
            shape: HWC or CHW, with a dimension over the items or without.
            idx: which input.
            upload: whether it is on the model's accelerator, or on the host.
            dtype: of its elements; Int8 for those of the NPU. Default: what callers bring.

        Raises:
            QbRuntimeError: ``Model_ShapeMismatched``, ``Model_DtypeMismatched``, or, to upload,
                ``Model_NotLaunched``.
        """
        return acquire_npu_data(self._model.variant(0), True, (shape, idx, upload, dtype))

    def acquire_output_npu_data(
        self,
        shape: list[int],
        idx: int = 0,
        upload: bool = False,
        dtype: DataType | None = None,
    ) -> NPUData:
        """Return memory for an output.

        Args:
            shape: as for ``acquire_input_npu_data``.
            idx: which output.
            upload: as for ``acquire_input_npu_data``.
            dtype: as for ``acquire_input_npu_data``; default: Float32.

        Raises:
            QbRuntimeError: as ``acquire_input_npu_data`` does.
        """
        return acquire_npu_data(self._model.variant(0), False, (shape, idx, upload, dtype))

    def infer_npu_data(
        self,
        inputs: list[NPUData],
        outputs: list[NPUData] | None = None,
        cache_size: int = 0,
    ) -> list[NPUData] | None:
        """Run the model once on tensors in HWC order, where they are. Blocks.

        Args:
            inputs: one an input; all on the host, or all on the model's accelerator.
            outputs: one an output, in the same place; None for new ones.
            cache_size: as for ``infer``.

        Returns:
            The outputs; None if they were given.

        Raises:
            QbRuntimeError: if something does not fit, or as ``infer`` does.
        """
        return self._infer_npu_data(inputs, outputs, True, cache_size)

    def infer_npu_data_chw(
        self,
        inputs: list[NPUData],
        outputs: list[NPUData] | None = None,
        cache_size: int = 0,
    ) -> list[NPUData] | None:
        """Run the model once on tensors in CHW order, where they are: see ``infer_npu_data``.

        Args:
            inputs: as for ``infer_npu_data``.
            outputs: as for ``infer_npu_data``.
            cache_size: as for ``infer``.

        Raises:
            QbRuntimeError: as ``infer_npu_data`` does.
        """
        return self._infer_npu_data(inputs, outputs, False, cache_size)

    def _infer_npu_data(
        self, inputs: list[NPUData], outputs: list[NPUData] | None, hwc: bool, cache_size: int
    ) -> list[NPUData] | None:
        raws = [one._npu_data for one in inputs]  # noqa: SLF001 - the inner layer
        given = None if outputs is None else [one._npu_data for one in outputs]  # noqa: SLF001
        made = npu_calls.infer(self._model, raws, given, hwc, cache_size)
        return [NPUData(one) for one in made] if outputs is None else None
