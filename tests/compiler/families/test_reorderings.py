"""Reshape and Transpose in chains: what elements end up where, for free or with a copy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maccel_aio.compiler.view import Buffer, View, packed_strides, reshaped_strides
from tests.compiler.families.harness import PROPERTY, check_float, compiled
from tests.compiler.onnx_models import Model


def _reshape(m: Model, x: str, *shape: int) -> str:
    return str(m.add("Reshape", x, m.const(shape, np.int64)))


def _factors(draw: Any, count: int, parts: int) -> list[int]:
    """Draw `parts` numbers whose product is `count`."""
    found = []
    for _ in range(parts - 1):
        divisors = [d for d in range(1, count + 1) if count % d == 0]
        found.append(draw(st.sampled_from(divisors)))
        count //= found[-1]
    return [*found, count]


@pytest.mark.parametrize("groups", [2, 3, 4, 6])
def test_channel_shuffle(groups):
    m = Model({"x": (1, 12, 4, 5)})
    t = _reshape(m, m.conv("x", (12, 12, 1, 1)), 1, groups, 12 // groups, 4, 5)
    t = _reshape(m, m.add("Transpose", t, perm=[0, 2, 1, 3, 4]), 1, 12, 4, 5)
    check_float(m, m.conv(t, (6, 12, 3, 3)), t)


@pytest.mark.parametrize("block", [2, 3])
def test_space_to_depth_by_hand(block):
    m = Model({"x": (1, 3, 6, 12)})
    t = _reshape(m, "x", 1, 3, 6 // block, block, 12 // block, block)
    t = m.add("Transpose", t, perm=[0, 3, 5, 1, 2, 4])
    t = _reshape(m, t, 1, 3 * block * block, 6 // block, 12 // block)
    built_in = m.add("SpaceToDepth", "x", blocksize=block)
    check_float(m, t, built_in, m.add("Sub", t, built_in))


@pytest.mark.parametrize("order", ["DCR", "CRD"])
def test_depth_to_space_by_hand(order):
    m = Model({"x": (2, 8, 3, 4)})
    split = (2, 2, 2, 2, 3, 4)
    perm = [0, 3, 4, 1, 5, 2] if order == "DCR" else [0, 1, 4, 2, 5, 3]
    t = m.add("Transpose", _reshape(m, "x", *split), perm=perm)
    t = _reshape(m, t, 2, 2, 6, 8)
    built_in = m.add("DepthToSpace", "x", blocksize=2, mode=order)
    feed = m.feed()
    found = check_float(m, t, built_in, feed=feed)
    one, other = found.run(feed)
    np.testing.assert_array_equal(one, other)


def test_five_dimensional_attention():
    """Query, key and value in one product, as vision transformers write it."""
    m = Model({"x": (1, 10, 24)})
    qkv = m.add("Add", m.add("MatMul", "x", m.random(24, 72, scale=0.2)), m.random(72, scale=0.1))
    t = m.add("Transpose", _reshape(m, qkv, 1, 10, 3, 4, 6), perm=[2, 0, 3, 1, 4])
    q, k, v = (m.add("Gather", t, m.const(n, np.int64), axis=0) for n in range(3))
    scores = m.add("MatMul", q, m.add("Transpose", k, perm=[0, 1, 3, 2]))
    weights = m.add("Softmax", m.add("Mul", scores, m.const(6**-0.5)), axis=-1)
    mixed = m.add("Transpose", m.add("MatMul", weights, v), perm=[0, 2, 1, 3])
    check_float(m, m.add("MatMul", _reshape(m, mixed, 1, 10, 24), m.random(24, 24, scale=0.2)))


def test_windows_of_a_shifted_window_transformer():
    m = Model({"x": (1, 8, 8, 6)})
    t = _reshape(m, "x", 1, 2, 4, 2, 4, 6)
    t = _reshape(m, m.add("Transpose", t, perm=[0, 1, 3, 2, 4, 5]), 4, 16, 6)
    t = m.add("LayerNormalization", t, m.random(6), m.random(6))
    back = m.add("Transpose", _reshape(m, t, 1, 2, 2, 4, 4, 6), perm=[0, 1, 3, 2, 4, 5])
    check_float(m, m.add("Add", _reshape(m, back, 1, 8, 8, 6), "x"))


def test_patches_become_tokens_and_an_image_again():
    m = Model({"x": (1, 3, 12, 8)})
    t = m.conv("x", (16, 3, 4, 4), strides=[4, 4])
    tokens = m.add("Transpose", _reshape(m, t, 1, 16, 6), perm=[0, 2, 1])
    tokens = m.add("MatMul", tokens, m.random(16, 16, scale=0.3))
    image = _reshape(m, m.add("Transpose", tokens, perm=[0, 2, 1]), 1, 16, 3, 2)
    check_float(m, m.conv(image, (5, 16, 1, 1)), tokens)


def test_a_detection_head_flattens_in_channels_last_order():
    """Anchors, as detectors give them: free of copies, because convolutions are so, too."""
    m = Model({"x": (1, 8, 6, 5)})
    heads = []
    for stride in (1, 2):
        t = m.conv("x", (12, 8, 3, 3), strides=[stride] * 2, pads=[1] * 4)
        t = m.add("Transpose", t, perm=[0, 2, 3, 1])
        heads.append(_reshape(m, t, 1, -1, 4))
    check_float(m, m.add("Sigmoid", m.add("Concat", *heads, axis=1)))


def test_zero_and_minus_one_in_a_target_shape():
    m = Model({"x": (2, 3, 4, 5)})
    check_float(m, m.add("Relu", _reshape(m, "x", 0, -1, 0)))
    m = Model({"x": (2, 3, 4)})
    check_float(m, m.add("Relu", m.add("Reshape", "x", m.const([0, 0, 2, -1], np.int64))))


@pytest.mark.parametrize("axis", [0, 1, 2, 3, 4, -1])
def test_flatten_at_every_axis(axis):
    m = Model({"x": (2, 3, 4, 5)})
    check_float(m, m.add("Flatten", m.conv("x", (3, 3, 1, 1)), axis=axis))


def test_six_dimensions_are_the_most():
    m = Model({"x": (2, 3, 4, 5)})
    six = m.add("Transpose", _reshape(m, "x", 2, 3, 2, 2, 5, 1), perm=[4, 3, 5, 2, 1, 0])
    check_float(m, m.add("Relu", six))
    m = Model({"x": (2, 3, 4, 6)})
    seven = _reshape(m, "x", 2, 3, 2, 2, 1, 3, 2)
    turned = m.add("Transpose", seven, perm=[6, 5, 4, 3, 2, 1, 0])
    out = m.add("Relu", _reshape(m, turned, 6, 4, 6))
    found = compiled(m.build(out))
    assert {"Transpose"} <= set(found.on_cpu())


@settings(PROPERTY, max_examples=80)
@given(data=st.data())
def test_any_chain_of_reshapes_and_transposes(data):
    draw = data.draw
    shape: tuple[int, ...] = (
        1,
        draw(st.sampled_from([4, 6, 12])),
        *(draw(st.sampled_from([1, 2, 3, 4])),) * 2,
    )
    m = Model({"x": shape})
    t = m.conv("x", (shape[1], shape[1], 1, 1)) if draw(st.booleans()) else "x"
    count = math.prod(shape)
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.booleans()):
            shape = tuple(_factors(draw, count, draw(st.integers(1, 6))))
            t = _reshape(m, t, *shape)
        else:
            perm = draw(st.permutations(range(len(shape))))
            shape = tuple(shape[p] for p in perm)
            t = m.add("Transpose", t, perm=perm)
        if draw(st.integers(0, 3)) == 0:
            t = m.add("Exp", m.add("Neg", m.add("Abs", t)))
    check_float(m, m.add("Relu", t))


@settings(PROPERTY, max_examples=300)
@given(data=st.data())
def test_strides_after_a_reshape_address_the_same_elements(data):
    """The rule itself, against numpy: a view where numpy has one, and never a wrong one."""
    draw = data.draw
    dims = draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    order = draw(st.permutations(range(len(dims))))
    strides = packed_strides(dims, order, 1)
    new = _factors(draw, math.prod(dims), draw(st.integers(1, 5)))
    memory = np.arange(math.prod(dims))
    array = np.lib.stride_tricks.as_strided(memory, dims, [s * 8 for s in strides])
    want = array.reshape(new)
    found = reshaped_strides(dims, strides, new, 1)
    if found is None:
        assert not np.shares_memory(want, memory)  # numpy had to copy, too
        return
    have = np.lib.stride_tricks.as_strided(memory, new, [s * 8 for s in found])
    np.testing.assert_array_equal(have, want)


@settings(PROPERTY, max_examples=150)
@given(data=st.data())
def test_views_address_what_numpy_addresses(data):
    """Chains of permutations, slices and repetitions of one view."""
    draw = data.draw
    dims = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    memory = np.arange(math.prod(dims))
    array = memory.reshape(dims)
    strides = tuple(packed_strides(dims, range(len(dims)), 4))
    view = View(Buffer(4 * memory.size), dims, strides, "f32")
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["permute", "part", "step", "expand"]))
        axis = draw(st.integers(0, array.ndim - 1))
        if kind == "permute":
            perm = draw(st.permutations(range(array.ndim)))
            array, view = array.transpose(perm), view.permute(perm)
        elif kind == "part":
            start = draw(st.integers(0, array.shape[axis] - 1))
            size = draw(st.integers(1, array.shape[axis] - start))
            array = array.take(range(start, start + size), axis)
            view = view.part(axis, start, size)
        elif kind == "step":
            by = draw(st.integers(1, 3))
            array = array.take(range(0, array.shape[axis], by), axis)
            steps = [by if d == axis else 1 for d in range(array.ndim)]
            view = view.slice([0] * array.ndim, array.shape, steps)
        elif array.ndim < 5:
            array = np.broadcast_to(array, (2, *array.shape))
            view = view.expand(array.shape)
    assert view.dims == array.shape
    addressed = np.full(view.dims, view.offset)
    for d, stride in enumerate(view.strides):
        where = np.arange(view.dims[d]) * stride
        addressed = addressed + where.reshape([-1 if k == d else 1 for k in range(len(view.dims))])
    np.testing.assert_array_equal(memory[addressed // 4], array)
