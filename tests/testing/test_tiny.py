"""The tiny model is a sound file, and is what the writer of the tests makes."""

import numpy as np
import pytest

import maccel_aio
from maccel_aio import testing
from tests.core import mxqtools


@pytest.mark.parametrize("shape", [(1,), (8,), (3, 4), (2, 3, 4), (2, 3, 4, 5), (1, 2, 1, 2, 3)])
async def test_it_adds(tmp_path, shape):
    path = testing.tiny_model(tmp_path / "tiny.mxq", shape, value=2.5)
    x = np.random.default_rng(0).random((3, *shape), np.float32)
    async with maccel_aio.load(path) as model:
        np.testing.assert_array_equal((await model.infer(x))[0], x + np.float32(2.5))
        np.testing.assert_array_equal((await model.infer(x[0]))[0], x[0] + np.float32(2.5))


async def test_images_come_in_both_layouts(tmp_path):
    path = testing.tiny_model(tmp_path / "tiny.mxq", (3, 6, 7), image=True)
    x = np.random.default_rng(0).random((3, 6, 7), np.float32)
    async with maccel_aio.load(path) as model:
        np.testing.assert_array_equal((await model.infer(x))[0], x + 1)
        hwc = x.transpose(1, 2, 0)
        np.testing.assert_array_equal((await model.infer(hwc))[0], hwc + 1)


def test_the_program_is_that_of_an_independent_writer(tmp_path):
    """Sections 2 and 3, byte by byte up to the constant, whose shape may be broadcast."""
    ours = testing.tiny_model(tmp_path / "a.mxq", (8,)).read_bytes()
    theirs = mxqtools.plus(tmp_path / "b.mxq", 8).read_bytes()
    assert len(ours) % 64 == len(theirs) % 64 == 0
    assert ours[:12] == theirs[:12]
    manifest = maccel_aio.read_manifest(tmp_path / "a.mxq")
    assert [spec.name for spec in manifest.variants[0].inputs] == ["x"]
    assert manifest.layers[0].op == "Add"


@pytest.mark.parametrize(
    ("shape", "image"), [((), False), ((0,), False), ((1,) * 6, False), ((2, 2), True)]
)
def test_shapes_that_cannot_be(tmp_path, shape, image):
    with pytest.raises(maccel_aio.InvalidError):
        testing.tiny_model(tmp_path / "tiny.mxq", shape, image=image)
