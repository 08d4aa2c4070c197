"""Moves of elements in canonical form."""

import numpy as np

from tests.compiler.onnx_models import Model
from tests.compiler.passes.graphs import IMAGE, passed


def test_a_slice_says_start_size_and_step_of_every_dimension():
    m = Model({"x": IMAGE})
    args = [m.const(v, np.int64) for v in ([-4, 1], [100, -1], [2, 3], [1, 2])]
    (node,) = passed(m, m.add("Slice", "x", *args)).nodes
    assert node.attrs == {"starts": (0, 0, 5, 1), "sizes": (1, 6, 4, 5), "steps": (1, 1, 1, 2)}


def test_backward_slices_need_the_cpu():
    m = Model({"x": IMAGE})
    args = [m.const([v], np.int64) for v in (-1, -100, 2, -1)]
    (node,) = passed(m, m.add("Slice", "x", *args)).nodes
    assert "backward" in node.reason


def test_evenly_spaced_indices_are_a_slice():
    m = Model({"x": IMAGE})
    (node,) = passed(m, m.add("Gather", "x", m.const([1, 4, 7], np.int64), axis=-1)).nodes
    assert (node.op, node.attrs["starts"], node.attrs["steps"]) == (
        "Slice",
        (0, 0, 0, 1),
        (1, 1, 1, 3),
    )


def test_padding_of_some_axes_is_padding_of_all():
    m = Model({"x": IMAGE}, opset=18)
    args = [m.const([1, 2], np.int64), m.const(0.5), m.const([-2], np.int64)]
    (node,) = passed(m, m.add("Pad", "x", *args)).nodes
    assert node.attrs == {"pads": (0, 0, 1, 0, 0, 0, 2, 0), "value": 0.5}


def test_old_softmax_is_over_all_dimensions_from_its_axis_on():
    for opset, flat in ((11, True), (13, False)):
        m = Model({"x": (2, 3, 4)}, opset)
        assert passed(m, m.add("Softmax", "x", axis=1)).nodes[0].attrs["flat"] == flat
