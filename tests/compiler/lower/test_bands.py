"""Bands: the same bytes as whole layers, rows computed once, less memory."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import maccel_aio.compiler as compiler
from maccel_aio.compiler import isa
from maccel_aio.compiler.lower import bands
from tests.compiler.device import File

#: (kernel, stride, output channels; 0 for depthwise), and "add" for a residual from the input.
CASES = {
    "expand-depthwise-project": (24, [(1, 1, 24), (3, 1, 0), (1, 1, 16)]),
    "stride 2": (32, [(1, 1, 24), (3, 2, 0), (1, 1, 16)]),
    "5x5": (40, [(1, 1, 24), (5, 1, 0), (1, 1, 16)]),
    "5x5 stride 2": (41, [(1, 1, 24), (5, 2, 0), (1, 1, 9)]),
    "first convolution": (45, [(3, 2, 24), (3, 1, 0), (1, 1, 16)]),
    "two blocks": (48, [(1, 1, 24), (3, 1, 0), (1, 1, 16), (1, 1, 40), (3, 2, 0), (1, 1, 20)]),
    "rows that nobody needs": (33, [(3, 1, 24), (1, 2, 16)]),
    "residual": (28, [(1, 1, 24), (3, 1, 0), (1, 1, 8), "add"]),
}


def network(size, layers, channels=8):
    rng = np.random.default_rng(size)
    nodes, weights, last, depth = [], [], "x", channels
    for number, layer in enumerate(layers):
        out = f"y{number}"
        if layer == "add":
            nodes.append(helper.make_node("Add", [last, "x"], [out]))
        else:
            kernel, stride, wanted = layer
            made, group = wanted or depth, 1 if wanted else depth
            shape = (made, depth // group, kernel, kernel)
            values = rng.standard_normal(shape).astype(np.float32) * 0.3
            weights.append(numpy_helper.from_array(values, f"w{number}"))
            nodes.append(
                helper.make_node(
                    "Conv", [last, f"w{number}"], [out], kernel_shape=[kernel] * 2,
                    strides=[stride] * 2, pads=[kernel // 2] * 4, group=group,
                )
            )  # fmt: skip
            depth = made
        last = out
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, size, size])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)], weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return onnx.shape_inference.infer_shapes(model)


@pytest.fixture
def eager(monkeypatch):
    """Cut whatever can be cut, into bands of the given rows."""

    def of(rows):
        monkeypatch.setattr(bands, "_LEAST_SHARE", 0)
        monkeypatch.setattr(bands, "_HEIGHTS", {rows: 1.0})

    return of


def compiled(tmp_path, model, samples, l2_bytes, **options):
    path = tmp_path / f"{l2_bytes}.mxq"
    report = compiler.compile(
        model, path, calibration={"x": samples}, measure=0, l2_bytes=l2_bytes, **options
    )
    return report, File(path.read_bytes())


@pytest.mark.parametrize("rows", [1, 2, 4, 5])
@pytest.mark.parametrize("case", CASES)
def test_the_results_are_those_of_whole_layers(case, rows, eager, tmp_path):
    size, layers = CASES[case]
    model = network(size, layers)
    samples = np.random.default_rng(1).standard_normal((2, 8, size, size)).astype(np.float32)
    _, whole = compiled(tmp_path, model, samples, 0)
    eager(rows)
    report, banded = compiled(tmp_path, model, samples, 1 << 22)
    assert max(layer.bands for layer in report.layers) > 1
    feed = {"x": samples[:1]}
    (wanted,), (found,) = whole.run(feed), banded.run(feed)
    np.testing.assert_array_equal(found, wanted)


def test_float_layers_run_in_bands_too(eager, tmp_path):
    size, layers = CASES["expand-depthwise-project"]
    model = network(size, layers)
    samples = np.random.default_rng(1).standard_normal((2, 8, size, size)).astype(np.float32)
    _, whole = compiled(tmp_path, model, samples, 0, precision="float32")
    eager(4)
    report, banded = compiled(tmp_path, model, samples, 1 << 22, precision="float32")
    assert report.layers[0].bands == 6
    np.testing.assert_array_equal(banded.run({"x": samples[:1]}), whole.run({"x": samples[:1]}))


def test_the_arena_shrinks_and_the_report_says_why(eager, tmp_path):
    size, layers = CASES["expand-depthwise-project"]
    model = network(size, layers)
    samples = np.zeros((1, 8, size, size), np.float32) + np.arange(8)[None, :, None, None]
    whole, _ = compiled(tmp_path, model, samples, 0)
    eager(4)
    banded, file = compiled(tmp_path, model, samples, 1 << 22)
    assert banded.arena_bytes < whole.arena_bytes
    assert "int8 x6" in str(banded)
    assert "x6" not in str(whole)
    again, twin = compiled(tmp_path, model, samples, 1 << 22)
    assert again.arena_bytes == banded.arena_bytes
    assert twin.sections[1] == file.sections[1]


def test_small_images_stay_whole(tmp_path):
    size, layers = CASES["expand-depthwise-project"]
    samples = np.random.default_rng(1).standard_normal((2, 8, size, size)).astype(np.float32)
    report, _ = compiled(tmp_path, network(size, layers), samples, 1 << 20)
    assert {layer.bands for layer in report.layers} == {1}


def test_no_row_is_computed_twice(eager, tmp_path):
    size, layers = CASES["5x5"]
    samples = np.random.default_rng(1).standard_normal((2, 8, size, size)).astype(np.float32)
    eager(4)
    _, file = compiled(tmp_path, network(size, layers), samples, 1 << 22)
    assert rows_written(file.sections[1]) == {0: size, 1: size, 2: size}


def rows_written(program):
    """Return how many output rows the convolutions of each layer compute."""
    header = np.frombuffer(program, isa.PROGRAM_HEADER, 1)[0]
    io = 16 * int(header["num_inputs"]) + 4 * int(header["num_outputs"])
    at = isa.PROGRAM_HEADER.itemsize + -(-io // 8) * 8
    tensors = np.frombuffer(program, isa.TENSOR, int(header["num_tensors"]), at)
    at += tensors.nbytes + isa.CONST.itemsize * int(header["num_consts"])
    found: dict[int, int] = {}
    for insn in np.frombuffer(program, isa.INSN, int(header["num_insns"]), at):
        if insn["op"] in (isa.Op.CONV, isa.Op.DWCONV):
            layer = int(insn["layer"])
            rows = int(tensors[insn["out"][0]]["dims"][1])
            found[layer] = found.get(layer, 0) + rows
    return found
