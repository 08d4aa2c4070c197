"""Graph rewriting: from the nodes of an ONNX model to what the NPU runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maccel_aio.compiler.passes.attention import fuse_attention, fuse_scores, unflatten_rows
from maccel_aio.compiler.passes.canonical import canonicalise
from maccel_aio.compiler.passes.dead import drop_dead
from maccel_aio.compiler.passes.fold import fold_constants, remove_identities
from maccel_aio.compiler.passes.forward import fold_forward
from maccel_aio.compiler.passes.fuse import (
    fold_affine,
    fuse_activations,
    fuse_pads,
    fuse_residuals,
    standalone_affine,
)
from maccel_aio.compiler.passes.norms import match_norms
from maccel_aio.compiler.passes.patterns import match_patterns
from maccel_aio.compiler.passes.shuffle import fold_shuffles

if TYPE_CHECKING:
    from maccel_aio.compiler.ir import Graph

__all__ = ["run_passes"]


def run_passes(graph: Graph) -> None:
    """Rewrite `graph` in place into the operators of `ir`; values keep their names.

    Afterwards every node either is canonical or has a `Node.reason`.
    """
    fold_constants(graph)
    remove_identities(graph)
    canonicalise(graph)
    remove_identities(graph)
    match_norms(graph)
    fold_affine(graph)
    standalone_affine(graph)
    fold_affine(graph)  # into what became a convolution just now
    match_patterns(graph)
    unflatten_rows(graph)
    fuse_scores(graph)
    fuse_attention(graph)
    fuse_pads(graph)
    fuse_activations(graph)
    fold_forward(graph)
    fold_shuffles(graph)
    fuse_residuals(graph)
    drop_dead(graph)
