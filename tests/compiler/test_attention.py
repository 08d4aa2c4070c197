"""Attention and RotaryEmbedding of operator set 23, against onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from maccel_aio import compiler
from tests.compiler.device import File

BATCH, ROWS, KEYS, DEPTH = 2, 5, 9, 8
Shapes = dict[str, tuple[int, ...]]


def model_of(
    op: str, inputs: list[str], shapes: Shapes, count: int = 1, **attrs: Any
) -> onnx.ModelProto:
    outputs = [f"y{k}" for k in range(count)]
    kinds = {n: TensorProto.BOOL if n == "bool" else TensorProto.FLOAT for n in shapes}
    kinds |= {"places": TensorProto.INT64} if "places" in shapes else {}
    graph = helper.make_graph(
        [helper.make_node(op, inputs, outputs, name="n", **attrs)],
        "g",
        [helper.make_tensor_value_info(n, kinds[n], s) for n, s in shapes.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])
    model.ir_version = 10
    return model


def feed_of(shapes: Shapes) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    feed: dict[str, np.ndarray] = {}
    for name, shape in shapes.items():
        if name == "bool":
            feed[name] = rng.random(shape) < 0.7
            feed[name][..., 0] = True
        elif name == "places":
            feed[name] = rng.integers(0, 12, shape)
        else:
            feed[name] = rng.standard_normal(shape).astype(np.float32)
    return feed


def check(model: onnx.ModelProto, shapes: Shapes, folder: Path) -> list[str]:
    """Compare with onnxruntime and return the operators that stay on the CPU."""
    feed = feed_of(shapes)
    report = compiler.compile(model, folder / "m.mxq", precision="float32")
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    got = File((folder / "m.mxq").read_bytes()).run(feed)
    for want, have in zip(session.run(None, feed), got, strict=True):
        assert have.shape == want.shape
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=2e-5)
    return [layer.op for layer in report.layers if layer.where == "cpu"]


def heads(query: int, other: int, width: int = DEPTH) -> Shapes:
    return {
        "q": (BATCH, query, ROWS, DEPTH),
        "k": (BATCH, other, KEYS, DEPTH),
        "v": (BATCH, other, KEYS, width),
    }


@pytest.mark.parametrize(("query", "other"), [(1, 1), (4, 4), (6, 2), (4, 1)])
@pytest.mark.parametrize("attrs", [{}, {"scale": 0.25}, {"softcap": 2.0}, {"is_causal": 1}])
def test_heads_may_share_keys(
    query: int, other: int, attrs: dict[str, Any], tmp_path: Path
) -> None:
    shapes: Shapes = heads(query, other, 12)
    assert check(model_of("Attention", list(shapes), shapes, **attrs), shapes, tmp_path) == []


@pytest.mark.parametrize("query", [4, 6])
def test_heads_may_lie_side_by_side(query: int, tmp_path: Path) -> None:
    shapes: Shapes = {
        "q": (BATCH, ROWS, query * DEPTH),
        "k": (BATCH, KEYS, 2 * DEPTH),
        "v": (BATCH, KEYS, 2 * 12),
    }
    model = model_of("Attention", list(shapes), shapes, q_num_heads=query, kv_num_heads=2)
    assert check(model, shapes, tmp_path) == []


@pytest.mark.parametrize(
    "mask", [(ROWS, KEYS), (BATCH, 1, ROWS, KEYS), (BATCH, 4, ROWS, KEYS), (1, 4, ROWS, KEYS)]
)
@pytest.mark.parametrize("other", [4, 2])
@pytest.mark.parametrize("causal", [0, 1])
def test_masks_are_added_to_the_scores(
    mask: tuple[int, ...], other: int, causal: int, tmp_path: Path
) -> None:
    shapes: Shapes = heads(4, other) | {"mask": mask}
    model = model_of("Attention", list(shapes), shapes, is_causal=causal)
    assert check(model, shapes, tmp_path) == []


def test_a_mask_of_booleans_becomes_numbers_on_the_cpu(tmp_path: Path) -> None:
    shapes: Shapes = heads(4, 2) | {"bool": (BATCH, 1, ROWS, KEYS)}
    model = model_of("Attention", list(shapes), shapes)
    assert check(model, shapes, tmp_path) == ["Where"]


def test_the_past_comes_before_the_keys_and_goes_out_again(tmp_path: Path) -> None:
    shapes: Shapes = heads(4, 2) | {"pk": (BATCH, 2, 3, DEPTH), "pv": (BATCH, 2, 3, DEPTH)}
    model = model_of("Attention", ["q", "k", "v", "", "pk", "pv"], shapes, 3)
    assert check(model, shapes, tmp_path) == []


def test_what_has_no_form_runs_on_the_cpu_as_a_whole(tmp_path: Path) -> None:
    shapes: Shapes = heads(4, 2)
    scores = model_of("Attention", list(shapes), shapes, 4, qk_matmul_output_mode=0)
    for name in ("y1", "y2"):  # only the first and the scores are wanted
        scores.graph.node[0].output[int(name[1])] = ""
        wanted = [value for value in scores.graph.output if value.name != name]
        del scores.graph.output[:]
        scores.graph.output.extend(wanted)
    assert check(scores, shapes, tmp_path) == ["Attention"]


def test_a_mask_narrower_than_the_keys_is_not_repeated_over_them(tmp_path: Path) -> None:
    shapes: Shapes = heads(4, 2) | {"mask": (ROWS, 1)}
    model = model_of("Attention", list(shapes), shapes)
    report = compiler.compile(model, tmp_path / "m.mxq", precision="float32")
    assert [layer.op for layer in report.layers] == ["Attention"]


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("turned", [0, 4])
@pytest.mark.parametrize("flat", [False, True])
def test_rows_are_turned_by_their_place(
    interleaved: int, turned: int, flat: bool, tmp_path: Path
) -> None:
    pairs = (turned or DEPTH) // 2
    x = (BATCH, ROWS, 3 * DEPTH) if flat else (BATCH, 3, ROWS, DEPTH)
    shapes: Shapes = {"x": x, "cos": (BATCH, ROWS, pairs), "sin": (BATCH, ROWS, pairs)}
    attrs: dict[str, Any] = {"interleaved": interleaved, "rotary_embedding_dim": turned}
    if flat or turned:
        attrs["num_heads"] = 3
    model = model_of("RotaryEmbedding", list(shapes), shapes, **attrs)
    assert check(model, shapes, tmp_path) == []


def test_places_are_looked_up(tmp_path: Path) -> None:
    shapes: Shapes = {
        "x": (BATCH, 3, ROWS, DEPTH),
        "cos": (12, DEPTH // 2),
        "sin": (12, DEPTH // 2),
        "places": (BATCH, ROWS),
    }
    model = model_of("RotaryEmbedding", list(shapes), shapes)
    assert set(check(model, shapes, tmp_path)) <= {"Gather", "Reshape"}
