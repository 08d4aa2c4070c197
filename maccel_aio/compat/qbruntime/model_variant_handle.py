"""One set of shapes of a model of the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Tuple  # noqa: F401, UP035 - as there

from maccel_aio._typing import override
from maccel_aio.compat._shared.variant_handle import BaseModelVariantHandle
from maccel_aio.compat.qbruntime import qbruntime as _raw
from maccel_aio.compat.qbruntime.qbruntime import QbRuntimeError
from maccel_aio.compat.qbruntime.type import *  # noqa: F403 - the names of a vendor's package
from maccel_aio.compat.qbruntime.type import DataType, Scale

if TYPE_CHECKING:
    from maccel_aio.compat._shared.tensor import Tensor


def make_scale(tensor: Tensor) -> Scale:
    """Return the scale of a tensor."""
    scale, zero = tensor.coding
    return Scale(scale, True, [], zero, zero != 0)


def input_type(tensor: Tensor) -> DataType:
    """Return what callers bring for an input."""
    return DataType(_raw.DataType.Uint8 if tensor.takes_pixels else _raw.DataType.Float32)


class ModelVariantHandle(BaseModelVariantHandle[Scale]):
    """One set of shapes that a model was compiled for; see ``Model.get_model_variant_handle``."""

    _error = QbRuntimeError

    def get_model_input_data_type(self) -> DataType:
        """Return what callers bring: Float32, or Uint8 for pixels."""
        return input_type(self._model_variant_handle.inputs[0])

    def get_model_output_data_type(self) -> DataType:
        """Return what callers get."""
        return DataType.Float32

    @override
    def _scale(self, tensor: Tensor) -> Scale:
        return make_scale(tensor)
