"""Convolutions and products in canonical form."""

import numpy as np

from maccel_aio.compiler.passes.convs import auto_pads, pair, quad
from tests.compiler.onnx_models import Model
from tests.compiler.passes.graphs import IMAGE, passed


def test_a_row_is_an_image_of_height_one():
    assert pair([3], 1) == (1, 3)
    assert pair(None, 1) == (1, 1)
    assert quad([1, 2]) == (0, 1, 0, 2)
    assert quad([1, 2, 3, 4]) == (1, 2, 3, 4)


def test_automatic_padding_puts_the_odd_pixel_where_its_name_says():
    assert auto_pads("SAME_UPPER", (5, 6), (3, 3), (2, 2)) == (1, 0, 1, 1)
    assert auto_pads("SAME_LOWER", (5, 6), (3, 3), (2, 2)) == (1, 1, 1, 0)
    assert auto_pads("VALID", (5, 6), (3, 3), (2, 2)) == (0, 0, 0, 0)


def test_weights_of_a_transposed_convolution_are_ordered_by_output():
    m = Model({"x": IMAGE})
    weight = m.rng.standard_normal((6, 2, 3, 3)).astype(np.float32)
    graph = passed(m, m.add("ConvTranspose", "x", m.const(weight), group=3))
    kernel = graph.nodes[0].weights
    assert kernel is not None
    assert kernel.kernel.shape == (6, 2, 3, 3)
    # Output 3 is the second of group 1, which reads inputs 2 and 3.
    np.testing.assert_array_equal(kernel.kernel[3], weight[2:4, 1])


def test_factors_of_gemm_go_into_weights_and_bias():
    m = Model({"x": (2, 4)})
    graph = passed(
        m, m.add("Gemm", "x", m.const(np.ones((4, 3))), m.const(np.ones(3)), alpha=2.0, beta=3.0)
    )
    weights = graph.nodes[0].weights
    assert weights is not None
    assert (weights.kernel == 2).all()
    assert (weights.bias == 3).all()


def test_a_bias_per_row_is_not_taken_for_one_per_column():
    m = Model({"x": (3, 10)})
    graph = passed(m, m.add("Gemm", "x", m.random(10, 3), m.random(3, 1)))
    assert graph.nodes[0].reason == "operator Gemm: a bias per row"
