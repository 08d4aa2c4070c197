"""The shapes of an input or output: as compiled, as reshaped, and as the NPU holds it."""

from __future__ import annotations

from typing import Any, Self

from maccel_aio._typing import override
from maccel_aio.compat._shared.convert import uint32
from maccel_aio.compat._shared.fields import Field, describe

_Shape = tuple[int, int, int]
_NAMES = (
    "original_height", "original_width", "original_channel",
    "reshaped_height", "reshaped_width", "reshaped_channel",
    "height", "width", "channel",
    "max_height", "max_width", "max_channel",
    "max_cache_size",
)  # fmt: skip


class BufferInfo:
    """Shapes of one input or output, in elements; unsigned integers of 32 bits.

    Args:
        original_height: of the tensor as the user passes it.
        original_width: of the same.
        original_channel: of the same.
        reshaped_height: after the compiler's reshape.
        reshaped_width: of the same.
        reshaped_channel: of the same.
        height: in the NPU's memory, padding included.
        width: of the same.
        channel: of the same.
        max_height: longest, where the data is sequential.
        max_width: of the same.
        max_channel: of the same.
        max_cache_size: most tokens in the KV cache.

    Raises:
        TypeError: if one is no integer of 32 bits, or negative.
    """

    original_height = Field(uint32, "Height as the user passes it.")
    original_width = Field(uint32, "Width as the user passes it.")
    original_channel = Field(uint32, "Channels as the user passes them.")
    reshaped_height = Field(uint32, "Height after the compiler's reshape.")
    reshaped_width = Field(uint32, "Width after the compiler's reshape.")
    reshaped_channel = Field(uint32, "Channels after the compiler's reshape.")
    height = Field(uint32, "Height in the NPU's memory.")
    width = Field(uint32, "Width in the NPU's memory.")
    channel = Field(uint32, "Channels in the NPU's memory.")
    max_height = Field(uint32, "Largest height of sequential data.")
    max_width = Field(uint32, "Largest width of sequential data.")
    max_channel = Field(uint32, "Most channels of sequential data.")
    max_cache_size = Field(uint32, "Most tokens in the KV cache.")

    def __init__(  # noqa: PLR0913 - the classic signature
        self,
        original_height: int = 0,
        original_width: int = 0,
        original_channel: int = 0,
        reshaped_height: int = 0,
        reshaped_width: int = 0,
        reshaped_channel: int = 0,
        height: int = 0,
        width: int = 0,
        channel: int = 0,
        max_height: int = 0,
        max_width: int = 0,
        max_channel: int = 0,
        max_cache_size: int = 0,
    ) -> None:
        self.original_height = original_height
        self.original_width = original_width
        self.original_channel = original_channel
        self.reshaped_height = reshaped_height
        self.reshaped_width = reshaped_width
        self.reshaped_channel = reshaped_channel
        self.height = height
        self.width = width
        self.channel = channel
        self.max_height = max_height
        self.max_width = max_width
        self.max_channel = max_channel
        self.max_cache_size = max_cache_size

    @classmethod
    def from_cpp(cls, _buffer_info: Any) -> Self:  # noqa: ANN401 - whatever has the attributes
        """Make one of any object with the same attributes."""
        return cls(*(getattr(_buffer_info, name) for name in _NAMES))

    def original_size(self) -> int:
        """Return the number of elements as the user passes them."""
        return self.original_height * self.original_width * self.original_channel

    def reshaped_size(self) -> int:
        """Return the number of elements after the compiler's reshape."""
        return self.reshaped_height * self.reshaped_width * self.reshaped_channel

    def size(self) -> int:
        """Return the number of elements in the NPU's memory."""
        return self.height * self.width * self.channel

    def original_shape(self) -> _Shape:
        """Return (height, width, channel) as the user passes them."""
        return self.original_height, self.original_width, self.original_channel

    def original_shape_chw(self) -> _Shape:
        """Return (channel, height, width) as the user passes them."""
        return self.original_channel, self.original_height, self.original_width

    def reshaped_shape(self) -> _Shape:
        """Return (height, width, channel) after the compiler's reshape."""
        return self.reshaped_height, self.reshaped_width, self.reshaped_channel

    def reshaped_shape_chw(self) -> _Shape:
        """Return (channel, height, width) after the compiler's reshape."""
        return self.reshaped_channel, self.reshaped_height, self.reshaped_width

    def shape(self) -> _Shape:
        """Return (height, width, channel) in the NPU's memory."""
        return self.height, self.width, self.channel

    def shape_chw(self) -> _Shape:
        """Return (channel, height, width) in the NPU's memory."""
        return self.channel, self.height, self.width

    @override
    def __repr__(self) -> str:
        return describe(self, _NAMES)
