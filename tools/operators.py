"""Writes docs/operators.md: where every operator of ONNX runs, from the compiler's code.

Run it after a change of the compiler's rules; a test compares the page with them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx.defs

from maccel_aio.compiler.passes.canonical import RULES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "operators.md"
FIRST, LAST = 9, 24
HEAD = f"""\
# Operators

Every operator of ONNX (operator sets {FIRST} to {LAST}), and where it runs. *NPU int8* computes on
codes of 8 bits (16 where more accuracy is asked for), *NPU float* on float32. What an operator does
not cover there (a shape that is not known, weights computed at run time, types but float32) goes to
a CPU segment, and so do operators without an NPU form: onnxruntime runs them, and the report of a
compilation says why. Models of older operator sets run on the CPU.

Quantised models keep their scales: QuantizeLinear and DequantizeLinear in pairs, operators on
codes (QLinearConv and those that onnxruntime adds), layers that quantise their inputs when these
are known (DynamicQuantizeLinear with MatMulInteger or ConvInteger), and weights alone as codes,
whose layers compute in float. Operators that are not ONNX's own run on the CPU; their shapes are
found by running the model when it is compiled.

Inputs and outputs are tensors of any type, strings included. A sequence of tensors of one shape is
a tensor with one dimension more in front; an optional value is the value itself, and always there.
Loop, Scan, and If with a condition of the run are parts for the CPU, bodies and branches included.

`nox -s conformance` runs all cases that the `onnx` package generates, compiled with
`precision="float32"`, beside onnxruntime, and lists where those of each operator ran.

| operator | versions | NPU int8 | NPU float | else |
|---|---|---|---|---|
"""
FLOAT_ONLY = {
    "Softmax", "LogSoftmax", "LayerNormalization", "RMSNormalization", "RNN", "LSTM", "GRU", "Cast",
}  # fmt: skip
#: Operators that the importer writes as others, and how.
WRITTEN_AS = {
    "Attention": ("products of codes by the row", "products, sums and Softmax"),
    "RotaryEmbedding": ("", "products and sums"),
    "Cast": ("", "from integers of 32 and 64 bits"),
    "Where": ("constant condition, and zeros or masks of Softmax", "the same"),
    "LRN": ("a convolution between pointwise operators", "the same"),
    "MatMulInteger": ("with the codes of its weights", "the same"),
    "ConvInteger": ("with the codes of its weights", "the same"),
    "DynamicQuantizeLinear": ("a scale for each row", "left out"),
    "QLinearConv": ("with its scales", ""),
    "QLinearMatMul": ("with its scales", ""),
    "QuantizeLinear": ("in pairs: its scale", ""),
    "DequantizeLinear": ("in pairs: its scale", ""),
}
FOLDED = {"Constant", "ConstantOfShape", "If", "Range", "Shape", "Size", "Dropout", "Cast"}
"""Operators that often are decided when a model is compiled."""
_ABSENT = "-"


def main() -> int:
    """Write the page."""
    PAGE.write_text(page())
    return 0


def page() -> str:
    """Return the page."""
    return HEAD + "".join(_row(op, since) for op, since in versions().items())


def versions() -> dict[str, list[int]]:
    """Return the versions of every operator that are valid in one of the operator sets."""
    found: dict[str, list[int]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "" and schema.since_version <= LAST:
            found.setdefault(schema.name, []).append(schema.since_version)
    kept = {op: _valid(sorted(since)) for op, since in sorted(found.items())}
    gone = {
        schema.name
        for schema in onnx.defs.get_all_schemas_with_history()
        if schema.deprecated and schema.since_version <= FIRST
    }
    return {op: since for op, since in kept.items() if op not in gone}


def _valid(since: list[int]) -> list[int]:
    """Leave out versions that were replaced before the first operator set."""
    return [
        version
        for version, after in zip(since, [*since[1:], LAST + 1], strict=True)
        if after > FIRST
    ]


def _row(op: str, since: list[int]) -> str:
    integer, real = WRITTEN_AS.get(op, ("", ""))
    if op in RULES:
        integer = integer or ("" if op in FLOAT_ONLY else "yes")
        real = real or "yes"
    cells = [f"`{op}`", ", ".join(map(str, since)), integer or _ABSENT, real or _ABSENT]
    cells.append("folded, or CPU" if op in FOLDED else "CPU")
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    sys.exit(main())
