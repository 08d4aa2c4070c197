"""Every Python block of the README and the documentation runs, page by page, from top to bottom."""

import ast
import asyncio
import inspect
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from sybil import Document, Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

import maccel_aio

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TOP_LEVEL_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


class Page:
    """Runs the blocks of one page in one namespace and one event loop; a block may await."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace
        self.runner = asyncio.Runner()

    def evaluate(self, example: Example) -> None:
        # As many empty lines as come before the block: a traceback points into the page.
        source = "\n" * (example.line + example.parsed.line_offset) + str(example.parsed)
        code = compile(source, example.path, "exec", TOP_LEVEL_AWAIT, dont_inherit=True)
        result = eval(code, self.namespace)
        if inspect.iscoroutine(result):
            self.runner.run(result)


def network() -> onnx.ModelProto:
    """A convolution, a pool and a classifier: what the pages call network.onnx."""
    rng = np.random.default_rng(1)
    weights = {
        "w": rng.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32),
        "b": np.zeros(8, np.float32),
        "f": rng.normal(0, 0.2, (8, 10)).astype(np.float32),
        "g": np.zeros(10, np.float32),
    }
    node = onnx.helper.make_node
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            node("Conv", ["input", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
            node("Relu", ["c"], ["r"]),
            node("GlobalAveragePool", ["r"], ["p"]),
            node("Flatten", ["p"], ["v"]),
            node("Gemm", ["v", "f", "g"], ["scores"]),
        ],
        "network",
        [value("input", onnx.TensorProto.FLOAT, [1, 3, 32, 32])],
        [value("scores", onnx.TensorProto.FLOAT, [1, 10])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=9)


@pytest.fixture(scope="session")
def folder_of_the_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages assume to be there."""
    folder = tmp_path_factory.mktemp("docs")
    onnx.save(network(), folder / "network.onnx")
    samples = np.random.default_rng(0).random((8, 3, 32, 32), dtype=np.float32)
    maccel_aio.compile(
        folder / "network.onnx", folder / "network.mxq", calibration={"input": samples}
    )
    shutil.copy(folder / "network.mxq", folder / "model.mxq")
    return folder


def names_of_the_reader() -> dict[str, Any]:
    """What a page may use without having made it: a model's input, frames, something to show them."""
    picture = np.random.default_rng(2).random((3, 32, 32), dtype=np.float32)
    return {
        "picture": picture,
        "x": picture,
        "frames": [picture] * 5,
        "show": lambda *_: None,
    }


def python_blocks(path: Path, page: Page) -> list[Example]:
    parser = CodeBlockParser(language="python", evaluator=page.evaluate)
    document: Document = Sybil(parsers=[parser], path=str(ROOT)).parse(path)
    return list(document.examples())


def test_the_pages_have_blocks_to_run() -> None:
    counts = {path.name: len(python_blocks(path, Page({}))) for path in PAGES}
    assert counts["README.md"] >= 3
    assert sum(counts.values()) >= 10


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_blocks_of_a_page_run(
    path: Path, folder_of_the_reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder_of_the_reader)
    page = Page({"__name__": "page", **names_of_the_reader()})
    with page.runner:
        for example in python_blocks(path, page):
            example.evaluate()
