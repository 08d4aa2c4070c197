"""An input or output as classic clients see it: three dimensions, in either of two layouts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from maccel_aio._core._arrays import to_onnx
from maccel_aio._core._shapes import Match, item_shape
from maccel_aio.errors import InvalidError

if TYPE_CHECKING:
    from maccel_aio._core._types import TensorSpec
    from maccel_aio._typing import Array, DType

_HWC = Match(True, 1, True)
_INT8 = np.dtype(np.int8)
_UINT8 = np.dtype(np.uint8)
_FLOAT = np.dtype(np.float32)


class Coding(NamedTuple):
    """What an int8 element stands for: real = (element - zero point) * scale."""

    scale: float
    zero_point: int


class Tokens(NamedTuple):
    """A dimension over tokens: callers bring any number of them."""

    #: Which dimension of an item.
    axis: int
    #: Tokens of a step of the program.
    step: int
    #: Most tokens that a sequence may have.
    capacity: int


class Tensor:
    """One input or output.

    Every tensor has a shape of three dimensions: fewer are filled up with ones in front, more are
    folded into the first. In CHW order any of them is moved to (third, first, second), also one
    that is no image: that is the vendor's rule.

    Args:
        spec: from the manifest.
        quantised: whether the NPU holds it as bytes that a caller may bring or take.
        tokens: its dimension over tokens, which is -1 in its shape; None without.
    """

    def __init__(self, spec: TensorSpec, quantised: bool, tokens: Tokens | None = None) -> None:
        self.spec = spec
        self.tokens = tokens
        self.quantised = quantised and spec.device_dtype in ("uint8", "int8")
        self.item = self._sized(-1)
        self.shape = fill_up(self.item)
        self.takes_pixels = spec.preprocess is not None

    def _sized(self, tokens: int) -> tuple[int, ...]:
        """Return the shape of an item with so many tokens."""
        item = item_shape(self.spec, True)
        if self.tokens is None:
            return item
        return (*item[: self.tokens.axis], tokens, *item[self.tokens.axis + 1 :])

    def sized(self, tokens: int) -> tuple[int, int, int]:
        """Return the shape with so many tokens, where it has any."""
        return fill_up(self._sized(tokens))

    @property
    def held(self) -> tuple[int, int, int]:
        """The shape of what the NPU holds: of the tokens of a step."""
        return self.sized(0 if self.tokens is None else self.tokens.step)

    @property
    def most(self) -> tuple[int, int, int]:
        """The shape of the most that a call may bring."""
        return self.sized(0 if self.tokens is None else self.tokens.capacity)

    @property
    def coding(self) -> Coding:
        """What int8 elements stand for; one for one, where the NPU computes in float."""
        if not self.quantised:
            return Coding(1.0, 0)
        shift = 128 if self.spec.device_dtype == "uint8" else 0
        return Coding(self.spec.scale, self.spec.zero_point - shift)

    @property
    def symmetric_coding(self) -> Coding:
        """A coding without zero point that holds all that ``coding`` does."""
        scale, zero = self.coding
        widest = max(128 + zero, 127 - zero) if zero else 127
        return Coding(scale * widest / 127, 0)

    @property
    def native_dtype(self) -> DType:
        """What a buffer in the NPU's own form holds."""
        if self.takes_pixels:
            return _UINT8
        return _INT8 if self.quantised else _FLOAT

    def takes(self, dtype: DType) -> bool:
        """Return whether the NPU reads or writes arrays of a type as they are."""
        if dtype == _INT8:
            return self.quantised
        return dtype == (_UINT8 if self.takes_pixels else _FLOAT)

    def encode(self, array: Array) -> Array:
        """Return elements in the NPU's own form.

        Raises:
            InvalidError: if the type of the array has none.
        """
        if array.dtype == self.native_dtype:
            return array
        if self.takes_pixels or array.dtype.kind not in "biuf":
            raise InvalidError(f"{self.spec.name!r} takes {self.native_dtype}, not {array.dtype}")
        real = array.astype(np.float32)
        return self.quantise(real) if self.quantised else real

    def quantise(self, real: Array) -> Array:
        """Return the int8 elements that are nearest to real values, float32."""
        scale, zero = self.coding
        codes = np.rint(real * (np.float32(1) / np.float32(scale))) + np.float32(zero)
        made: Array = np.clip(codes, -128, 127).astype(np.int8)
        return made

    def decode(self, array: Array) -> Array:
        """Return the real values, float32, of elements in the NPU's own form."""
        if not self.quantised:
            return array
        scale, zero = self.coding
        made: Array = (array.astype(np.float32) - np.float32(zero)) * np.float32(scale)
        return made

    def view(self, array: Array, hwc: bool) -> Array:
        """Return a view (items, *ONNX shape) of a client's array.

        Args:
            array: of ``shape``, or its CHW form; with one dimension over the items, or without.
            hwc: which of the two.
        """
        items = array if array.ndim == 4 else array[np.newaxis]
        if not hwc:
            items = items.transpose(0, 2, 3, 1)
        return to_onnx(self.spec, _HWC, items.reshape(len(items), *self.item), leads=True)


def fill_up(dims: tuple[int, ...]) -> tuple[int, int, int]:
    """Return three dimensions: ones in front where there are fewer, the first folded for more."""
    filled = (1,) * (3 - len(dims)) + dims
    return math.prod(filled[:-2]), filled[-2], filled[-1]
