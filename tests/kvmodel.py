"""A small language-model step with a KV cache, made by hand: attention, and a running sum."""

from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from maccel_aio.compiler import StateOptions, compile  # noqa: A004 - the name of the act

HIDDEN, CAPACITY = 8, 40


class Weights:
    """Weights of the model, and what it computes, in numpy: no cache, every token at once."""

    def __init__(self, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.q, self.k, self.v, self.o = (
            rng.normal(0, 0.5, (HIDDEN, HIDDEN)).astype(np.float32) for _ in range(4)
        )

    def expected(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs of a whole sequence (tokens, HIDDEN), causally masked."""
        scores = (x @ self.q) @ (x @ self.k).T / np.sqrt(HIDDEN)
        scores[np.triu_indices(len(x), 1)] = -1e4
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        made: np.ndarray = (weights @ (x @ self.v)) @ self.o
        return made


def constants(tokens: int, weights: Weights) -> dict[str, np.ndarray]:
    """Return what the graph multiplies and adds."""
    rows = CAPACITY + tokens
    # A row of the cache counts if it is below the length; a new one if it is not of the future.
    slope = np.zeros((1, tokens, rows), np.float32)
    slope[:, :, :CAPACITY] = 1
    offset = np.zeros((1, tokens, rows), np.float32)
    offset[:, :, :CAPACITY] = -0.5 - np.arange(CAPACITY)
    offset[0, :, CAPACITY:] = np.where(np.tri(tokens, dtype=bool), 1, -1)
    return {
        "wq": weights.q / np.sqrt(HIDDEN), "wk": weights.k, "wv": weights.v, "wo": weights.o,
        "slope": slope, "offset": offset, "steep": np.array([1e4], np.float32),
        "zero": np.array(0, np.float32),
    }  # fmt: skip


def attention(tokens: int, weights: Weights) -> ModelProto:
    """Return the graph of a step of ``tokens``: x, past_k, past_v, length -> y, new_k, new_v."""
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "wq"], ["q"]),
        node("MatMul", ["x", "wk"], ["new_k"]),
        node("MatMul", ["x", "wv"], ["new_v"]),
        node("Concat", ["past_k", "new_k"], ["keys"], axis=1),
        node("Concat", ["past_v", "new_v"], ["values"], axis=1),
        node("Transpose", ["keys"], ["turned"], perm=[0, 2, 1]),
        node("MatMul", ["q", "turned"], ["scores"]),
        node("Mul", ["slope", "length"], ["sloped"]),
        node("Add", ["sloped", "offset"], ["distance"]),
        node("Mul", ["distance", "steep"], ["sharp"]),
        node("Min", ["sharp", "zero"], ["mask"]),
        node("Add", ["scores", "mask"], ["masked"]),
        node("Softmax", ["masked"], ["shares"], axis=2),
        node("MatMul", ["shares", "values"], ["mixed"]),
        node("MatMul", ["mixed", "wo"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    shape = [1, tokens, HIDDEN]
    past = [1, CAPACITY, HIDDEN]
    graph = helper.make_graph(
        nodes, "attention",
        [value("x", TensorProto.FLOAT, shape), value("past_k", TensorProto.FLOAT, past),
         value("past_v", TensorProto.FLOAT, past), value("length", TensorProto.FLOAT, [1, 1])],
        [value(name, TensorProto.FLOAT, shape) for name in ("y", "new_k", "new_v")],
        [numpy_helper.from_array(np.asarray(array, np.float32), name)
         for name, array in constants(tokens, weights).items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def build(path: Path, tokens: int = 4, slots: int = 1, weights: Weights | None = None) -> Path:
    """Compile the model for steps of ``tokens``."""
    state = StateOptions({"past_k": "new_k", "past_v": "new_v"}, "length", {"x": 1, "y": 1}, slots)
    model = attention(tokens, weights or Weights())
    compile(model, path, precision="float32", state=state)
    return path


def running_sum(path: Path, slots: int = 1) -> Path:
    """Compile a model whose state is a total: the next one is total + x, and y is twice that."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Add", ["x", "total"], ["next"]),
        helper.make_node("Mul", ["next", "two"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "sum",
        [value(name, TensorProto.FLOAT, [1, HIDDEN]) for name in ("x", "total")],
        [value(name, TensorProto.FLOAT, [1, HIDDEN]) for name in ("y", "next")],
        [helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    compile(model, path, precision="float32", state=StateOptions({"total": "next"}, slots=slots))
    return path
