"""The test cases of the ONNX operators that the installed ``onnx`` package generates."""

from __future__ import annotations

import functools
import warnings
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from tests.conformance.sequences import unpack


class Case(NamedTuple):
    """A model, one set of inputs, and how near the results must be.

    Attributes:
        op: operators of the model, joined by "+".
        feed: arrays by input name.
        wanted: the outputs as the package has them.
    """

    name: str
    op: str
    model: onnx.ModelProto
    feed: dict[str, Any]
    wanted: list[Any]
    rtol: float
    atol: float


@functools.cache
def load() -> tuple[Case, ...]:
    """Return all cases, in the order of their names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package overflows casts on purpose
        found = [_case(entry) for entry in load_model_tests(kind="node")]
    return tuple(sorted(found, key=lambda case: case.name))


def _case(entry: Any) -> Case:
    inputs, outputs = entry.data_sets[0]
    model: onnx.ModelProto = entry.model
    names = [value.name for value in model.graph.input]
    feed = {name: _array(value) for name, value in zip(names, inputs, strict=False)}
    ops = "+".join(dict.fromkeys(_name(node) for node in model.graph.node))
    wanted = [_array(value) for value in outputs]
    rtol, atol = max(entry.rtol, 1e-3), max(entry.atol or 0, 1e-5)
    return unpack(Case(entry.name, ops, model, feed, wanted, rtol, atol))


def _name(node: onnx.NodeProto) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain else str(node.op_type)


def _array(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, list):
        return [_array(item) for item in value]
    return value if value is None else np.asarray(value)


def freeze(case: Case) -> Case | None:
    """Return the case with all inputs but the first as constants, as exporters write weights.

    None when there is nothing to freeze, or an input is no tensor.
    """
    first, *rest = [value.name for value in case.model.graph.input] or [""]
    values = [case.feed.get(name) for name in rest]
    if not rest or not all(isinstance(value, np.ndarray) for value in values):
        return None
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    del model.graph.input[1:]
    for name in rest:
        model.graph.initializer.append(numpy_helper.from_array(case.feed[name], name))
    feed = {first: case.feed[first]}
    return case._replace(name=f"{case.name}:constant", model=model, feed=feed)
