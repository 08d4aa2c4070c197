"""A small writer of model files, independent of the compiler: tests need to know what is in them.

It packs the records of mxq.h with struct and knows just enough operators for honest models whose
results can be computed by hand.
"""

import dataclasses
import hashlib
import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

U8, S8, S32, F32 = 1, 2, 4, 5
NAMES = {U8: "uint8", S8: "int8", S32: "int32", F32: "float32"}
SIZES = {U8: 1, S8: 1, S32: 4, F32: 4}
NONE = 0xFFFFFFFF
CONV, ELTWISE, MAP = 1, 6, 7
ELT_ADD, ELT_SUB, ELT_MUL = 0, 1, 2


@dataclasses.dataclass
class Tensor:
    """A device tensor: dims in physical order."""

    dims: tuple[int, ...]
    dtype: int = F32
    scale: float = 1.0
    zero: int = 0


@dataclasses.dataclass
class Value:
    """An input or output of the model, with the ONNX shape and its physical order."""

    name: str
    shape: tuple[int, ...]
    tensor: int
    perm: tuple[int, ...] = ()
    layout: str = "ND"
    batch_axis: int | None = 0


class Program:
    """One NPU program under construction."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.consts: list[np.ndarray[Any, Any]] = []
        self.insns: list[bytes] = []
        self.tables: dict[int, int] = {}

    def tensor(self, *dims: int, dtype: int = F32, scale: float = 1.0, zero: int = 0) -> int:
        self.tensors.append(Tensor(dims, dtype, scale, zero))
        return len(self.tensors) - 1

    def const(self, array: Any, dtype: Any) -> int:
        self.consts.append(np.ascontiguousarray(array, dtype=dtype))
        return len(self.consts) - 1

    def insn(
        self, op: int, ins: Any, outs: Any, cst: Any = (), i: Any = None, f: Any = None
    ) -> None:
        ints, floats = [0] * 24, [0.0] * 16
        for key, value in (i or {}).items():
            ints[key] = value
        for key, value in (f or {}).items():
            floats[key] = value
        pad = lambda seq, n: [*seq, *[NONE] * (n - len(seq))]  # noqa: E731
        constants = [NONE] * 8
        for slot, index in dict(cst).items():
            constants[slot] = index
        self.insns.append(
            struct.pack(
                "<HHI6I2I8I24i16f24x", op, 0, len(self.insns),
                *pad(list(ins), 6), *pad(list(outs), 2), *constants, *ints, *floats,
            )
        )  # fmt: skip

    def limits(self, tensor: int) -> tuple[int, int]:
        return (-128, 127) if self.tensors[tensor].dtype == S8 else (0, 255)

    def copy(self, source: int, target: int) -> None:
        """MAP: copy, with conversion between scales."""
        one, two = self.tensors[source], self.tensors[target]
        out = 1.0 / two.scale if two.dtype != F32 else 1.0
        low, high = self.limits(target)
        self.insn(MAP, [source], [target], i={12: low, 13: high},
                  f={3: out, 4: one.scale if one.dtype != F32 else 1.0})  # fmt: skip

    def add_constant(self, source: int, target: int, value: float) -> None:
        dims = (1,) * len(self.tensors[source].dims)
        constant = self.const(np.full(dims, value), np.float32)
        low, high = self.limits(target)
        self.insn(ELTWISE, [source], [target], cst={5: constant},
                  i={10: ELT_ADD, 12: low, 13: high}, f={3: 1.0, 4: 1.0, 5: 1.0})  # fmt: skip

    def elementwise(self, kind: int, one: int, two: int, target: int) -> None:
        low, high = self.limits(target)
        self.insn(ELTWISE, [one, two], [target], i={10: kind, 12: low, 13: high},
                  f={3: 1.0, 4: 1.0, 5: 1.0})  # fmt: skip

    def conv1x1(self, source: int, target: int, weights: Any, scale: Any) -> None:
        """CONV 1x1 of a u8 image; weights s8 [O, I]; scale f32 [O] from accumulator to output."""
        weights = np.asarray(weights, np.int8)
        outs, ins = weights.shape
        zero = self.tensors[source].zero
        bias = -zero * weights.astype(np.int32).sum(axis=1)
        cst = {0: self.const(weights.reshape(outs, 1, 1, ins), np.int8),
               1: self.const(bias, np.int32), 2: self.const(scale, np.float32)}  # fmt: skip
        low, high = self.limits(target)
        i = {0: 1, 1: 1, 2: 1, 3: 1, 8: 1, 9: 1, 10: 1, 12: low, 13: high}
        self.insn(CONV, [source], [target], cst, i, {3: 1.0, 4: 1.0})

    def pack(self, inputs: list[int], outputs: list[int]) -> tuple[bytes, bytes]:
        """Return (program, constants)."""
        tensors, arena = b"", 0
        for tensor in self.tensors:
            size = SIZES[tensor.dtype]
            strides = [size * math.prod(tensor.dims[k + 1 :]) for k in range(len(tensor.dims))]
            pad = 6 - len(tensor.dims)
            tensors += struct.pack(
                "<BBHIQ6i6qfi", tensor.dtype, len(tensor.dims), 0, NONE, arena,
                *tensor.dims, *[1] * pad, *strides, *[0] * pad, tensor.scale, tensor.zero,
            )  # fmt: skip
            arena = _align(arena + size * math.prod(tensor.dims))
        consts, data = b"", b""
        for array in self.consts:
            kind = {"int8": S8, "int32": S32, "float32": F32, "uint8": U8}[array.dtype.name]
            dims = [*array.shape, *[1] * (6 - array.ndim)]
            consts += struct.pack(
                "<BBHIQQ6i", kind, array.ndim, 0, 0, len(data), array.nbytes, *dims
            )
            data += array.tobytes()
            data += bytes(_align(len(data)) - len(data))
        head = struct.pack(
            "<8I3Q40x", 0x50584D00, 1, len(inputs), len(outputs), len(self.tensors),
            len(self.consts), len(self.insns), len(self.insns), arena, len(data), 0,
        )  # fmt: skip
        listed = b"".join(struct.pack("<4I", t, self.tables.get(t, NONE), NONE, 0) for t in inputs)
        listed += struct.pack(f"<{len(outputs)}I", *outputs)
        listed += bytes(-len(head + listed) % 8)
        return head + listed + tensors + consts + b"".join(self.insns), data


def _align(size: int) -> int:
    return (size + 63) // 64 * 64


def container(sections: list[tuple[int, bytes]]) -> bytes:
    """Return a whole file of (type, data) sections."""
    offset = 64 + 64 * len(sections)
    table, body = b"", b""
    for kind, data in sections:
        table += struct.pack("<IIQQ32s8x", kind, 0, offset + len(body), len(data),
                             hashlib.sha256(data).digest())  # fmt: skip
        body += data + bytes(-len(data) % 64)
    total = offset + len(body)
    head = struct.pack("<8s4I2Q24x", b"MXQAIO\r\n", 1, 0, len(sections), 64, total, 64)
    return head + table + body


def spec(program: Program, value: Value, preprocess: Any = None) -> dict[str, Any]:
    tensor = program.tensors[value.tensor]
    return {
        "name": value.name, "dtype": "float32", "shape": list(value.shape),
        "batch_axis": value.batch_axis, "layout": value.layout, "scale": tensor.scale,
        "zero_point": tensor.zero, "device_dtype": NAMES[tensor.dtype], "preprocess": preprocess,
    }  # fmt: skip


def port(value: Value) -> dict[str, Any]:
    return {"name": value.name, "perm": list(value.perm or range(len(value.shape)))}


def manifest(variants: list[dict[str, Any]], layers: int = 1, name: str = "tiny") -> dict[str, Any]:
    return {
        "format": 1, "name": name,
        "target": {"profile": "aries", "core_modes": ["single", "multi", "auto"]},
        "variants": variants,
        "layers": [
            {"index": n, "name": f"layer{n}", "op": "Map", "segment": "npu0", "macs": 0,
             "precision": "int8", "output_shape": [1], "sqnr_db": None} for n in range(layers)
        ],
        "state": None, "provenance": {},
    }  # fmt: skip


def write(path: Path, program: Program, inputs: list[Value], outputs: list[Value]) -> Path:
    """Write a model of one program."""
    code, data = program.pack([v.tensor for v in inputs], [v.tensor for v in outputs])
    variant = {
        "inputs": [spec(program, v) for v in inputs],
        "outputs": [spec(program, v) for v in outputs],
        "segments": [{"kind": "npu", "name": "npu0", "program": 1, "consts": 2,
                      "inputs": [port(v) for v in inputs], "outputs": [port(v) for v in outputs]}],
        "tensors": {},
    }  # fmt: skip
    text = json.dumps(manifest([variant], len(program.insns))).encode()
    path.write_bytes(container([(1, text), (2, code), (3, data)]))
    return path


def identity(path: Path, *shape: int, dtype: int = F32, scale: float = 1.0, zero: int = 0) -> Path:
    """x -> x for a value of shape (1, *shape) with a batch axis."""
    program = Program()
    full = (1, *shape)
    source = program.tensor(*full, dtype=dtype, scale=scale, zero=zero)
    target = program.tensor(*full, dtype=dtype, scale=scale, zero=zero)
    program.copy(source, target)
    return write(path, program, [Value("x", full, source)], [Value("y", full, target)])


def plus(path: Path, *shape: int, value: float = 1.0) -> Path:
    """x -> x + value, float32, shape (1, *shape) with a batch axis."""
    program = Program()
    full = (1, *shape)
    source, target = program.tensor(*full), program.tensor(*full)
    program.add_constant(source, target, value)
    return write(path, program, [Value("x", full, source)], [Value("y", full, target)])


def image(
    path: Path, c: int, h: int, w: int, layout: str = "NCHW", batch_axis: int | None = 0
) -> Path:
    """x -> (x + 1, flat copy of x in ONNX order): one image output and one that is none."""
    program = Program()
    source, target = program.tensor(1, h, w, c), program.tensor(1, h, w, c)
    program.add_constant(source, target, 1.0)
    flat = program.tensor(1, h, w, c)
    program.copy(source, flat)
    nchw = layout == "NCHW"
    shape = (1, c, h, w) if nchw else (1, h, w, c)
    perm = (0, 2, 3, 1) if nchw else (0, 1, 2, 3)
    values = [Value(name, shape, tensor, perm, kind, batch_axis)
              for name, tensor, kind in (("x", source, layout), ("y", target, layout),
                                         ("flat", flat, "ND"))]  # fmt: skip
    return write(path, program, values[:1], values[1:])


def two_by_two(path: Path, n: int) -> Path:
    """(a, b) -> (a + b, a - b), float32, shape (1, n)."""
    program = Program()
    a, b, plus_, minus = (program.tensor(1, n) for _ in range(4))
    program.elementwise(ELT_ADD, a, b, plus_)
    program.elementwise(ELT_SUB, a, b, minus)
    names = [("a", a), ("b", b), ("sum", plus_), ("difference", minus)]
    values = [Value(name, (1, n), tensor) for name, tensor in names]
    return write(path, program, values[:2], values[2:])


def conv(path: Path, weights: Any, h: int, w: int, scale: float = 1.0) -> Path:
    """u8 image (scale 1, zero 0) -> 1x1 convolution with s8 weights [O, I] -> float32 image."""
    weights = np.asarray(weights, np.int8)
    outs, ins = weights.shape
    program = Program()
    source = program.tensor(1, h, w, ins, dtype=U8)
    target = program.tensor(1, h, w, outs)
    program.conv1x1(source, target, weights, np.full(outs, scale))
    perm = (0, 2, 3, 1)
    return write(path, program, [Value("x", (1, ins, h, w), source, perm, "NCHW")],
                 [Value("y", (1, outs, h, w), target, perm, "NCHW")])  # fmt: skip


def segmented(path: Path, n: int, graph: bytes) -> Path:
    """x + 1 on the NPU -> an ONNX graph "a" -> "b" on the CPU -> b + 10 on the NPU."""
    sections: list[tuple[int, bytes]] = []
    segments: list[dict[str, Any]] = []
    specs: list[dict[str, Any]] = []
    for value, names in ((1.0, ("x", "a")), (10.0, ("b", "y"))):
        program = Program()
        source, target = program.tensor(1, n), program.tensor(1, n)
        program.add_constant(source, target, value)
        code, data = program.pack([source], [target])
        at = 1 + len(sections)
        sections += [(2, code), (3, data)]
        one, two = Value(names[0], (1, n), source), Value(names[1], (1, n), target)
        segment = {"kind": "npu", "name": f"npu{len(segments)}", "program": at, "consts": at + 1}
        segments.append({**segment, "inputs": [port(one)], "outputs": [port(two)]})
        specs += [spec(program, one), spec(program, two)]
    sections.append((4, graph))
    middle = {"kind": "cpu", "name": "cpu0", "onnx": len(sections), "inputs": [{"name": "a"}],
              "outputs": [{"name": "b"}], "reason": "a test"}  # fmt: skip
    between = {"dtype": "float32", "shape": [1, n]}
    variant = {"inputs": specs[:1], "outputs": specs[3:], "tensors": {"a": between, "b": between},
               "segments": [segments[0], middle, segments[1]]}  # fmt: skip
    text = json.dumps(manifest([variant], 2)).encode()
    path.write_bytes(container([(1, text), *sections]))
    return path
