"""Products of rows with constant weights, every row with a scale of its own."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from maccel_aio import compiler
from maccel_aio.compiler import isa
from maccel_aio.compiler.precision import PrecisionOptions
from maccel_aio.compiler.quantize import QuantizeOptions
from tests.compiler.device import File
from tests.compiler.onnx_models import Model

SIZES = np.array([1e-3, 0.1, 1.0, 30.0, 1e3], np.float32)


def reference(model, feed):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feed)


def compiled(model, folder: Path, samples, **more) -> File:
    compiler.compile(model, folder / "m.mxq", calibration=samples, measure=0, **more)
    return File((folder / "m.mxq").read_bytes())


def operations(file: File) -> list[int]:
    program = file.sections[file.variant["segments"][0]["program"]]
    header = np.frombuffer(program, isa.PROGRAM_HEADER, 1)[0]
    size = isa.INSN.itemsize * int(header["num_insns"])
    return [int(op) for op in np.frombuffer(program[-size:], isa.INSN)["op"]]


def sized_rows(made: Model, count: int = 1) -> dict[str, np.ndarray]:
    """Return rows of very different size."""
    values = made.rng.standard_normal((count, 1, len(SIZES), 24)).astype(np.float32)
    return {"x": values * SIZES[:, None]}


def relative_errors(file: File, model, feed) -> np.ndarray:
    (want,), (have,) = reference(model, feed), file.run(feed)
    errors: np.ndarray = np.linalg.norm(have - want, axis=-1) / np.linalg.norm(want, axis=-1)
    return errors


def test_small_rows_beside_large_ones_keep_their_precision(tmp_path: Path) -> None:
    made = Model({"x": (1, len(SIZES), 24)})
    model = made.build(made.add("MatMul", "x", made.random(24, 40)))
    samples = sized_rows(made, 8)
    feed = {"x": sized_rows(made)["x"][0]}
    shared = QuantizeOptions(precision=PrecisionOptions(per_token=False))
    own = relative_errors(compiled(model, tmp_path, samples), model, feed)
    one = relative_errors(compiled(model, tmp_path, samples, quantize=shared), model, feed)
    assert own.max() < 0.03
    assert one.max() > 0.3


@pytest.mark.parametrize("act", ["Relu", "Sigmoid", "Gelu"])
def test_residuals_and_functions_follow_the_products(act: str, tmp_path: Path) -> None:
    made = Model({"x": (2, 7, 32)}, opset=20)
    hidden = made.add(
        act, made.add("Add", made.add("MatMul", "x", made.random(32, 48)), made.random(48))
    )
    model = made.build(made.add("Add", made.add("MatMul", hidden, made.random(48, 32)), "x"))
    samples = made.feed(8)
    file = compiled(model, tmp_path, samples)
    assert operations(file).count(isa.Op.CONVDYN) == 2
    feed = {"x": samples["x"][0]}
    (want,), (have,) = reference(model, feed), file.run(feed)
    assert np.linalg.norm(have - want) < 0.02 * np.linalg.norm(want)


def test_layers_that_read_the_same_rows_share_their_codes(tmp_path: Path) -> None:
    made = Model({"x": (1, 9, 16)})
    parts = [made.add("MatMul", "x", made.random(16, 16)) for _ in range(3)]
    model = made.build(made.add("Add", made.add("Add", parts[0], parts[1]), parts[2]))
    file = compiled(model, tmp_path, made.feed(8))
    assert operations(file).count(isa.Op.DYNQUANT) == 1
    assert operations(file).count(isa.Op.CONVDYN) == 3


def test_rows_of_zeros_give_the_bias(tmp_path: Path) -> None:
    made = Model({"x": (1, 4, 16)})
    bias = made.random(8)
    model = made.build(made.add("Add", made.add("MatMul", "x", made.random(16, 8)), bias))
    file = compiled(model, tmp_path, made.feed(4))
    feed = {"x": np.zeros((1, 4, 16), np.float32)}
    np.testing.assert_array_equal(file.run(feed)[0], reference(model, feed)[0])


def test_a_single_row_keeps_the_scales_of_the_calibration(tmp_path: Path) -> None:
    made = Model({"x": (1, 64)})
    hidden = made.add("Relu", made.add("MatMul", "x", made.random(64, 64)))
    model = made.build(made.add("MatMul", hidden, made.random(64, 8)))
    assert isa.Op.DYNQUANT not in operations(compiled(model, tmp_path, made.feed(4)))
