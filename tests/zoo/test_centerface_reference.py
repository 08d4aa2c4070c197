"""CenterFace's decoder and its suppression against a plain reference, one cell at a time."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from maccel_aio.zoo import centerface

ROWS, COLUMNS = 6, 8


def reference_boxes(outputs, scale, threshold):
    """Every cell above the threshold as (score, box, points), by the formulas of the paper."""
    heat, sizes, offsets, points = outputs
    height, width = 4 * heat.shape[1], 4 * heat.shape[2]
    found = []
    for row in range(heat.shape[1]):
        for column in range(heat.shape[2]):
            score = float(heat[0, row, column])
            if score <= threshold:
                continue
            tall = math.exp(float(sizes[0, row, column])) * 4
            wide = math.exp(float(sizes[1, row, column])) * 4
            middle_y = (row + float(offsets[0, row, column]) + 0.5) * 4
            middle_x = (column + float(offsets[1, row, column]) + 0.5) * 4
            top = min(max(middle_y - tall / 2, 0.0), height)
            left = min(max(middle_x - wide / 2, 0.0), width)
            bottom, right = min(top + tall, height), min(left + wide, width)
            marks = [
                (
                    (float(points[2 * k + 1, row, column]) * wide + left) / scale,
                    (float(points[2 * k, row, column]) * tall + top) / scale,
                )
                for k in range(5)
            ]
            box = tuple(edge / scale for edge in (left, top, right, bottom))
            found.append((score, box, marks))
    return found


def reference_overlap(one, other):
    wide = min(one[2], other[2]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(wide, 0.0) * max(tall, 0.0)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    union = sum(areas) - shared
    return shared / union if union > 0 else 0.0


def reference_faces(outputs, scale, threshold, overlap):
    """Greedy suppression: the best of what is left stays, and what it covers goes."""
    left = sorted(reference_boxes(outputs, scale, threshold), key=lambda face: -face[0])
    kept = []
    while left:
        best, *rest = left
        kept.append(best)
        left = [face for face in rest if reference_overlap(best[1], face[1]) < overlap]
    return kept


@st.composite
def network_outputs(draw):
    """Four output arrays with a few faces in them, all scores different."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    outputs = [
        np.zeros((1, ROWS, COLUMNS), np.float32),
        rng.uniform(-1, 3.5, (2, ROWS, COLUMNS)).astype(np.float32),
        rng.uniform(-0.5, 0.5, (2, ROWS, COLUMNS)).astype(np.float32),
        rng.uniform(0, 1, (10, ROWS, COLUMNS)).astype(np.float32),
    ]
    count = draw(st.integers(0, ROWS * COLUMNS))
    cells = rng.permutation(ROWS * COLUMNS)[:count]
    scores = np.linspace(0.05, 0.95, ROWS * COLUMNS, dtype=np.float32)
    outputs[0].reshape(-1)[cells] = rng.permutation(scores)[:count]
    return outputs


def is_on_the_edge(outputs, scale, threshold, overlap):
    """Whether rounding alone decides what stays: two boxes overlap by the limit, nearly."""
    boxes = [box for _, box, _ in reference_boxes(outputs, scale, threshold)]
    return any(
        abs(reference_overlap(one, other) - overlap) < 1e-4
        for index, one in enumerate(boxes)
        for other in boxes[:index]
    )


