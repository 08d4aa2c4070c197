"""What the two classic handles of a variant have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from maccel_aio._typing import override
from maccel_aio.compat._shared.described import Described, ScaleT

if TYPE_CHECKING:
    from maccel_aio.compat._shared.raw_model import VariantOf
    from maccel_aio.compat._shared.variant import Variant


class BaseModelVariantHandle(Described[ScaleT]):
    """One set of shapes that a model was compiled for.

    Args:
        _model_variant_handle: the inner layer.
    """

    def __init__(self, _model_variant_handle: VariantOf) -> None:
        self._model_variant_handle = _model_variant_handle
        self._output_shape = self.get_model_output_shape()

    @classmethod
    def from_cpp(cls, _model_variant_handle: VariantOf) -> Self:
        """Make one of the inner layer."""
        return cls(_model_variant_handle)

    def get_variant_idx(self) -> int:
        """Return its place among the variants of the model."""
        return self._model_variant_handle.variant.index

    @override
    def _variant(self) -> Variant:
        return self._model_variant_handle.variant
