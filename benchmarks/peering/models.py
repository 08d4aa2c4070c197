"""The models that are compared: where each comes from, what it is fed, what calibrates it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import onnx
from numpy.typing import NDArray

from maccel_aio import zoo
from maccel_aio.zoo import efficientnet_lite0
from peering import minilm
from peering.graph import mobilenet_v2
from peering.light import light_model
from peering.pictures import HALF, IMAGENET, PLAIN, UNIT, Preprocess, photos
from peering.sources import fetched
from peering.tflite import converted

Feed = dict[str, NDArray[np.generic]]

_RECIPES = {"onnxruntime": "u8s8", "openvino": "u8s8"}


@dataclass(frozen=True)
class Subject:
    """One model of the comparison.

    Attributes:
        name: on the command line.
        title: in tables.
        build: returns the float model; its input shapes may be symbolic.
        shapes: of every input that the caller gives.
        preprocess: how pixels become values; None for models that take no pictures.
        samples: returns calibration feeds ``{input: [n, ...]}`` when `preprocess` is None.
        classifier: whether the position of the largest output means something.
        recipes: of `RECIPES`, the one that each peer gets.
    """

    name: str
    title: str
    build: Callable[[], onnx.ModelProto]
    shapes: dict[str, tuple[int, ...]]
    preprocess: Preprocess | None = None
    samples: Callable[[], Feed] | None = None
    classifier: bool = True
    recipes: Mapping[str, str] = field(default_factory=lambda: dict(_RECIPES))

    def pixels(self) -> NDArray[np.uint8]:
        """Return pictures ``[n, h, w, 3]`` that suit the only input.

        Raises:
            ValueError: the model takes no pictures.
        """
        if self.preprocess is None:
            raise ValueError(f"{self.name} takes no pictures")
        (shape,) = self.shapes.values()
        return photos(shape[2], shape[3])

    def feeds(self) -> Feed:
        """Return calibration data by input, with a leading sample axis, in model values."""
        if self.preprocess is not None:
            (name,) = self.shapes
            return {name: self.preprocess.floats(self.pixels())}
        if self.samples is None:
            raise ValueError(f"{self.name} has no samples")
        return self.samples()


def _zoo(name: str) -> onnx.ModelProto:
    return onnx.load(zoo.get(name))


_LITE0 = efficientnet_lite0.PREPROCESS
_LITE0_PREPROCESS = Preprocess((_LITE0["mean"],) * 3, (_LITE0["std"],) * 3)
_IMAGE = (1, 3, 224, 224)
_SETTLED = 8
"""Pictures that show a network of random weights what to expect."""


_DENSE = {"onnxruntime": "products", "openvino": "products"}
"""OpenVINO's low precision pass ``MoveFakeQuantize`` dies of a null pointer when the outputs of
DenseNet's Concats are quantised, as the quantiser does for the batch normalisations behind them."""


def _light(name: str, title: str, value: str, recipes: Mapping[str, str] | None = None) -> Subject:
    def build() -> onnx.ModelProto:
        return light_model(name, IMAGENET.floats(photos(*_IMAGE[2:])[:_SETTLED]))

    return Subject(name, title, build, {value: _IMAGE}, IMAGENET, recipes=recipes or _RECIPES)


_SUBJECTS = (
    Subject("mobilenet_v2", "MobileNetV2", mobilenet_v2, {"input": _IMAGE}, IMAGENET),
    Subject(
        "efficientnet_lite0",
        "EfficientNet-Lite0",
        partial(_zoo, "efficientnet_lite0"),
        {"input": _IMAGE},
        _LITE0_PREPROCESS,
    ),
    _light("resnet50", "ResNet-50", "gpu_0/data_0"),
    _light("squeezenet", "SqueezeNet", "data_0"),
    _light("shufflenet", "ShuffleNet", "gpu_0/data_0"),
    _light("densenet121", "DenseNet-121", "data_0", _DENSE),
    _light("inception_v1", "Inception v1", "data_0"),
    _light("inception_v2", "Inception v2", "data_0"),
    Subject(
        "centerface",
        "CenterFace 640x480",
        partial(_zoo, "centerface"),
        {"input.1": (1, 3, 480, 640)},
        PLAIN,
        classifier=False,
    ),
    Subject(
        "ppocr_det",
        "PP-OCRv4 det 640x640",
        lambda: onnx.load(fetched("ppocr_det")),
        {"x": (1, 3, 640, 640)},
        HALF,
        classifier=False,
    ),
    Subject(
        "ppocr_rec",
        "PP-OCRv4 rec 48x320",
        lambda: onnx.load(fetched("ppocr_rec")),
        {"x": (1, 3, 48, 320)},
        HALF,
        classifier=False,
    ),
    Subject(
        "selfie_segmentation",
        "Selfie segmentation",
        lambda: converted(fetched("selfie_segmentation")),
        {"input0": (1, 3, 256, 256)},
        UNIT,
        classifier=False,
    ),
    Subject(
        "pose_landmark",
        "Pose landmark",
        lambda: converted(fetched("pose_landmark")),
        {"input0": (1, 3, 256, 256)},
        UNIT,
        classifier=False,
    ),
    Subject(
        "minilm",
        "MiniLM, 128 tokens",
        minilm.minilm,
        dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), (1, minilm.TOKENS)),
        samples=minilm.samples,
        classifier=False,
    ),
)

SUBJECTS: dict[str, Subject] = {subject.name: subject for subject in _SUBJECTS}
