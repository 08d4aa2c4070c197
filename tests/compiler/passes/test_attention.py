"""Masks, scales and rows around attentions, on models as exporters and simplifiers leave them."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from maccel_aio import compiler
from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.ir import Graph
from maccel_aio.compiler.passes import run_passes
from tests.compiler.device import File
from tests.compiler.onnx_models import Model

SCORES = (1, 2, 7, 7)


def passed(made: Model, *outputs: str) -> Graph:
    graph = import_model(made.build(*outputs), simplify=False)
    run_passes(graph)
    return graph


def operators(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def check(made: Model, folder: Path, *outputs: str) -> None:
    """The compiled model computes what onnxruntime computes."""
    model, feed = made.build(*outputs), made.feed()
    compiler.compile(model, folder / "m.mxq", precision="float32", simplify=False)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    got = File((folder / "m.mxq").read_bytes()).run(feed)
    for want, have in zip(session.run(None, feed), got, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("scaled_by", ["Mul", "Div"])
@pytest.mark.parametrize("mask", [SCORES, (1, 1, 1, 7), (7, 7), (1, 2, 7, 1)])
def test_products_scale_mask_and_softmax_are_one_operator(
    scaled_by: str, mask: tuple[int, ...], tmp_path: Path
) -> None:
    made = Model({"x": SCORES, "m": mask})
    scores = made.add(scaled_by, made.add("MatMul", "x", "x"), made.const(0.3))
    shares = made.add("Softmax", made.add("Add", "m", scores), axis=-1)
    out = made.add("MatMul", shares, "x")
    graph = passed(made, out)
    assert operators(graph) == ["Attention"]
    assert graph.nodes[0].attrs["scale"] == pytest.approx(0.3 if scaled_by == "Mul" else 1 / 0.3)
    assert graph.nodes[0].inputs == ["x", "x", "x", "m"]
    check(made, tmp_path, out)


def test_numbers_on_queries_and_keys_become_part_of_the_scale(tmp_path: Path) -> None:
    made = Model({"x": SCORES})
    halves = (made.add("Mul", "x", made.const(value)) for value in (0.5, 0.3))
    shares = made.add("Softmax", made.add("MatMul", *halves), axis=-1)
    out = made.add("MatMul", shares, "x")
    graph = passed(made, out)
    assert operators(graph) == ["Attention"]
    assert graph.nodes[0].attrs["scale"] == pytest.approx(0.15)
    check(made, tmp_path, out)


@pytest.mark.parametrize("wanted", ["scores", "shares"])
def test_what_is_wanted_in_between_is_still_made(wanted: str, tmp_path: Path) -> None:
    made = Model({"x": SCORES})
    scores = made.add("MatMul", "x", "x")
    shares = made.add("Softmax", scores, axis=-1)
    outputs = made.add("MatMul", shares, "x"), scores if wanted == "scores" else shares
    assert operators(passed(made, *outputs)) == ["MatMul", "Softmax", "MatMul"]
    check(made, tmp_path, *outputs)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_mask_of_numbers_goes_along_any_axis(axis: int, tmp_path: Path) -> None:
    made = Model({"x": SCORES})
    shares = made.add("Softmax", made.add("Add", "x", made.random(1, 1, 7, 7)), axis=axis)
    assert operators(passed(made, shares)) == ["Softmax"]
    check(made, tmp_path, shares)


def test_a_sum_that_grows_the_scores_stays_a_sum(tmp_path: Path) -> None:
    made = Model({"x": (1, 1, 7, 7), "m": (1, 1, 7, 7)})
    wide = made.add("Add", made.add("Relu", "x"), made.random(1, 2, 7, 7))
    shares = made.add("Softmax", wide, axis=-1)
    assert "Add" in operators(passed(made, shares))
    check(made, tmp_path, shares, made.add("Relu", "m"))


def test_scores_that_are_read_again_are_still_there(tmp_path: Path) -> None:
    made = Model({"x": SCORES, "m": SCORES})
    scores = made.add("Mul", "x", made.const(0.5))
    masked = made.add("Add", scores, "m")
    outputs = (made.add("Softmax", masked, axis=-1), made.add("Relu", masked))
    assert operators(passed(made, *outputs)).count("Add") == 1
    check(made, tmp_path, *outputs)


def test_a_scale_of_zero_or_a_divided_number_is_left_alone(tmp_path: Path) -> None:
    made = Model({"x": SCORES})
    zero = made.add("Softmax", made.add("Mul", "x", made.const(0.0)), axis=-1)
    inverse = made.add("Div", made.const(2.0), made.add("Exp", "x"))
    outputs = (zero, made.add("Softmax", inverse, axis=-1))
    found = operators(passed(made, *outputs))
    assert "Mul" in found
    assert "Div" in found
    check(made, tmp_path, *outputs)


def flattened(made: Model) -> str:
    matrix = made.add("Reshape", "x", made.const([14, 16], np.int64))
    product = made.add("Gemm", matrix, made.random(16, 24), made.random(24))
    rows = made.add("Reshape", product, made.const([2, 7, 24], np.int64))
    return str(made.add("Relu", rows))


def test_functions_and_sums_behind_flattened_rows_are_fused(tmp_path: Path) -> None:
    made = Model({"x": (2, 7, 16)})
    out = flattened(made)
    graph = passed(made, out)
    assert operators(graph) == ["Linear"]
    assert graph.nodes[0].act is not None
    check(made, tmp_path, out)


def test_rows_that_come_out_in_another_shape_keep_their_reshape(tmp_path: Path) -> None:
    made = Model({"x": (2, 7, 16)})
    matrix = made.add("Reshape", "x", made.const([14, 16], np.int64))
    product = made.add("Gemm", matrix, made.random(16, 24), made.random(24))
    heads = made.add("Reshape", product, made.const([2, 7, 4, 6], np.int64))
    assert operators(passed(made, heads)).count("Reshape") == 2
    check(made, tmp_path, heads)


def test_rows_that_were_something_else_before_keep_their_reshape(tmp_path: Path) -> None:
    made = Model({"x": (2, 7, 4, 4)})
    out = flattened(made)
    assert operators(passed(made, out)).count("Reshape") == 2
    check(made, tmp_path, out)
