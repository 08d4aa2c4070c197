"""One set of shapes of a model of the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Tuple  # noqa: F401, UP035 - as there

from maccel_aio._typing import override
from maccel_aio.compat._shared import npu_calls
from maccel_aio.compat._shared.raw_enum import raw_value
from maccel_aio.compat._shared.variant_handle import BaseModelVariantHandle
from maccel_aio.compat.qbruntime import qbruntime as _raw
from maccel_aio.compat.qbruntime.npu_data import NPUData
from maccel_aio.compat.qbruntime.qbruntime import QbRuntimeError
from maccel_aio.compat.qbruntime.type import *  # noqa: F403 - the names of a vendor's package
from maccel_aio.compat.qbruntime.type import DataType, Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maccel_aio.compat._shared.raw_model import VariantOf
    from maccel_aio.compat._shared.tensor import Tensor


def make_scale(tensor: Tensor) -> Scale:
    """Return the scale of a tensor."""
    scale, zero = tensor.coding
    return Scale(scale, True, [], zero, zero != 0)


def input_type(tensor: Tensor) -> DataType:
    """Return what callers bring for an input."""
    return DataType(_raw.DataType.Uint8 if tensor.takes_pixels else _raw.DataType.Float32)


def acquire_npu_data(
    place: VariantOf, is_input: bool, wanted: tuple[Sequence[int], int, bool, DataType | None]
) -> NPUData:
    """Return memory for an input or output of a variant.

    Args:
        place: the variant.
        is_input: whether it is for an input.
        wanted: shape, index, whether to upload, and type.

    Raises:
        QbRuntimeError: if something does not fit.
    """
    shape, index, upload, dtype = wanted
    tensors = place.variant.inputs if is_input else place.variant.outputs
    number = None if dtype is None else int(raw_value(dtype, _raw.DataType))
    dims = [int(dim) for dim in shape]
    return NPUData(npu_calls.acquire(place.model, tensors, dims, index, bool(upload), number))


class ModelVariantHandle(BaseModelVariantHandle[Scale]):
    """One set of shapes that a model was compiled for; see ``Model.get_model_variant_handle``."""

    _error = QbRuntimeError

    def get_model_input_data_type(self) -> DataType:
        """Return what callers bring: Float32, or Uint8 for pixels."""
        return input_type(self._variant().inputs[0])

    def get_model_output_data_type(self) -> DataType:
        """Return what callers get."""
        return DataType.Float32

    def acquire_input_npu_data(
        self, shape: list[int], idx: int, upload: bool, dtype: DataType
    ) -> NPUData:
        """Return memory for an input: see ``Model.acquire_input_npu_data``.

        Args:
            shape: of the tensor.
            idx: which input.
            upload: whether it is on the model's accelerator.
            dtype: of its elements.

        Raises:
            QbRuntimeError: if something does not fit.
        """
        return acquire_npu_data(self._model_variant_handle, True, (shape, idx, upload, dtype))

    def acquire_output_npu_data(
        self, shape: list[int], idx: int, upload: bool, dtype: DataType
    ) -> NPUData:
        """Return memory for an output: see ``Model.acquire_output_npu_data``.

        Args:
            shape: of the tensor.
            idx: which output.
            upload: whether it is on the model's accelerator.
            dtype: of its elements.

        Raises:
            QbRuntimeError: if something does not fit.
        """
        return acquire_npu_data(self._model_variant_handle, False, (shape, idx, upload, dtype))

    @override
    def _scale(self, tensor: Tensor) -> Scale:
        return make_scale(tensor)
