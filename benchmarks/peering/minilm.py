"""all-MiniLM-L6-v2 as ONNX, built from its weights, and sentences as its tokens."""

import json
import re
import struct
import zipfile
from functools import cache
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from peering.graph import GraphBuilder
from peering.sources import fetched

TOKENS = 128
_LAYERS, _WIDTH, _HEADS, _EPSILON = 6, 384, 12, 1e-12
_DEPTH = _WIDTH // _HEADS
_MASKED = -10000.0
_KINDS = {"F32": np.float32, "I64": np.int64}
_OPSET = 17

_TEXT = """A man is playing a guitar on the street while people walk by. The stock market fell
sharply today, and shares of most banks lost more than they had won during the week. How long does
bread have to stay in the oven? Rain is expected in the north, with strong winds near the coast. The
committee will publish its report next month, after all members have read the draft. She opened the
window and looked at the garden, where two cats were asleep under the old apple tree. Engineers
measured the speed of the new train on a straight track and found it faster than planned. A recipe
needs flour, butter, sugar, three eggs and a little salt. The museum shows paintings of the last
century until the end of June. Water boils at a lower temperature on high mountains. Children learn
languages more easily than adults do. The program reads a file, sorts its lines and writes them to
another one. Nobody knows who wrote the first of these letters. The river was so low that ships
could not pass under the bridge for weeks. He forgot his keys at the office and had to wait."""


@cache
def _archive() -> zipfile.ZipFile:
    return zipfile.ZipFile(fetched("minilm"))


@cache
def _weights() -> dict[str, NDArray[Any]]:
    """Return the tensors of the safetensors file: a JSON header, then raw numbers."""
    data = _archive().read("model.safetensors")
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + size])
    found = {}
    for name, about in header.items():
        if name == "__metadata__":
            continue
        first, last = (8 + size + offset for offset in about["data_offsets"])
        found[name] = np.frombuffer(data[first:last], _KINDS[about["dtype"]]).reshape(
            about["shape"]
        )
    return found


def pieces(text: str) -> list[int]:
    """Return the WordPiece tokens of a text: always the longest piece that is known."""
    known: dict[str, int] = json.loads(_archive().read("tokenizer.json"))["model"]["vocab"]
    found = []
    for word in re.findall(r"\w+|[^\w\s]", text.lower()):
        start = 0
        while start < len(word):
            mark = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((e for e in ends if mark + word[start:e] in known), None)
            if end is None:
                found.append(known["[UNK]"])
                break
            found.append(known[mark + word[start:end]])
            start = end
    return found


def samples(count: int = 16) -> dict[str, NDArray[Any]]:
    """Return `count` texts of 128 tokens: ids, masks and types ``[count, 128]`` int64."""
    tokens = pieces(_TEXT)
    rows = []
    for k in range(count):
        turned = np.roll(tokens, -k * len(tokens) // count)
        rows.append([101, *turned[: TOKENS - 2], 102])  # between [CLS] and [SEP]
    ids = np.array(rows, np.int64)
    return {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": np.zeros_like(ids),
    }


class _Encoder:
    """The layers of the network."""

    def __init__(self) -> None:
        self.graph = GraphBuilder(_OPSET)
        self._weights = _weights()

    def linear(self, x: str, name: str) -> str:
        g, w = self.graph, self._weights
        product = g.node("MatMul", x, g.constant(w[f"{name}.weight"].T, f"{name}.weight"))
        return g.node("Add", product, g.constant(w[f"{name}.bias"], f"{name}.bias"))

    def norm(self, x: str, name: str) -> str:
        g, w = self.graph, self._weights
        scale, bias = (g.constant(w[f"{name}.{p}"], f"{name}.{p}") for p in ("weight", "bias"))
        return g.node("LayerNormalization", x, scale, bias, axis=-1, epsilon=_EPSILON)

    def embed(self) -> str:
        g, w, path = self.graph, self._weights, "embeddings"
        word, kind = (
            g.node("Gather", g.constant(w[f"{path}.{name}_embeddings.weight"]), source)
            for name, source in (("word", "input_ids"), ("token_type", "token_type_ids"))
        )
        place = g.constant(w[f"{path}.position_embeddings.weight"][:TOKENS])
        return self.norm(g.node("Add", g.node("Add", word, kind), place), f"{path}.LayerNorm")

    def heads(self, x: str, name: str, perm: list[int]) -> str:
        g = self.graph
        split = g.node("Reshape", self.linear(x, name), g.whole(0, TOKENS, _HEADS, _DEPTH))
        return g.node("Transpose", split, perm=perm)

    def attention(self, x: str, path: str, mask: str) -> str:
        g, own = self.graph, f"{path}.attention.self"
        query = self.heads(x, f"{own}.query", [0, 2, 1, 3])
        key = self.heads(x, f"{own}.key", [0, 2, 3, 1])
        value = self.heads(x, f"{own}.value", [0, 2, 1, 3])
        scores = g.node("Mul", g.node("MatMul", query, key), g.scalar(_DEPTH**-0.5))
        shares = g.node("Softmax", g.node("Add", scores, mask), axis=-1)
        mixed = g.node("Transpose", g.node("MatMul", shares, value), perm=[0, 2, 1, 3])
        joined = g.node("Reshape", mixed, g.whole(0, TOKENS, _WIDTH))
        return self.linear(joined, f"{path}.attention.output.dense")

    def gelu(self, x: str) -> str:
        g = self.graph
        inner = g.node("Erf", g.node("Div", x, g.scalar(2**0.5)))
        half = g.node("Mul", x, g.scalar(0.5))
        return g.node("Mul", half, g.node("Add", inner, g.scalar(1.0)))

    def layer(self, x: str, index: int, mask: str) -> str:
        g, path = self.graph, f"encoder.layer.{index}"
        y = g.node("Add", self.attention(x, path, mask), x)
        y = self.norm(y, f"{path}.attention.output.LayerNorm")
        z = self.linear(
            self.gelu(self.linear(y, f"{path}.intermediate.dense")), f"{path}.output.dense"
        )
        return self.norm(g.node("Add", z, y), f"{path}.output.LayerNorm")


def minilm() -> onnx.ModelProto:
    """Return the encoder with mean pooling: three int64 ``[1, 128]`` to ``embedding [1, 384]``."""
    net = _Encoder()
    g = net.graph
    seen = g.node("Cast", "attention_mask", to=TensorProto.FLOAT)
    hidden = g.node("Sub", g.scalar(1.0), g.node("Unsqueeze", seen, g.whole(1, 2)))
    mask = g.node("Mul", hidden, g.scalar(_MASKED))
    x = net.embed()
    for index in range(_LAYERS):
        x = net.layer(x, index, mask)
    column = g.node("Unsqueeze", seen, g.whole(2))
    total = g.node("ReduceSum", g.node("Mul", x, column), g.whole(1), keepdims=0)
    g.node("Div", total, g.node("ReduceSum", column, g.whole(1), keepdims=0), out="embedding")
    ids = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), (1, TOKENS))
    return g.model("minilm", ids, {"embedding": (1, _WIDTH)}, TensorProto.INT64)
