"""EfficientNet-Lite0: the float network is right, so what is compiled from it can be."""

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from maccel_aio import zoo
from maccel_aio.zoo import efficientnet_lite0


def test_a_picture_becomes_the_centre_crop():
    image = Image.new("RGB", (512, 256), "red")
    image.paste("blue", (256 - 112, 16, 256 + 112, 16 + 224))
    pixels = efficientnet_lite0.prepare(image)
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == (0, 0, 255)).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_any_kind_of_picture_becomes_rgb(mode):
    assert efficientnet_lite0.prepare(Image.new(mode, (300, 500))).shape == (224, 224, 3)


def test_weights_of_another_network_are_an_error(tmp_path):
    path = tmp_path / "other.pth"
    path.write_bytes(b"not weights")
    with pytest.raises(zoo.ZooError, match=r"does not hold EfficientNet-Lite0"):
        efficientnet_lite0.build(path, tmp_path / "out.onnx")


@pytest.mark.models
def test_the_float_network_knows_18_of_the_20_photos():
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(zoo.get("efficientnet_lite0"), options)
    right = 0
    for path in zoo.get("photos").iterdir():
        pixels = efficientnet_lite0.prepare(Image.open(path)).astype(np.float32)
        how = efficientnet_lite0.PREPROCESS
        x = ((pixels - how["mean"]) / how["std"]).transpose(2, 0, 1)[None].astype(np.float32)
        (logits,) = session.run(None, {"input": x})
        right += int(logits.argmax()) == int(path.stem.split("_")[2])
    assert right == 18
