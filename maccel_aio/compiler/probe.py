"""Finds types and shapes that ONNX's inference does not know, by running the model.

Inference knows the operators of ONNX itself. What comes out of others, such as those that
onnxruntime adds, is found by two runs, one with random inputs and one with zeros: sizes that differ
are variable. A shape that depends on values in another way is noticed when the model runs.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Shape = tuple[int, ...]

_log = logging.getLogger("maccel_aio.compiler")

_LENGTHS = (2, 3)
"""What variable dimensions are in the runs, times what they are multiples of."""


def probe_shapes(
    model: onnx.ModelProto,
    variable: Mapping[str, Shape],
    infer: Callable[[onnx.ModelProto], onnx.ModelProto],
) -> onnx.ModelProto:
    """Return `model` with types and shapes of what operators of other domains make.

    A model that onnxruntime does not run comes back as it is.

    Args:
        model: with inferred shapes.
        variable: by input, shapes with -k for any multiple of k.
        infer: infers the shapes of a model.
    """
    names = _unknown(model)
    if not names:
        return model
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    del probed.graph.output[:]
    probed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    try:
        first, second = _run(probed, names, variable)
    except Exception as error:  # noqa: BLE001 - onnxruntime has no common base for its errors
        _log.warning("the model cannot be run to learn shapes: %s", error)
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for name, one, other in zip(names, first, second, strict=True):
        _tell(result.graph, name, one, other)
    return infer(result)


def _unknown(model: onnx.ModelProto) -> list[str]:
    """Return outputs without a shape of nodes that inference does not know."""
    values = (*model.graph.value_info, *model.graph.output)
    known = {v.name for v in values if v.type.tensor_type.HasField("shape")}
    foreign = [node for node in model.graph.node if node.domain not in ("", "ai.onnx")]
    return [name for node in foreign for name in node.output if name and name not in known]


def _run(
    model: onnx.ModelProto, names: list[str], variable: Mapping[str, Shape]
) -> tuple[list[Any], list[Any]]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(0)
    runs = []
    for length in _LENGTHS:
        feed = {}
        for value in model.graph.input:
            dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
            shape = [-n * length if n < 0 else n for n in variable.get(value.name, dims)]
            dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            made = _values(rng, shape, dtype)
            feed[value.name] = made if length == _LENGTHS[0] else np.zeros_like(made)
        runs.append(session.run(names, feed))
    return runs[0], runs[1]


def _values(rng: np.random.Generator, shape: list[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "f":
        return np.asarray(rng.standard_normal(shape)).astype(dtype)
    if dtype.kind in "iub":
        return np.asarray(rng.integers(0, 2, shape)).astype(dtype)
    return np.full(shape, "", object)


def _tell(graph: onnx.GraphProto, name: str, one: Any, other: Any) -> None:  # noqa: ANN401
    """Write what two runs made of a value into `graph`; what is no tensor stays unknown."""
    if not (isinstance(one, np.ndarray) and isinstance(other, np.ndarray)):
        return
    if one.ndim != other.ndim:
        return
    kind = helper.np_dtype_to_tensor_dtype(one.dtype)
    shape = [a if a == b else None for a, b in zip(one.shape, other.shape, strict=True)]
    made = helper.make_tensor_value_info(name, kind, shape)
    for output in graph.output:
        if output.name == name:
            output.CopyFrom(made)
            return
    graph.value_info.append(made)
