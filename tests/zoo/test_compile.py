"""The models of the zoo, compiled, are as good as they should be on real data."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

import maccel_aio
from maccel_aio import zoo
from maccel_aio.zoo import centerface, efficientnet_lite0


@pytest.mark.parametrize("name", ["photos", "resnet"])
def test_what_is_no_model_is_an_error(name, tmp_path):
    with pytest.raises(zoo.ZooError, match=r"no model .* efficientnet_lite0, centerface"):
        zoo.compile_model(name, tmp_path / "m.mxq")


@pytest.mark.parametrize("size", [(100, 64), (64, 1), (0, 32), (-32, 32)])
def test_a_size_that_the_network_cannot_have_is_an_error(size, tmp_path):
    with pytest.raises(zoo.ZooError, match=r"not multiples of 32"):
        zoo.compile_model("centerface", tmp_path / "m.mxq", size=size)


def float_session(path, shape):
    """The float model with its input fixed to `shape`."""
    model = onnx.load(path)
    weights = {tensor.name for tensor in model.graph.initializer}
    (value,) = [value for value in model.graph.input if value.name not in weights]
    for dim, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = size
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return lambda x: session.run(None, {value.name: x})


def sqnr_db(exact, found):
    noise = np.square(np.asarray(exact, np.float64) - found).sum()
    return 10 * np.log10(np.square(np.asarray(exact, np.float64)).sum() / noise)


@pytest.mark.models
@pytest.mark.timeout(300)
async def test_the_classifier_knows_at_least_18_of_the_20_photos(zoo_model):
    reference = float_session(zoo.get("efficientnet_lite0"), (1, 3, 224, 224))
    how = efficientnet_lite0.PREPROCESS
    exact, found, right = [], [], 0
    async with maccel_aio.load(zoo_model("efficientnet_lite0")) as model:
        for path in sorted(zoo.get("photos").iterdir()):
            pixels = efficientnet_lite0.prepare(Image.open(path))
            (logits,) = await model.infer(pixels)
            assert logits.shape == (1000,)
            assert logits.dtype == np.float32
            real = (pixels.astype(np.float32) - how["mean"]) / how["std"]
            exact.append(reference(real.transpose(2, 0, 1)[None].astype(np.float32))[0][0])
            found.append(logits)
            right += int(logits.argmax()) == int(path.stem.split("_")[2])
    assert right >= 18
    assert sqnr_db(exact, found) >= 22


@pytest.mark.models
@pytest.mark.timeout(300)
async def test_the_detector_finds_the_face_where_float_finds_it(zoo_model):
    with Image.open(zoo.get("astronaut")) as image:
        pixels, scale = centerface.prepare(image, 512, 512)
    reference = float_session(zoo.get("centerface"), (1, 3, 512, 512))
    planes = pixels.transpose(2, 0, 1)[None].astype(np.float32)
    (exact,) = centerface.decode(reference(planes), scale)
    async with maccel_aio.load(zoo_model("centerface", (512, 512))) as model:
        outputs = await model.infer(pixels)
        (found,) = centerface.decode(outputs, scale)
        assert [output.shape for output in outputs] == [(128, 128, c) for c in (1, 2, 2, 10)]
        (first,) = centerface.decode(await model.infer(pixels.transpose(2, 0, 1)), scale)
    assert abs(found.score - exact.score) <= 0.05
    assert centerface.iou(found.box, exact.box) >= 0.85
    assert np.abs(found.landmarks - exact.landmarks).max() < 6
    assert (first.score, first.box) == (found.score, found.box)


@pytest.mark.models
@pytest.mark.timeout(300)
def test_the_file_is_little_larger_than_its_weights(zoo_model):
    model = onnx.load(zoo.get("efficientnet_lite0"))
    weights = sum(int(np.prod(w.dims)) for w in model.graph.initializer if len(w.dims) > 1)
    assert Path(zoo_model("efficientnet_lite0")).stat().st_size <= 1.15 * weights
