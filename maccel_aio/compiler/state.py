"""What a model keeps from one call to the next: inputs and outputs that callers do not see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from maccel_aio.compiler.ir import CompileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maccel_aio.compiler.ir import Graph


@dataclass(frozen=True)
class StateOptions:
    """Which inputs and outputs are state.

    An output that is as large as its input replaces it after every step: the state of a recurrent
    network, or the tail of a causal convolution. An output that is shorter in one dimension is
    written there at the request's ``cache_size``: a KV cache, whose input has room for all tokens.
    The runtime has the memory; it is zero at first.

    Attributes:
        caches: output by input, both float32.
        length: an input of one element that gets the request's ``cache_size``, so that the graph
            can mask what is not in the cache; needed by caches that grow.
        tokens: inputs and outputs with a dimension over tokens, and which one that is. Callers pass
            any number of them: they go through in steps of as many as the graph has. The last step
            is filled up with zeros if all caches grow and all outputs have tokens.
        slots: how many sequences the model keeps apart, by ``cache_id``.
    """

    caches: Mapping[str, str]
    length: str | None = None
    tokens: Mapping[str, int] = field(default_factory=dict)
    slots: int = 1

    def to_json(self, graph: Graph) -> dict[str, Any]:
        """Return the ``state`` of a manifest.

        Raises:
            CompileError: if a name is not an input or output, or shapes do not suit each other.
        """
        for name in (*self.caches, *(() if self.length is None else (self.length,))):
            if name not in graph.inputs:
                raise CompileError(f"state: {name!r} is no input of the model")
        for name in self.caches.values():
            if name not in graph.outputs:
                raise CompileError(f"state: {name!r} is no output of the model")
        for name in self.tokens:
            if name not in (*graph.inputs, *graph.outputs):
                raise CompileError(f"state: {name!r} is no input or output of the model")
        caches = [
            {
                "name": source,
                "input": source,
                "output": result,
                "axis": _axis(graph, source, result),
            }
            for source, result in self.caches.items()
        ]
        return {
            "slots": self.slots, "length": self.length, "tokens": dict(self.tokens),
            "caches": caches,
        }  # fmt: skip


def _axis(graph: Graph, source: str, result: str) -> int | None:
    """Return the dimension in which an output is shorter than its input."""
    kept, made = graph.tensors[source].dims, graph.tensors[result].dims
    differ = [axis for axis, pair in enumerate(zip(kept, made, strict=False)) if pair[0] != pair[1]]
    if len(kept) != len(made) or len(differ) > 1:
        raise CompileError(
            f"state: {result!r} of shape {list(made)} cannot go back to {source!r} of "
            f"{list(kept)}: they may differ in one dimension"
        )
    return differ[0] if differ else None
