"""Files become arrays that fit a model's inputs, or a clear error."""

import numpy as np
import pytest
from PIL import Image

from maccel_aio import TensorSpec
from maccel_aio.cli._inputs import read_requests

PIXELS = {"mean": [0, 0, 0], "std": [1, 1, 1], "channels": "RGB"}


def spec(name="x", shape=(1, 3, 8, 16), layout="NCHW", preprocess=PIXELS):
    return TensorSpec(name, "float32", shape, layout, 0, 1.0, 0, "uint8", preprocess)


@pytest.fixture
def picture(tmp_path):
    """Red at the left, blue at the right, 32 wide and 8 high."""
    image = Image.new("RGB", (32, 8), "red")
    image.paste("blue", (16, 0, 32, 8))
    image.save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def test_every_picture_is_a_request_of_its_own(picture):
    requests = read_requests([str(picture)] * 2, [spec()])
    assert [request.name for request in requests] == ["picture", "picture-2"]
    assert requests[0].arrays[0].shape == (8, 16, 3)
    assert requests[0].arrays[0].dtype == np.uint8


def test_crop_cuts_the_sides_off(picture):
    (pixels,) = read_requests([str(picture)], [spec(shape=(1, 3, 8, 8))], fit="crop")[0].arrays
    assert (pixels[:, 0] == (255, 0, 0)).all()
    assert (pixels[:, -1] == (0, 0, 255)).all()
    assert pixels.shape == (8, 8, 3)


def test_pad_keeps_everything_at_the_top_left(picture):
    (pixels,) = read_requests([str(picture)], [spec(shape=(1, 3, 16, 32))], fit="pad")[0].arrays
    assert (pixels[:8, 0] == (255, 0, 0)).all()
    assert not pixels[9:].any()


def test_stretch_fills_the_input(picture):
    (pixels,) = read_requests([str(picture)], [spec(shape=(1, 3, 64, 4))], fit="stretch")[0].arrays
    assert pixels.shape == (64, 4, 3)
    assert (pixels[:, 0] == (255, 0, 0)).all()


def test_channel_order_and_grey_follow_the_model(picture):
    bgr = spec(preprocess=PIXELS | {"channels": "BGR"})
    assert (read_requests([str(picture)], [bgr])[0].arrays[0][0, 0] == (0, 0, 255)).all()
    grey = spec(shape=(1, 1, 8, 16), preprocess={"channels": "GRAY"})
    assert read_requests([str(picture)], [grey])[0].arrays[0].shape == (8, 16, 1)


def test_channels_last_models_take_pictures_too(picture):
    last = spec(shape=(1, 8, 16, 3), layout="NHWC")
    assert read_requests([str(picture)], [last])[0].arrays[0].shape == (8, 16, 3)


def test_arrays_are_taken_as_they_are(tmp_path):
    array = np.arange(6, dtype=np.int8).reshape(2, 3)
    np.save(tmp_path / "a.npy", array)
    (request,) = read_requests([str(tmp_path / "a.npy")], [spec(preprocess=None)])
    np.testing.assert_array_equal(request.arrays[0], array)
    assert request.arrays[0].dtype == np.int8


def test_several_inputs_go_in_order_or_by_name(tmp_path):
    for name in ("one", "two"):
        np.save(tmp_path / f"{name}.npy", np.array([len(name), ord(name[0])]))
    one, two = (str(tmp_path / f"{name}.npy") for name in ("one", "two"))
    specs = [spec("a"), spec("b")]
    (ordered,) = read_requests([one, two], specs)
    (named,) = read_requests([f"b={two}", f"a={one}"], specs)
    (half,) = read_requests([one, f"b={two}"], specs)
    for request in (ordered, named, half):
        assert request.name == "one"
        assert [int(array[1]) for array in request.arrays] == [ord("o"), ord("t")]


def test_an_equals_sign_in_a_path_is_no_name(tmp_path):
    np.save(tmp_path / "k=v.npy", np.zeros(2))
    (request,) = read_requests([str(tmp_path / "k=v.npy")], [spec(preprocess=None)])
    assert request.name == "k=v"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["x.npy"], r"2 inputs \(a, b\), got 1"), (["a=x.npy", "a=y.npy"], r"given twice")],
)
def test_arguments_that_do_not_fit_the_inputs_are_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        read_requests(arguments, [spec("a"), spec("b")])


def test_a_picture_for_a_model_without_preprocessing_is_an_error(picture):
    with pytest.raises(ValueError, match=r"'x' does not take pictures: give a \.npy file"):
        read_requests([str(picture)], [spec(preprocess=None)])


def test_pickles_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"a\.npy is not a \.npy file of numbers"):
        read_requests([str(tmp_path / "a.npy")], [spec()])


def test_what_is_no_picture_is_the_systems_error(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"text")
    with pytest.raises(OSError, match=r"a\.jpg"):
        read_requests([str(tmp_path / "a.jpg")], [spec()])
    with pytest.raises(FileNotFoundError):
        read_requests([str(tmp_path / "b.npy")], [spec()])
