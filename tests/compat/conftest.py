"""Both packages, small models, and the check that nothing stays behind."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from maccel_aio.compat import maccel, qbruntime
from tests.core import mxqtools

H, W, C = 4, 5, 3


@pytest.fixture(params=[maccel, qbruntime], ids=["maccel", "qbruntime"])
def package(request: pytest.FixtureRequest) -> ModuleType:
    found: ModuleType = request.param
    return found


@pytest.fixture
def error(package: ModuleType) -> Any:
    """The error class of the package."""
    return package.MAccelError if package is maccel else package.QbRuntimeError


@pytest.fixture
def image_path(tmp_path: Path) -> str:
    """An image -> the image plus one, and its elements in ONNX order: a model of two outputs."""
    return str(mxqtools.image(tmp_path / "image.mxq", C, H, W))


@pytest.fixture
def pixels() -> Any:
    """One image [h, w, c] for ``image_path``, float32."""
    return np.arange(H * W * C, dtype=np.float32).reshape(H, W, C)


@pytest.fixture
def image(package: ModuleType, image_path: str, no_leaks: None) -> Iterator[Any]:
    """The model of ``image_path``, launched."""
    model = package.load(image_path)
    yield model
    model.dispose()


@pytest.fixture
def segmented_path(tmp_path: Path) -> str:
    """Eight numbers: (x + 1) on the NPU, doubled on the CPU, + 10 on the NPU."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "a"], ["b"])], "g",
        [value("a", TensorProto.FLOAT, [1, 8])], [value("b", TensorProto.FLOAT, [1, 8])],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return str(mxqtools.segmented(tmp_path / "parts.mxq", 8, made.SerializeToString()))
