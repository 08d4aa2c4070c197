"""How pixels become model inputs: mean, deviation, channel order, and the geometry of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from maccel_aio.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_CHANNELS = {"RGB": 3, "BGR": 3, "GRAY": 1}
_KEYS = {"mean", "std", "channels", "crop"}


def _per_channel(value: float | Sequence[float], count: int, what: str) -> tuple[float, ...]:
    try:
        numbers = np.atleast_1d(np.asarray(value, dtype=np.float64)).ravel()
    except (TypeError, ValueError) as error:
        raise InvalidError(f"preprocess {what} {value!r} is no number or list of them") from error
    if numbers.size not in (1, count):
        msg = f"preprocess {what} has {numbers.size} values, the input has {count} channels"
        raise InvalidError(msg)
    if not np.isfinite(numbers).all():
        raise InvalidError(f"preprocess {what} is not finite: {numbers.tolist()}")
    return tuple(float(x) for x in np.broadcast_to(numbers, (count,)))


@dataclass(frozen=True)
class Preprocess:
    """``model input = (pixel - mean) / std`` per channel, pixels 0..255 in the order `channels`.

    Attributes:
        mean: one number per channel, in pixel units.
        std: one number per channel, positive, in pixel units.
        channels: the order in which the model wants them: ``"RGB"``, ``"BGR"`` or ``"GRAY"``.
        crop: side of the centre crop as a share of the largest crop with the model's aspect ratio.
    """

    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    channels: str = "RGB"
    crop: float = 0.875

    def __post_init__(self) -> None:
        if self.channels not in _CHANNELS:
            raise InvalidError(f"preprocess channels {self.channels!r}: one of {sorted(_CHANNELS)}")
        count = _CHANNELS[self.channels]
        if len(self.mean) != count or len(self.std) != count:
            msg = f"preprocess mean and std need {count} values for {self.channels}"
            raise InvalidError(msg)
        if min(self.std) <= 0:
            raise InvalidError(f"preprocess std must be positive, not {self.std}")
        if not 0 < self.crop <= 1:
            raise InvalidError(f"preprocess crop must be in (0, 1], not {self.crop}")

    @classmethod
    def of(cls, value: Preprocess | Mapping[str, Any]) -> Preprocess:
        """Return `value` as a `Preprocess`; numbers may be scalars or per channel.

        Raises:
            InvalidError: a key is unknown, a count is wrong, or a deviation is not positive.
        """
        if isinstance(value, Preprocess):
            return value
        unknown = set(value) - _KEYS
        if unknown:
            raise InvalidError(f"preprocess has no {sorted(unknown)}; it has {sorted(_KEYS)}")
        channels = str(value.get("channels", "RGB")).upper()
        if channels not in _CHANNELS:
            raise InvalidError(f"preprocess channels {channels!r}: one of {sorted(_CHANNELS)}")
        count = _CHANNELS[channels]
        return cls(
            _per_channel(value.get("mean", 0.0), count, "mean"),
            _per_channel(value.get("std", 1.0), count, "std"),
            channels,
            _per_channel(value.get("crop", 0.875), 1, "crop")[0],
        )

    @property
    def uniform(self) -> bool:
        """Whether every channel has the same mean and deviation."""
        return len(set(self.mean)) == 1 and len(set(self.std)) == 1

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return model values for ``[h, w, c]`` pixels that are already in the order `channels`."""
        mean = np.asarray(self.mean, np.float32)
        std = np.asarray(self.std, np.float32)
        return (pixels.astype(np.float32) - mean) / std

    def to_json(self) -> dict[str, Any]:
        """Return the manifest's ``preprocess`` entry."""
        return {"mean": list(self.mean), "std": list(self.std), "channels": self.channels}
