"""CenterFace: preparing pictures, decoding outputs, suppressing overlaps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maccel_aio.zoo import centerface


def empty(height=32, width=64):
    rows, columns = height // 4, width // 4
    return [np.zeros((channels, rows, columns), np.float32) for channels in (1, 2, 2, 10)]


def put(outputs, row, column, *, score=0.9, height=16.0, width=8.0, offset=(0.0, 0.0)):
    """Add a face whose centre is in the middle of a cell, shifted by `offset` cells."""
    heat, sizes, offsets, points = outputs
    heat[0, row, column] = score
    sizes[:, row, column] = np.log(np.array([height, width]) / 4)
    offsets[:, row, column] = offset
    points[:, row, column] = np.tile([0.25, 0.5], 5)
    return outputs


def test_a_face_is_decoded_to_pixels():
    (face,) = centerface.decode(put(empty(), 4, 8))
    assert face.box == pytest.approx((30, 10, 38, 26))
    assert face.score == pytest.approx(0.9)
    np.testing.assert_allclose(face.landmarks, np.tile([30 + 4, 10 + 4], (5, 1)), rtol=1e-6)


def test_offsets_move_a_face_by_parts_of_a_cell():
    (face,) = centerface.decode(put(empty(), 4, 8, offset=(0.25, -0.5)))
    assert face.box == pytest.approx((28, 11, 36, 27))


def test_the_scale_takes_faces_back_to_the_picture():
    (face,) = centerface.decode(put(empty(), 4, 8), 0.5)
    assert face.box == pytest.approx((60, 20, 76, 52))
    np.testing.assert_allclose(face.landmarks[0], [68, 28], rtol=1e-6)


def test_boxes_end_at_the_edge():
    (face,) = centerface.decode(put(empty(), 7, 15, height=100, width=100))
    assert face.box == pytest.approx((12, 0, 64, 32))


def test_channels_may_be_last_and_a_batch_of_one_may_lead():
    first = put(empty(), 4, 8)
    last = [array.transpose(1, 2, 0) for array in first]
    expected = centerface.decode(first)[0].box
    for outputs in (last, [a[None] for a in first], [a[None] for a in last]):
        assert centerface.decode(outputs)[0].box == expected


def test_faces_below_the_threshold_are_left_out():
    outputs = put(empty(), 4, 8, score=0.4)
    assert centerface.decode(outputs) == []
    assert len(centerface.decode(outputs, threshold=0.3)) == 1


def test_of_overlapping_boxes_the_best_stays_and_best_come_first():
    outputs = empty(64, 64)
    put(outputs, 4, 4, score=0.7)
    put(outputs, 5, 4, score=0.8)
    put(outputs, 12, 12, score=0.95)
    faces = centerface.decode(outputs)
    assert [face.score for face in faces] == pytest.approx([0.95, 0.8])
    assert len(centerface.decode(outputs, overlap=1.1)) == 3


@pytest.mark.parametrize(
    "outputs",
    [
        empty()[:3],
        empty()[::-1],
        [*empty()[:3], np.zeros((10, 4, 4), np.float32)],
        [np.zeros((2, *array.shape), np.float32) for array in empty()],
    ],
)
def test_arrays_of_another_model_are_an_error(outputs):
    with pytest.raises(ValueError, match=r"output"):
        centerface.decode(outputs)


def test_iou_of_known_boxes():
    assert centerface.iou((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert centerface.iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert centerface.iou((0, 0, 1, 1), (2, 2, 3, 3)) == 0
    assert centerface.iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0


boxes = st.tuples(*[st.integers(0, 50)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


@given(one=boxes, other=boxes)
def test_iou_is_a_symmetric_share(one, other):
    share = centerface.iou(one, other)
    assert 0 <= share <= 1
    assert share == centerface.iou(other, one)


@given(
    cells=st.lists(
        st.tuples(st.integers(0, 7), st.integers(0, 15), st.floats(0.51, 0.99)), max_size=12
    )
)
def test_no_two_faces_overlap_and_every_cell_is_near_one(cells):
    outputs = empty()
    for row, column, score in cells:
        put(outputs, row, column, score=score)
    faces = centerface.decode(outputs)
    assert [f.score for f in faces] == sorted((f.score for f in faces), reverse=True)
    for index, face in enumerate(faces):
        assert all(centerface.iou(face.box, other.box) < 0.3 for other in faces[:index])
    alone = centerface.decode(outputs, overlap=1.1)
    for face in alone:
        assert any(centerface.iou(face.box, kept.box) >= 0.3 for kept in faces)


@pytest.mark.parametrize(
    ("size", "scale", "covered"),
    [((64, 32), 1.0, (32, 64)), ((128, 64), 0.5, (32, 64)), ((64, 64), 0.5, (32, 32))],
)
def test_pictures_are_fitted_at_the_top_left(size, scale, covered):
    pixels, factor = centerface.prepare(Image.new("RGB", size, "white"), 32, 64)
    assert pixels.shape == (32, 64, 3)
    assert factor == scale
    assert (pixels[: covered[0], : covered[1]] == 255).all()
    assert pixels.sum() == covered[0] * covered[1] * 3 * 255


@given(width=st.integers(1, 200), height=st.integers(1, 200))
def test_any_picture_fits(width, height):
    pixels, factor = centerface.prepare(Image.new("L", (width, height), 255), 32, 64)
    assert pixels.shape == (32, 64, 3)
    assert pixels[0, 0, 0] == 255
    assert factor == pytest.approx(min(64 / width, 32 / height))
