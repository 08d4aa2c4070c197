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

from tests import kvmodel, networks

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


@pytest.fixture(scope="session")
def folder_of_the_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages assume to be there."""
    folder = tmp_path_factory.mktemp("docs")
    onnx.save(networks.classifier(), folder / "network.onnx")
    shutil.copy(networks.compile_to(folder, networks.classifier(), "network"), folder / "model.mxq")
    networks.compile_to(folder, networks.painter(), "faceless")
    kvmodel.build(folder / "language.mxq", slots=2)
    return folder


def names_of_the_reader() -> dict[str, Any]:
    """What a page may use without having made it."""
    picture = np.random.default_rng(2).random((3, 32, 32), dtype=np.float32)
    return {
        "picture": picture,
        "x": picture,
        "embeddings": picture[0, :, : kvmodel.HIDDEN],
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
