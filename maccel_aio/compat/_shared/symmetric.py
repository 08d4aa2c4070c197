"""int8 elements without a zero point, for tensors that the NPU holds with one.

``maccel`` tells its clients a scale and nothing else, so an element has to stand for itself times
that scale. Where the NPU has a zero point the elements are converted here.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio._typing import override
from maccel_aio.compat._shared import shapes
from maccel_aio.compat._shared.runner import Begun, Runner, is_filled, result_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maccel_aio._typing import Array
    from maccel_aio.compat._shared.variant import Variant

_INT8 = np.dtype(np.int8)


class SymmetricRunner(Runner):
    """See the base: int8 elements have no zero point."""

    @override
    def infer(
        self,
        arrays: list[Array],
        outputs: list[Array] | None,
        wanted: bool | None,
        to_float: bool,
    ) -> list[Array] | None:
        if not any(array.dtype == _INT8 for array in arrays):
            return super().infer(arrays, outputs, wanted, to_float)
        variant = self.variant_of(arrays)
        result_dtype(variant, arrays, to_float)
        if _is_exact(variant, to_float):
            return super().infer(arrays, outputs, wanted, to_float)
        made = super().infer(_recode(variant, arrays), None, wanted, True) or []
        codes = made if to_float else _encode(variant, made)
        if outputs is None:
            return codes
        if is_filled(outputs):
            shapes.check_outputs(outputs, [one.shape for one in codes], _INT8)
            for target, source in zip(outputs, codes, strict=True):
                target[...] = source
        else:
            outputs[:] = codes
        return None

    @override
    def begin(self, arrays: list[Array], to_float: bool) -> Begun:
        if not any(array.dtype == _INT8 for array in arrays):
            return super().begin(arrays, to_float)
        variant = self.variant_of(arrays)
        result_dtype(variant, arrays, to_float)
        if _is_exact(variant, to_float):
            return super().begin(arrays, to_float)
        job, _ = super().begin(_recode(variant, arrays), True)
        return job, None if to_float else functools.partial(_encode, variant)


def _is_exact(variant: Variant, to_float: bool) -> bool:
    """Return whether the NPU can read, and where wanted write, such elements itself."""
    tensors = variant.inputs if to_float else (*variant.inputs, *variant.outputs)
    return all(tensor.coding.zero_point == 0 for tensor in tensors)


def _recode(variant: Variant, arrays: Sequence[Array]) -> list[Array]:
    """Return the NPU's own elements for int8 inputs.

    They are bytes again, because a model that takes pixels takes no real values.
    """
    return [
        tensor.quantise(array.astype(np.float32) * np.float32(tensor.symmetric_coding.scale))
        for tensor, array in zip(variant.inputs, arrays, strict=True)
    ]


def _encode(variant: Variant, outputs: Sequence[Array]) -> list[Array]:
    """Return int8 elements for outputs; what does not fit is the nearest that does."""
    made = []
    for tensor, array in zip(variant.outputs, outputs, strict=True):
        codes = np.rint(array / np.float32(tensor.symmetric_coding.scale))
        made.append(np.clip(codes, -128, 127).astype(np.int8))
    return made
