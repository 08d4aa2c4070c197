"""Real networks on the software NPU: how much of float's accuracy is left."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import maccel_aio
from maccel_aio import sync, zoo
from maccel_aio.compiler.calibration import open_session
from maccel_aio.compiler.report import CompileReport, sqnr_db
from maccel_aio.zoo import centerface, efficientnet_lite0

pytestmark = [pytest.mark.models, pytest.mark.timeout(300)]

Array = np.ndarray


def photos() -> tuple[Array, Array]:
    """The labelled photos as model inputs ``[20, 1, 3, 224, 224]``, and their labels."""
    how = efficientnet_lite0.PREPROCESS
    images, labels = [], []
    for path in sorted(zoo.get("photos").iterdir()):
        pixels = efficientnet_lite0.prepare(Image.open(path)).astype(np.float32)
        images.append(((pixels - how["mean"]) / how["std"]).transpose(2, 0, 1)[None])
        labels.append(int(path.stem.split("_")[2]))
    return np.stack(images).astype(np.float32), np.array(labels)


def float_logits(images: Array) -> Array:
    session = open_session(onnx.load(zoo.get("efficientnet_lite0")))
    return np.concatenate([session.run(None, {"input": image})[0] for image in images])


def device_logits(path: Path, images: Array) -> Array:
    with sync.load(path) as model:
        return np.concatenate([model.infer(image)[0] for image in images])


def test_the_classifier_on_photos_that_it_was_not_calibrated_with(tmp_path: Path) -> None:
    images, _ = photos()
    report = maccel_aio.compile(
        zoo.get("efficientnet_lite0"),
        tmp_path / "m.mxq",
        calibration=images[::2],
        preprocess=efficientnet_lite0.PREPROCESS,
    )
    assert isinstance(report, CompileReport)
    assert report.npu_share == 1.0
    assert report.int8_share == 1.0
    unseen = images[1::2]
    exact, found = float_logits(unseen), device_logits(tmp_path / "m.mxq", unseen)
    assert sqnr_db(exact, found) > 20
    assert (exact.argmax(1) == found.argmax(1)).sum() >= 9


def quantise(images: Array, out: Path) -> None:
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds = iter([{"input": image} for image in images])

        def get_next(self) -> dict[str, Array] | None:
            return next(self.feeds, None)

    quantize_static(
        zoo.get("efficientnet_lite0"),
        out,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def test_a_quantised_classifier_is_as_good_as_where_it_was_quantised(tmp_path: Path) -> None:
    images, labels = photos()
    quantise(images, tmp_path / "q.onnx")
    session = open_session(onnx.load(tmp_path / "q.onnx"))
    theirs = np.concatenate([session.run(None, {"input": image})[0] for image in images])
    report = maccel_aio.compile(tmp_path / "q.onnx", tmp_path / "q.mxq")
    ours = device_logits(tmp_path / "q.mxq", images)
    exact = float_logits(images)
    assert report.int8_share == 1.0
    assert sqnr_db(exact, ours) > sqnr_db(exact, theirs) - 0.5
    assert (ours.argmax(1) == labels).sum() >= (theirs.argmax(1) == labels).sum() - 1


def test_the_detector_keeps_its_outputs_at_another_size(tmp_path: Path) -> None:
    shape = (1, 3, 480, 640)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in [*zoo.get("photos").iterdir(), zoo.get("astronaut")]:
        (folder / path.name).symlink_to(path)
    report = maccel_aio.compile(
        zoo.get("centerface"),
        tmp_path / "m.mxq",
        calibration=folder,
        shapes={"input.1": shape},
        preprocess={**centerface.PREPROCESS, "crop": 1.0},
    )
    decibels = list(report.output_sqnr_device_db.values())
    assert min(decibels[0], decibels[1], decibels[3]) > 20
    assert decibels[2] > 10
    with Image.open(zoo.get("astronaut")) as image:
        pixels, scale = centerface.prepare(image, 480, 640)
    planes = pixels.transpose(2, 0, 1)[None].astype(np.float32)
    (exact,) = centerface.decode(float_outputs(planes), scale)
    with sync.load(tmp_path / "m.mxq") as model:
        (found,) = centerface.decode(model.infer(planes), scale)
    assert abs(found.score - exact.score) <= 0.05
    assert centerface.iou(found.box, exact.box) >= 0.85


def float_outputs(planes: Array) -> list[Array]:
    from maccel_aio.compiler.importer import import_model

    graph = import_model(zoo.get("centerface"), shapes={"input.1": planes.shape})
    return list(open_session(graph.model).run(graph.outputs, {"input.1": planes}))
