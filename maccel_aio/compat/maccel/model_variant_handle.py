"""One set of shapes of a model of the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Tuple  # noqa: F401, UP035 - as there

from maccel_aio._typing import override
from maccel_aio.compat._shared.variant_handle import BaseModelVariantHandle
from maccel_aio.compat.maccel.maccel import MAccelError
from maccel_aio.compat.maccel.type import *  # noqa: F403 - the names of a vendor's package
from maccel_aio.compat.maccel.type import Scale

if TYPE_CHECKING:
    from maccel_aio.compat._shared.tensor import Tensor


def make_scale(tensor: Tensor) -> Scale:
    """Return the scale of a tensor; it has no zero point here."""
    return Scale(tensor.symmetric_coding.scale, True, [])


class ModelVariantHandle(BaseModelVariantHandle[Scale]):
    """One set of shapes that a model was compiled for; see ``Model.get_model_variant_handle``."""

    _error = MAccelError

    @override
    def _scale(self, tensor: Tensor) -> Scale:
        return make_scale(tensor)
