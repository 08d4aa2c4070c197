"""A model's manifest as text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from maccel_aio._core._manifest import Manifest, Variant
    from maccel_aio._core._types import TensorSpec


def summary(manifest: Manifest) -> str:
    """Return a description of a model: tensors, segments, and its layers as a table."""
    lines = [
        f"model     {manifest.name}",
        f"target    {manifest.profile} ({', '.join(manifest.core_modes)})",
    ]
    for number, variant in enumerate(manifest.variants):
        if len(manifest.variants) > 1:
            lines.append(f"variant   {number}")
        lines += _tensors("input ", variant.inputs)
        lines += _tensors("output", variant.outputs)
        lines += _segments(manifest, variant)
    lines += _state(manifest)
    if manifest.layers:
        lines += ["", *_layers(manifest)]
    return "\n".join(lines)


def _segments(manifest: Manifest, variant: Variant) -> list[str]:
    """Return where the parts run, how much of the work each has, and why."""
    total = sum(layer.macs for layer in manifest.layers) or 1
    lines = []
    for segment in variant.segments:
        own = sum(layer.macs for layer in manifest.layers if layer.segment == segment.name)
        share = f", {own / total:.1%} of the work" if len(variant.segments) > 1 else ""
        reason = f": {segment.reason}" if segment.reason else ""
        lines.append(f"segment   {segment.name} on {segment.kind.upper()}{share}{reason}")
    return lines


def _tensors(label: str, specs: Iterable[TensorSpec]) -> list[str]:
    return [
        f"{label}    {spec.name}: {spec.dtype} {list(spec.shape)} {spec.layout}, "
        f"device {spec.device_dtype} scale {spec.scale:g} zero {spec.zero_point}"
        + (", fused preprocessing" if spec.preprocess else "")
        for spec in specs
    ]


def _state(manifest: Manifest) -> list[str]:
    """Return what a model keeps between calls: those inputs and outputs are not callers'."""
    if manifest.state is None:
        return []
    slots = manifest.state.slots
    return [
        f"state     {cache.input} <- {cache.output}: {slots} slot{'s' * (slots > 1)}, "
        + ("replaced" if cache.axis is None else f"grows along {cache.axis}")
        for cache in manifest.state.caches
    ]


def _layers(manifest: Manifest) -> list[str]:
    head = ("#", "layer", "operator", "runs on", "precision", "output", "MMAC", "SQNR dB")
    rows = [
        (
            str(layer.number),
            layer.name,
            layer.op,
            layer.segment,
            layer.precision,
            "x".join(map(str, layer.output_shape)),
            f"{layer.macs / 1e6:.2f}",
            "" if layer.sqnr_db is None else f"{layer.sqnr_db:.1f}",
        )
        for layer in manifest.layers
    ]
    total = sum(layer.macs for layer in manifest.layers)
    return [*_table([head, *rows]), f"total {total / 1e6:.2f} MMAC in {len(rows)} layers"]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
