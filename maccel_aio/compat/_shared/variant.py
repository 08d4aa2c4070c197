"""One set of shapes of a classic model: what can be said of it without a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maccel_aio.compat._shared.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maccel_aio._core import _manifest


class Variant:
    """The inputs and outputs of a variant.

    Args:
        index: its place in the model.
        described: as the manifest has it.
    """

    def __init__(self, index: int, described: _manifest.Variant) -> None:
        self.index = index
        whole = described.is_single_bundle
        self.inputs = tuple(Tensor(spec, whole) for spec in described.inputs)
        self.outputs = tuple(Tensor(spec, whole) for spec in described.outputs)


def make_variants(described: Iterable[_manifest.Variant]) -> tuple[Variant, ...]:
    """Return the variants of a model."""
    return tuple(Variant(index, one) for index, one in enumerate(described))
