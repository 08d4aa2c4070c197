"""Runs the passes over small models."""

from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.ir import Graph
from maccel_aio.compiler.passes import run_passes
from tests.compiler.onnx_models import Model

IMAGE = (1, 6, 9, 11)


def passed(m: Model, *outputs: str, simplify: bool = True) -> Graph:
    """Return the graph of a model after all passes."""
    graph = import_model(m.build(*outputs), simplify=simplify)
    run_passes(graph)
    return graph


def ops(graph: Graph) -> list[str]:
    """Return the operators in order."""
    return [node.op for node in graph.nodes]