@given(
    outputs=network_outputs(),
    scale=st.sampled_from([0.25, 0.5, 1.0, 1.7]),
    threshold=st.sampled_from([0.1, 0.5, 0.9]),
    overlap=st.sampled_from([0.1, 0.3, 0.7, 1.1]),
)
def test_faces_are_those_of_the_reference(outputs, scale, threshold, overlap):
    if is_on_the_edge(outputs, scale, threshold, overlap):
        return
    expected = reference_faces(outputs, scale, threshold, overlap)
    found = centerface.decode(outputs, scale, threshold=threshold, overlap=overlap)
    assert len(found) == len(expected)
    for face, (score, box, marks) in zip(found, expected, strict=True):
        assert face.score == score
        np.testing.assert_allclose(face.box, box, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(face.landmarks, marks, rtol=1e-4, atol=1e-3)


@given(outputs=network_outputs())
def test_suppression_keeps_the_best_and_only_what_is_apart(outputs):
    everything = centerface.decode(outputs, threshold=0.1, overlap=1.1)
    kept = centerface.decode(outputs, threshold=0.1, overlap=0.3)
    assert {face.box for face in kept} <= {face.box for face in everything}
    assert bool(kept) == bool(everything)
    if kept:
        assert kept[0].score == max(face.score for face in everything)
    for index, face in enumerate(kept):
        assert all(centerface.iou(face.box, other.box) < 0.3 for other in kept[:index])
    scores = {face.box: face.score for face in kept}
    for face in everything:
        if face.box not in scores:
            better = [k for k in kept if k.score >= face.score]
            assert any(centerface.iou(face.box, other.box) >= 0.3 - 1e-6 for other in better)


@given(outputs=network_outputs())
def test_suppression_of_what_was_kept_changes_nothing(outputs):
    kept = centerface.decode(outputs, threshold=0.1)
    boxes = np.array([face.box for face in kept]).reshape(-1, 4)
    scores = np.array([face.score for face in kept])
    assert centerface._suppress(boxes, scores, 0.3) == list(range(len(kept)))


@given(outputs=network_outputs(), order=st.randoms(use_true_random=False))
def test_the_order_of_the_boxes_does_not_matter(outputs, order):
    faces = centerface.decode(outputs, threshold=0.1, overlap=1.1)
    if not faces:
        return
    boxes = np.array([face.box for face in faces])
    scores = np.array([face.score for face in faces])
    shuffled = list(range(len(faces)))
    order.shuffle(shuffled)
    first = centerface._suppress(boxes, scores, 0.3)
    second = [shuffled[k] for k in centerface._suppress(boxes[shuffled], scores[shuffled], 0.3)]
    assert first == second


@given(outputs=network_outputs(), low=st.floats(0.1, 0.5), more=st.floats(0.0, 0.4))
def test_a_higher_threshold_never_brings_more_candidates(outputs, low, more):
    few = centerface.decode(outputs, threshold=low + more, overlap=1.1)
    many = centerface.decode(outputs, threshold=low, overlap=1.1)
    assert {face.box for face in few} <= {face.box for face in many}


@given(outputs=network_outputs(), scale=st.floats(0.1, 4.0))
def test_boxes_are_ordered_and_inside_the_picture(outputs, scale):
    for face in centerface.decode(outputs, scale, threshold=0.1, overlap=1.1):
        left, top, right, bottom = face.box
        assert 0 <= left <= right <= 4 * COLUMNS / scale + 1e-3
        assert 0 <= top <= bottom <= 4 * ROWS / scale + 1e-3
        assert face.landmarks.shape == (5, 2)
        assert face.landmarks.dtype == np.float32


@settings(max_examples=30)
@given(outputs=network_outputs(), last=st.booleans(), batched=st.booleans())
def test_every_layout_of_the_outputs_gives_the_same_faces(outputs, last, batched):
    given_form = [array.transpose(1, 2, 0) if last else array for array in outputs]
    given_form = [array[None] if batched else array for array in given_form]
    expected = centerface.decode(outputs, threshold=0.1)
    found = centerface.decode(given_form, threshold=0.1)
    assert [(f.box, f.score) for f in found] == [(f.box, f.score) for f in expected]


def test_sizes_that_overflow_stay_inside_the_picture():
    """A hostile or broken network may say anything: numbers come out, and no warning."""
    outputs = [np.zeros((c, ROWS, COLUMNS), np.float32) for c in (1, 2, 2, 10)]
    outputs[0][0, 2, 3] = 0.9
    outputs[1][:, 2, 3] = 1000.0
    (face,) = centerface.decode(outputs)
    assert face.box == (0, 0, 4 * COLUMNS, 4 * ROWS)


def test_a_picture_comes_back_to_where_it_was():
    """What `prepare` shrinks, `decode` enlarges: a mark in the picture keeps its place."""
    picture = Image.new("RGB", (200, 100))
    ImageDraw.Draw(picture).rectangle((96, 48, 103, 55), fill="white")
    pixels, scale = centerface.prepare(picture, 64, 128)
    rows, columns = np.nonzero(pixels[:, :, 0] > 127)
    middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5]) / scale
    np.testing.assert_allclose(middle, (100, 52), atol=1.0)
