"""How the peers' int8 models are made by onnxruntime's quantiser."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from onnxruntime import quantization

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Recipe:
    """Settings of onnxruntime's static quantiser; min-max ranges, weights s8.

    Attributes:
        about: what is special, in a few words.
        signed: whether activations are s8 with zero point 0, else u8.
        per_channel: whether each output channel has a scale of its own.
        operators: what is quantised; empty: all that the quantiser knows.
    """

    about: str
    signed: bool = False
    per_channel: bool = True
    operators: tuple[str, ...] = ()


_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "MaxPool", "AveragePool")

RECIPES = {
    "u8s8": Recipe("u8 activations, weights per channel"),
    "s8s8": Recipe("s8 symmetric activations, weights per channel", signed=True),
    "tensor": Recipe("u8 activations, weights per tensor", per_channel=False),
    "products": Recipe(
        "as the first, but only convolutions, matrix products and pools",
        operators=(*_PRODUCTS, "GlobalAveragePool"),
    ),
}
"""The first is the quantiser's documented default for x86 processors with VNNI."""


class _Samples(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Feeds calibration data to onnxruntime's quantiser, one sample at a time."""

    def __init__(self, feeds: dict[str, NDArray[Any]]) -> None:
        self._feeds: Iterator[dict[str, Any]] = (
            dict(zip(feeds, [value[None] for value in row], strict=True))
            for row in zip(*feeds.values(), strict=True)
        )

    def get_next(self) -> dict[str, Any] | None:
        """Return the next feed."""
        return next(self._feeds, None)


def write_quantised(recipe: Recipe, real: Path, path: Path, feeds: dict[str, NDArray[Any]]) -> None:
    """Write the QDQ model of the float model `real` to `path`.

    Args:
        recipe: how.
        real: the float model.
        path: of the new file.
        feeds: calibration data ``[n, ...]`` by input.
    """
    prepared = path.with_name(f"{path.name}.prepared")
    quantization.shape_inference.quant_pre_process(str(real), str(prepared))
    kind = quantization.QuantType
    quantization.quantize_static(
        str(prepared),
        str(path),
        _Samples(feeds),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=list(recipe.operators) or None,
        per_channel=recipe.per_channel,
        activation_type=kind.QInt8 if recipe.signed else kind.QUInt8,
        weight_type=kind.QInt8,
        extra_options={"ActivationSymmetric": recipe.signed},
    )
    prepared.unlink()
