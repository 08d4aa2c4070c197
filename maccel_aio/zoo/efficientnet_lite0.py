"""EfficientNet-Lite0: builds the ONNX model from its weights, and prepares pictures for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maccel_aio.zoo import _pth
from maccel_aio.zoo._fetch import ZooError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx
    from PIL.Image import Image

SIZE = 224
"""Height and width of the input, in pixels."""

PREPROCESS: dict[str, Any] = {"mean": 127, "std": 128, "channels": "RGB"}
"""How uint8 pixels become model values; for `maccel_aio.compile`."""

CROP = 224 / 256
"""Side of the centre crop as a share of the shorter side of the picture."""

BUILD = 1
"""Number of the graph that `build` makes: raised when the graph changes."""

_EPSILON = 1e-3
_BLOCKS = 16
_STRIDES = {1: 2, 3: 2, 5: 2, 11: 2}

Weights = Mapping[str, NDArray[Any]]


def prepare(picture: Image) -> NDArray[np.uint8]:
    """Return the centre crop of `picture` as ``[224, 224, 3]`` uint8 RGB pixels."""
    from PIL.Image import Resampling

    image = picture.convert("RGB")
    width, height = image.size
    side = int(min(width, height) * CROP)
    left, top = (width - side) // 2, (height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    return np.asarray(image.resize((SIZE, SIZE), Resampling.BICUBIC), np.uint8)


def build(weights: Path, out: Path) -> None:
    """Write the ONNX model of the state dict `weights` (float32, batch normalisation folded).

    Raises:
        ZooError: the file does not hold the weights of this network.
    """
    import onnx

    try:
        model = _Builder(_pth.load(weights)).model()
    except (_pth.PthError, KeyError) as error:
        raise ZooError(f"{weights} does not hold EfficientNet-Lite0: {error}") from error
    onnx.checker.check_model(model)
    onnx.save(model, str(out))


class _Builder:
    """Builds the graph; each method adds nodes and returns the name of its result."""

    def __init__(self, weights: Weights) -> None:
        from onnx import helper, numpy_helper

        self._weights = weights
        self._make_node: Callable[..., Any] = helper.make_node
        self._from_array = numpy_helper.from_array
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def _constant(self, name: str, value: NDArray[Any] | float) -> str:
        array = np.ascontiguousarray(value, np.float32).reshape(np.shape(value))
        self._constants.append(self._from_array(array, name))
        return name

    def _node(
        self, operator: str, name: str, inputs: list[str], **attributes: int | list[int]
    ) -> str:
        self._nodes.append(self._make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def _conv(
        self, x: str, size: int, name: str, norm: str, *, stride: int = 1, relu6: bool = True
    ) -> tuple[str, int]:
        """Add a "same"-padded convolution with its normalisation; return result and size."""
        weight = self._weights[f"{name}.weight"]
        parts = ("weight", "bias", "running_mean", "running_var")
        gain, shift, mean, variance = (self._weights[f"{norm}.{part}"] for part in parts)
        scale = gain / np.sqrt(variance + _EPSILON)
        kernel, made = weight.shape[2], -(-size // stride)
        room = max((made - 1) * stride + kernel - size, 0)
        before, after = room // 2, room - room // 2
        inputs = [
            x,
            self._constant(f"{name}.W", weight * scale[:, None, None, None]),
            self._constant(f"{name}.B", shift - mean * scale),
        ]
        group = weight.shape[0] if weight.shape[1] == 1 else 1
        y = self._node(
            *("Conv", name, inputs),
            strides=[stride, stride],
            pads=[before, before, after, after],
            kernel_shape=[kernel, kernel],
            group=group,
        )
        return (self._node("Clip", f"{name}.relu6", [y, "zero", "six"]) if relu6 else y), made

    def _block(self, x: str, size: int, index: int) -> tuple[str, int]:
        """Add expansion, depthwise convolution, projection, and the residual where it fits."""
        path = f"_blocks.{index}"
        entry, stride = x, _STRIDES.get(index, 1)
        if f"{path}._expand_conv.weight" in self._weights:
            x, size = self._conv(x, size, f"{path}._expand_conv", f"{path}._bn0")
        x, size = self._conv(x, size, f"{path}._depthwise_conv", f"{path}._bn1", stride=stride)
        x, size = self._conv(x, size, f"{path}._project_conv", f"{path}._bn2", relu6=False)
        if stride == 1 and self._channels_in(path) == self._channels_out(path):
            x = self._node("Add", f"{path}.add", [x, entry])
        return x, size

    def _channels_in(self, path: str) -> int:
        expand = self._weights.get(f"{path}._expand_conv.weight")
        first = self._weights[f"{path}._depthwise_conv.weight"].shape[0]
        return int(first if expand is None else expand.shape[1])

    def _channels_out(self, path: str) -> int:
        return int(self._weights[f"{path}._project_conv.weight"].shape[0])

    def model(self) -> onnx.ModelProto:
        """Return the whole network: ``input [batch, 3, 224, 224]`` to ``logits [batch, 1000]``."""
        from onnx import TensorProto, helper

        self._constant("zero", 0.0)
        self._constant("six", 6.0)
        x, size = self._conv("input", SIZE, "_conv_stem", "_bn0", stride=2)
        for index in range(_BLOCKS):
            x, size = self._block(x, size, index)
        x, size = self._conv(x, size, "_conv_head", "_bn1")
        x = self._node("Flatten", "flat", [self._node("GlobalAveragePool", "pool", [x])])
        weight = self._constant("fc.W", self._weights["_fc.weight"])
        bias = self._constant("fc.B", self._weights["_fc.bias"])
        self._node("Gemm", "logits", [x, weight, bias], transB=1)
        classes = self._weights["_fc.bias"].size
        image: list[str | int | None] = ["batch", 3, SIZE, SIZE]
        logits: list[str | int | None] = ["batch", classes]
        graph = helper.make_graph(
            self._nodes,
            "efficientnet_lite0",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, image)],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, logits)],
            self._constants,
        )
        opsets = [helper.make_opsetid("", 13)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)
