"""Transformers as exporters write them: nothing is left for the CPU, and every norm is found."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from maccel_aio import compiler
from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.passes import run_passes
from tests.compiler.device import File
from tests.compiler.exported import ATTENTIONS, MODELS, NORMS, feed_of


def exact(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, feed)
    return np.asarray(result)


@pytest.mark.parametrize("name", MODELS)
def test_everything_runs_on_the_npu(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    report = compiler.compile(model, tmp_path / "m.mxq", precision="float32")
    assert [(layer.op, layer.reason) for layer in report.layers if layer.where == "cpu"] == []
    feed = feed_of(model)
    (got,) = File((tmp_path / "m.mxq").read_bytes()).run(feed)
    np.testing.assert_allclose(got, exact(model, feed), rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize("simplify", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_norms_and_functions_are_found(name: str, simplify: bool) -> None:
    graph = import_model(MODELS[name](), simplify=simplify)
    run_passes(graph)
    ops = [node.op for node in graph.nodes]
    assert ops.count("LayerNorm") == NORMS[name]
    assert ops.count("Attention") == ATTENTIONS[name]
    assert not {"Pow", "Reduce", "Where", "MatMul", "Softmax"} & set(ops)
    kinds = {n.act.kind for n in graph.nodes if n.act is not None}
    wanted = {"bert_torch": "gelu_erf", "vit_torch": "gelu_erf", "llama_torch": "silu"}
    assert wanted.get(name, "gelu_tanh") in kinds
    assert not {"erf", "tanh", "sqrt", "square"} & kinds


@pytest.mark.parametrize("name", MODELS)
def test_eight_bits_are_near(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    compiler.compile(model, tmp_path / "m.mxq", calibration=feed_of(model, 8), measure=0)
    feed = feed_of(model, seed=33)
    (got,) = File((tmp_path / "m.mxq").read_bytes()).run(feed)
    want = exact(model, feed)
    noise = float(((got - want) ** 2).sum() / (want**2).sum())
    assert noise < 10 ** -(2.0 if name == "vit_torch" else 2.6), noise
