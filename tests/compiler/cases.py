"""One small model per operator form: name -> (model, output names)."""

# ruff: noqa: E501 - a table: one model a line reads best

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tests.compiler.onnx_models import Model

if TYPE_CHECKING:
    from collections.abc import Callable

CASES: dict[str, Callable[[], tuple[Model, list[str]]]] = {}


def case(name: str) -> Callable[[Any], Any]:
    def register(make: Any) -> Any:
        CASES[name] = make
        return make

    return register


def simple(
    name: str, shape: tuple[int, ...], build: Callable[..., Any], opset: int = 17, **bound: Any
) -> None:
    """Register a model of one input ``x``; `bound` are further arguments of `build`."""

    def make() -> tuple[Model, list[str]]:
        m = Model({"x": shape}, opset)
        out = build(m, **bound)
        return m, [out] if isinstance(out, str) else list(out)

    CASES[name] = make


IMAGE = (1, 6, 9, 11)

# ---- convolutions
for label, weights, attrs in (
    ("conv_1x1", (5, 6, 1, 1), {}),
    ("conv_3x3_pads", (8, 6, 3, 3), {"pads": [1, 0, 2, 1]}),
    ("conv_stride", (7, 6, 3, 3), {"strides": [2, 3], "pads": [1, 1, 1, 1]}),
    ("conv_dilation", (7, 6, 3, 3), {"dilations": [2, 1], "pads": [2, 1, 2, 1]}),
    ("conv_group", (9, 2, 3, 3), {"group": 3}),
    ("conv_depthwise", (6, 1, 3, 3), {"group": 6, "pads": [1, 1, 1, 1]}),
    ("conv_depthwise_5x5_s2", (6, 1, 5, 5), {"group": 6, "strides": [2, 2], "pads": [2, 2, 2, 2]}),
    ("conv_multiplier", (12, 1, 3, 3), {"group": 6}),
    ("conv_same_upper", (4, 6, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("conv_same_lower", (4, 6, 4, 4), {"auto_pad": "SAME_LOWER"}),
):
    simple(label, IMAGE, lambda m, w, a: m.conv("x", w, **a), w=weights, a=attrs)
simple("conv_rgb_bordered", (1, 3, 16, 18), lambda m: m.add("Relu", m.conv("x", (8, 3, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1])))  # fmt: skip
simple("conv_1d", (1, 6, 20), lambda m: m.conv("x", (5, 6, 3), strides=[2], pads=[1, 1]))
simple("conv_no_bias", IMAGE, lambda m: m.conv("x", (5, 6, 3, 3), bias=False))

for label, weights, attrs in (
    ("deconv_2x2_s2", (6, 5, 2, 2), {"strides": [2, 2]}),
    ("deconv_3x3_s2", (6, 5, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("deconv_output_padding", (6, 4, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    ("deconv_4x4_s2", (6, 5, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("deconv_s3_k2", (6, 5, 2, 2), {"strides": [3, 3]}),
    ("deconv_dilation", (6, 5, 3, 3), {"strides": [2, 3], "dilations": [2, 2]}),
    ("deconv_group", (6, 2, 3, 3), {"strides": [2, 2], "group": 3}),
    ("deconv_depthwise", (6, 1, 4, 4), {"strides": [2, 2], "group": 6, "pads": [1, 1, 1, 1]}),
    ("deconv_s1", (6, 5, 3, 3), {"pads": [1, 1, 1, 1]}),
    ("deconv_output_shape", (6, 5, 3, 3), {"strides": [2, 2], "output_shape": [20, 23]}),
    ("deconv_same", (6, 5, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("deconv_k1_s2", (6, 5, 1, 1), {"strides": [2, 2], "output_padding": [1, 1]}),
):  # fmt: skip
    simple(
        label, IMAGE,
        lambda m, w, a: m.add("ConvTranspose", "x", m.random(*w, scale=0.3), m.random(w[1] * a.get("group", 1)), **a), w=weights, a=attrs)  # fmt: skip
simple("deconv_relu_residual", IMAGE, lambda m: m.add("Add", m.add("Relu", m.add("ConvTranspose", "x", m.random(6, 6, 1, 1), m.random(6))), "x"))  # fmt: skip

# ---- products
simple("gemm", (3, 10), lambda m: m.add("Gemm", "x", m.random(7, 10), m.random(7), transB=1))
simple("gemm_alpha", (3, 10), lambda m: m.add("Gemm", "x", m.random(10, 7), m.random(1, 7), alpha=0.5, beta=2.0))  # fmt: skip
simple("matmul_3d", (2, 5, 10), lambda m: m.add("MatMul", "x", m.random(10, 7)))
simple("matmul_bias", (2, 5, 10), lambda m: m.add("Add", m.add("MatMul", "x", m.random(10, 7)), m.random(7)))  # fmt: skip
simple("matmul_batched_const", (2, 3, 5, 10), lambda m: m.add("MatMul", "x", m.random(3, 10, 4)))
simple("matmul_const_left", (2, 10, 4), lambda m: m.add("MatMul", m.random(5, 10), "x"))


@case("matmul_two")
def _matmul_two() -> tuple[Model, list[str]]:
    m = Model({"a": (2, 3, 5, 8), "b": (2, 3, 7, 8)})
    return m, [m.add("Relu", m.add("MatMul", "a", m.add("Transpose", "b", perm=[0, 1, 3, 2])))]


# ---- pools and reductions
simple("maxpool", IMAGE, lambda m: m.add("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]))  # fmt: skip
simple("maxpool_ceil", IMAGE, lambda m: m.add("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1))  # fmt: skip
simple("maxpool_dilated", IMAGE, lambda m: m.add("MaxPool", "x", kernel_shape=[3, 3], dilations=[2, 2]))  # fmt: skip
simple("maxpool_1d", (1, 6, 20), lambda m: m.add("MaxPool", "x", kernel_shape=[3], strides=[2]))
simple(
    "avgpool", IMAGE, lambda m: m.add("AveragePool", "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
)
simple("avgpool_include", IMAGE, lambda m: m.add("AveragePool", "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1))  # fmt: skip
simple("avgpool_ceil", IMAGE, lambda m: m.add("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1), 19)  # fmt: skip
simple("avgpool_ceil_include", IMAGE, lambda m: m.add("AveragePool", "x", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, count_include_pad=1), 19)  # fmt: skip
simple("global_average", IMAGE, lambda m: m.add("GlobalAveragePool", "x"))
simple("global_max", IMAGE, lambda m: m.add("GlobalMaxPool", "x"))
simple("reduce_mean_image", IMAGE, lambda m: m.add("ReduceMean", "x", axes=[2, 3], keepdims=0))
simple("reduce_mean_keep", IMAGE, lambda m: m.add("ReduceMean", "x", axes=[-1, -2], keepdims=1))
simple("reduce_mean_18", IMAGE, lambda m: m.add("ReduceMean", "x", m.const([1], np.int64)), 18)
simple("reduce_sum", IMAGE, lambda m: m.add("ReduceSum", "x", m.const([1, 3], np.int64), keepdims=0))  # fmt: skip
simple("reduce_max", (2, 5, 7), lambda m: m.add("ReduceMax", "x", axes=[1]))
simple("reduce_min_all", (2, 5, 7), lambda m: m.add("ReduceMin", "x", keepdims=0))

# ---- elementwise
for op in ("Add", "Sub", "Mul", "Max", "Min"):
    simple(
        f"{op.lower()}_const_channel", IMAGE, lambda m, o: m.add(o, "x", m.random(6, 1, 1)), o=op
    )
    simple(f"{op.lower()}_const_first", IMAGE, lambda m, o: m.add(o, m.random(6, 1, 11), "x"), o=op)
simple("div_const", IMAGE, lambda m: m.add("Div", "x", m.const([2.5])))
simple("div_const_first", IMAGE, lambda m: m.add("Div", m.const([2.5]), m.add("Clip", "x", m.const(0.5), m.const(3.0))))  # fmt: skip
simple("sub_scalar_first", IMAGE, lambda m: m.add("Sub", m.const(1.0), "x"))
simple("const_grows_shape", (6, 1), lambda m: m.add("Add", "x", m.random(2, 1, 5)))
simple("pow_square", IMAGE, lambda m: m.add("Pow", "x", m.const([2.0])))
simple("pow_3", IMAGE, lambda m: m.add("Pow", m.add("Abs", "x"), m.const([3.0])))
simple("se_block", IMAGE, lambda m: m.add("Mul", "x", m.add("Sigmoid", m.conv(m.add("GlobalAveragePool", "x"), (6, 6, 1, 1)))))  # fmt: skip


@case("add_broadcast")
def _add_broadcast() -> tuple[Model, list[str]]:
    m = Model({"a": (2, 4, 1, 5), "b": (4, 3, 1)})
    return m, [m.add("Add", "a", "b"), m.add("Div", "a", m.add("Exp", "b"))]


UNARY: dict[str, dict[str, float]] = {
    "Relu": {}, "LeakyRelu": {"alpha": 0.1}, "Sigmoid": {}, "HardSigmoid": {"alpha": 0.3}, "HardSwish": {},
    "Tanh": {}, "Elu": {"alpha": 0.7}, "Softplus": {}, "Exp": {}, "Abs": {}, "Neg": {}, "Erf": {},
    "Floor": {}, "Ceil": {}, "Round": {}, "Sin": {}, "Cos": {},
}  # fmt: skip
for op, options in UNARY.items():
    simple(f"act_{op.lower()}", IMAGE, lambda m, o, a: m.add(o, "x", **a), o=op, a=options)
simple("act_mish", IMAGE, lambda m: m.add("Mish", "x"), 18)
simple("act_gelu", IMAGE, lambda m: m.add("Gelu", "x"), 20)
simple("act_gelu_tanh", IMAGE, lambda m: m.add("Gelu", "x", approximate="tanh"), 20)
for op in ("Sqrt", "Log", "Reciprocal"):
    simple(
        f"act_{op.lower()}",
        IMAGE,
        lambda m, o: m.add(o, m.add("Add", m.add("Abs", "x"), m.const(0.5))),
        o=op,
    )
simple("clip", IMAGE, lambda m: m.add("Clip", "x", m.const(-0.5), m.const(1.0)))
simple("clip_min_only", IMAGE, lambda m: m.add("Clip", "x", m.const(-0.5)))
simple("clip_9", IMAGE, lambda m: m.add("Clip", "x", min=-0.3, max=0.9), 9)
simple("prelu_channel", IMAGE, lambda m: m.add("PRelu", "x", m.random(6, 1, 1)))
simple("prelu_conv", IMAGE, lambda m: m.add("PRelu", m.conv("x", (8, 6, 3, 3)), m.random(8, 1, 1)))
simple("prelu_scalar", IMAGE, lambda m: m.add("PRelu", "x", m.const([0.2])))
simple("silu_spelled", IMAGE, lambda m: m.add("Mul", "x", m.add("Sigmoid", "x")))
simple("hardswish_spelled", IMAGE, lambda m: m.add("Div", m.add("Mul", "x", m.add("Clip", m.add("Add", "x", m.const(3.0)), m.const(0.0), m.const(6.0))), m.const(6.0)))  # fmt: skip
simple("gelu_spelled", IMAGE, lambda m: m.add("Mul", m.add("Mul", "x", m.const(0.5)), m.add("Add", m.add("Erf", m.add("Div", "x", m.const(2**0.5))), m.const(1.0))))  # fmt: skip
simple("mish_spelled", IMAGE, lambda m: m.add("Mul", "x", m.add("Tanh", m.add("Softplus", "x"))))

# ---- fusions
simple("conv_bn_relu", IMAGE, lambda m: m.add("Relu", m.add("BatchNormalization", m.conv("x", (8, 6, 3, 3)), m.random(8), m.random(8), m.random(8), m.const(np.full(8, 1.3)))))  # fmt: skip
simple("bn_alone", IMAGE, lambda m: m.add("BatchNormalization", "x", m.random(6), m.random(6), m.random(6), m.const(np.full(6, 1.3))))  # fmt: skip
simple("conv_residual_relu", IMAGE, lambda m: m.add("Relu", m.add("Add", m.conv("x", (6, 6, 3, 3), pads=[1] * 4), "x")))  # fmt: skip
simple("conv_relu_residual", IMAGE, lambda m: m.add("Add", "x", m.add("Relu", m.conv("x", (6, 6, 1, 1)))))  # fmt: skip
simple("conv_hardswish", IMAGE, lambda m: m.add("HardSwish", m.conv("x", (6, 6, 1, 1))))
simple("pad_conv", IMAGE, lambda m: m.conv(m.add("Pad", "x", m.const([0, 0, 1, 2, 0, 0, 1, 0], np.int64)), (8, 6, 3, 3)))  # fmt: skip


@case("chain_of_residuals")
def _chain() -> tuple[Model, list[str]]:
    m = Model({"x": (1, 3, 16, 16)})
    t = m.add("Relu", m.conv("x", (20, 3, 3, 3), pads=[1] * 4))
    for _ in range(3):
        inner = m.add("Relu", m.conv(t, (20, 20, 3, 3), pads=[1] * 4))
        t = m.add("Add", m.conv(inner, (20, 20, 1, 1)), t)
    return m, [m.conv(t, (5, 20, 1, 1)), m.add("GlobalAveragePool", t)]


# ---- moves
simple("pad_value", IMAGE, lambda m: m.add("Pad", "x", m.const([0, 1, 1, 2, 0, 0, 1, 0], np.int64), m.const(0.75)))  # fmt: skip
simple("transpose", IMAGE, lambda m: m.add("Transpose", "x", perm=[2, 0, 3, 1]))
simple("flatten_conv", IMAGE, lambda m: m.add("Flatten", m.conv("x", (5, 6, 3, 3))))
simple("reshape", IMAGE, lambda m: m.add("Reshape", m.conv("x", (6, 6, 1, 1)), m.const([1, 2, 27, 11], np.int64)))  # fmt: skip
simple("squeeze", (1, 6, 1, 5), lambda m: m.add("Squeeze", m.add("Relu", "x"), m.const([0, 2], np.int64)))  # fmt: skip
simple("unsqueeze", (6, 5), lambda m: m.add("Unsqueeze", m.add("Relu", "x"), m.const([0, 3], np.int64)))  # fmt: skip
simple("slice", IMAGE, lambda m: m.add("Relu", m.add("Slice", "x", m.const([1, 2], np.int64), m.const([6, 100], np.int64), m.const([1, 3], np.int64), m.const([2, 3], np.int64))))  # fmt: skip
simple("split", IMAGE, lambda m: [m.add("Relu", t) for t in m.add("Split", m.conv("x", (6, 6, 1, 1)), m.const([1, 3, 2], np.int64), outputs=3, axis=1)])  # fmt: skip
simple("gather_one", IMAGE, lambda m: m.add("Relu", m.add("Gather", "x", m.const(2, np.int64), axis=1)))  # fmt: skip
simple("gather_even", IMAGE, lambda m: m.add("Relu", m.add("Gather", "x", m.const([0, 2, 4], np.int64), axis=3)))  # fmt: skip
simple("concat_convs", IMAGE, lambda m: m.conv(m.add("Concat", m.conv("x", (5, 6, 1, 1)), m.conv("x", (4, 6, 1, 1)), "x", axis=1), (6, 15, 3, 3)))  # fmt: skip
simple("concat_height", IMAGE, lambda m: m.add("Concat", m.conv("x", (6, 6, 1, 1)), "x", axis=2))
simple("concat_const", (1, 4, 6), lambda m: m.add("Concat", m.random(1, 1, 6), "x", axis=1))
simple("concat_nested", IMAGE, lambda m: m.add("Concat", m.add("Concat", m.conv("x", (2, 6, 1, 1)), m.conv("x", (3, 6, 1, 1)), axis=1), m.conv("x", (4, 6, 1, 1)), axis=1))  # fmt: skip
simple("concat_twice_same", IMAGE, lambda m: (lambda t: m.add("Concat", t, t, axis=1))(m.conv("x", (5, 6, 1, 1))))  # fmt: skip
simple("expand", (1, 6, 1, 5), lambda m: m.add("Relu", m.add("Expand", "x", m.const([2, 6, 3, 5], np.int64))))  # fmt: skip
simple("expand_output", (1, 6, 1, 5), lambda m: m.add("Expand", m.add("Relu", "x"), m.const([2, 6, 3, 5], np.int64)))  # fmt: skip
simple("tile", (1, 6, 1, 5), lambda m: m.add("Relu", m.add("Tile", "x", m.const([2, 1, 4, 1], np.int64))))  # fmt: skip
simple("depth_to_space_dcr", (1, 12, 4, 5), lambda m: m.add("DepthToSpace", m.conv("x", (12, 12, 1, 1)), blocksize=2))  # fmt: skip
simple("depth_to_space_crd", (1, 12, 4, 5), lambda m: m.add("DepthToSpace", m.conv("x", (12, 12, 1, 1)), blocksize=2, mode="CRD"))  # fmt: skip
simple("space_to_depth", (1, 3, 4, 6), lambda m: m.add("SpaceToDepth", "x", blocksize=2))
simple("channel_shuffle", (1, 12, 4, 5), lambda m: m.add("Reshape", m.add("Transpose", m.add("Reshape", m.conv("x", (12, 12, 1, 1)), m.const([1, 3, 4, 4, 5], np.int64)), perm=[0, 2, 1, 3, 4]), m.const([1, 12, 4, 5], np.int64)))  # fmt: skip
simple("identity_output", IMAGE, lambda m: m.add("Identity", m.add("Dropout", m.add("Relu", "x"))))


@case("nhwc_model")
def _nhwc() -> tuple[Model, list[str]]:
    m = Model({"x": (1, 12, 10, 3)})
    t = m.add("Transpose", "x", perm=[0, 3, 1, 2])
    t = m.add("Relu", m.conv(t, (8, 3, 3, 3), pads=[1, 1, 1, 1]))
    return m, [m.add("Transpose", m.conv(t, (4, 8, 1, 1)), perm=[0, 2, 3, 1])]


@case("two_outputs_shared")
def _shared() -> tuple[Model, list[str]]:
    m = Model({"x": IMAGE, "y": IMAGE})
    t = m.add("Relu", m.add("Add", "x", "y"))
    return m, [t, m.add("Sigmoid", m.conv(t, (1, 6, 1, 1))), m.add("Mul", t, "y")]


@case("attention")
def _attention() -> tuple[Model, list[str]]:
    m = Model({"x": (1, 7, 16)})
    heads = m.const([1, 7, 4, 4], np.int64)
    q, k, v = (
        m.add("Reshape", m.add("MatMul", "x", m.random(16, 16, scale=0.25)), heads)
        for _ in range(3)
    )
    q, v = (m.add("Transpose", t, perm=[0, 2, 1, 3]) for t in (q, v))
    scores = m.add(
        "Mul", m.add("MatMul", q, m.add("Transpose", k, perm=[0, 2, 3, 1])), m.const(0.5)
    )
    mixed = m.add("MatMul", m.add("Softmax", scores, axis=-1), v)
    joined = m.add(
        "Reshape", m.add("Transpose", mixed, perm=[0, 2, 1, 3]), m.const([1, 7, 16], np.int64)
    )
    total = m.add("Add", m.add("MatMul", joined, m.random(16, 16, scale=0.25)), "x")
    return m, [m.add("LayerNormalization", total, m.random(16), m.random(16), axis=-1)]


@case("sum_of_three")
def _sum3() -> tuple[Model, list[str]]:
    m = Model({"a": (2, 4, 5), "b": (2, 4, 5), "c": (4, 1)})
    return m, [m.add("Sum", "a", "b", "c"), m.add("Max", "a", "b", "c")]


# ---- resize
def _resize(m: Model, scales: list[float] | None, sizes: list[int] | None, **attrs: Any) -> str:
    empty = m.const(np.zeros(0, np.float32))
    if scales is not None:
        return str(m.add("Resize", "x", "", m.const(np.array(scales, np.float32)), **attrs))
    return str(m.add("Resize", "x", "", empty, m.const(sizes, np.int64), **attrs))


for mode in ("nearest", "linear"):
    for how in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"):
        simple(
            f"resize_{mode}_{how}_up",
            IMAGE,
            lambda m, a, b: _resize(
                m, [1, 1, 2, 2], None, mode=a, coordinate_transformation_mode=b
            ),
            a=mode,
            b=how,
        )
        simple(
            f"resize_{mode}_{how}_sizes",
            IMAGE,
            lambda m, a, b: _resize(
                m, None, [1, 6, 5, 17], mode=a, coordinate_transformation_mode=b
            ),
            a=mode,
            b=how,
        )
for rounding in ("round_prefer_ceil", "floor", "ceil"):
    simple(
        f"resize_nearest_{rounding}",
        IMAGE,
        lambda m, r: _resize(m, [1, 1, 1.5, 2.5], None, mode="nearest", nearest_mode=r),
        r=rounding,
    )
simple("resize_half_pixel_symmetric", IMAGE, lambda m: _resize(m, [1, 1, 1.7, 0.6], None, mode="linear", coordinate_transformation_mode="half_pixel_symmetric"), 19)  # fmt: skip
simple("resize_nhwc", (1, 9, 11, 6), lambda m: _resize(m, [1, 2, 2, 1], None, mode="linear"))
simple("resize_after_conv", IMAGE, lambda m: m.conv(m.add("Resize", m.conv("x", (5, 6, 1, 1)), "", m.const([1.0, 1.0, 2.0, 2.0], np.float32), mode="nearest"), (4, 5, 3, 3)))  # fmt: skip
simple("upsample_9", IMAGE, lambda m: m.add("Upsample", "x", m.const([1.0, 1.0, 2.0, 2.0], np.float32), mode="nearest"), 9)  # fmt: skip

# ---- rows
simple("softmax_last", (2, 5, 7), lambda m: m.add("Softmax", "x"))
simple("softmax_channels", IMAGE, lambda m: m.add("Softmax", m.conv("x", (5, 6, 1, 1)), axis=1))
simple("softmax_11", (2, 5, 7), lambda m: m.add("Softmax", "x", axis=1), 11)
simple("log_softmax", (2, 5, 7), lambda m: m.add("LogSoftmax", "x", axis=1))
simple(
    "layer_norm", (2, 5, 16), lambda m: m.add("LayerNormalization", "x", m.random(16), m.random(16))
)
simple("layer_norm_no_bias", (2, 5, 16), lambda m: m.add("LayerNormalization", "x", m.random(16)))

# ---- the CPU
simple("cpu_middle", IMAGE, lambda m: m.add("Relu", m.conv(m.add("CumSum", m.conv("x", (5, 6, 1, 1)), m.const(2, np.int64)), (4, 5, 1, 1))))  # fmt: skip
simple("cpu_resize_cubic", IMAGE, lambda m: m.conv(_resize(m, [1, 1, 2, 2], None, mode="cubic"), (4, 6, 1, 1)))  # fmt: skip
simple("pad_reflect", IMAGE, lambda m: m.conv(m.add("Pad", "x", m.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64), mode="reflect"), (4, 6, 3, 3)))  # fmt: skip
simple(
    "cpu_dynamic_shapes",
    IMAGE,
    lambda m: m.add(
        "ReduceSum",
        m.add("Relu", m.add("Cast", m.add("NonZero", m.conv("x", (5, 6, 1, 1))), to=1)),
        m.const([1], np.int64),
    ),
)
simple(
    "cpu_pool_padding",
    IMAGE,
    lambda m: m.add("MaxPool", "x", kernel_shape=[3, 3], dilations=[2, 2], pads=[1, 1, 1, 1]),
)
simple("cpu_only", IMAGE, lambda m: m.add("CumSum", "x", m.const(1, np.int64)))

# ---- recurrent layers


def recurrent_layer(
    m: Model, op: str, *, states: bool = False, results: int = 3, bias: bool = True,
    units: int = 9, **attrs: Any,
) -> list[str]:  # fmt: skip
    """Add a layer over ``x`` [steps, rows, 7], or [rows, steps, 7] with layout 1."""
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    directions = 2 if attrs.get("direction") == "bidirectional" else 1
    inputs = [
        "x",
        m.random(directions, gates * units, 7, scale=0.5),
        m.random(directions, gates * units, units, scale=0.5),
        m.random(directions, 2 * gates * units, scale=0.5) if bias else "",
    ]
    if states:
        inputs += ["", "h", *(["c"] if op == "LSTM" else [])]
    count = min(results, 3 if op == "LSTM" else 2)
    made = m.add(op, *inputs, outputs=count, hidden_size=units, **attrs)
    return [made] if count == 1 else list(made)


RECURRENT: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("lstm", "LSTM", {}),
    ("lstm_reverse", "LSTM", {"direction": "reverse"}),
    ("lstm_bidirectional", "LSTM", {"direction": "bidirectional"}),
    ("lstm_no_bias", "LSTM", {"bias": False}),
    ("lstm_y_alone", "LSTM", {"results": 1}),
    ("gru", "GRU", {}),
    ("gru_bidirectional", "GRU", {"direction": "bidirectional"}),
    ("gru_linear", "GRU", {"linear_before_reset": 1}),
    ("gru_linear_bidirectional", "GRU", {"linear_before_reset": 1, "direction": "bidirectional"}),
    ("rnn", "RNN", {}),
    ("rnn_relu_reverse", "RNN", {"activations": ["Relu"], "direction": "reverse"}),
    (
        "rnn_sigmoid_bidirectional",
        "RNN",
        {"activations": ["Sigmoid"] * 2, "direction": "bidirectional"},
    ),
    ("cpu_lstm_clip", "LSTM", {"clip": 0.3}),
    ("cpu_gru_activations", "GRU", {"activations": ["Tanh", "Tanh"]}),
)
for label, kind, attrs in RECURRENT:
    simple(label, (5, 3, 7), recurrent_layer, op=kind, **attrs)


def _stateful(op: str) -> Callable[[], tuple[Model, list[str]]]:
    def make() -> tuple[Model, list[str]]:
        inputs: dict[str, tuple[int, ...]] = {"x": (5, 3, 7), "h": (2, 3, 9)}
        m = Model(inputs | ({"c": (2, 3, 9)} if op == "LSTM" else {}))
        return m, recurrent_layer(m, op, states=True, direction="bidirectional")

    return make


for kind in ("LSTM", "GRU", "RNN"):
    CASES[f"{kind.lower()}_states"] = _stateful(kind)
