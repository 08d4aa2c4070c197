"""Numbers of the instruction set, mirrored from ``_native/model/mxq.h`` (a test compares them)."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

MAGIC = b"MXQAIO\r\n"
VERSION = 1
ALIGN = 64
MAX_SECTIONS = 4096

PROGRAM_MAGIC = 0x50584D00
PROGRAM_VERSION = 1
NONE = 0xFFFFFFFF
MAX_RANK = 6
MAX_PORTS = 32
"""Inputs and outputs of one program together."""

TENSOR_PAD_CHANNELS = 1
INSN_RES_AFTER_ACT = 1


class Section(IntEnum):
    """Types of sections."""

    MANIFEST = 1
    PROGRAM = 2
    CONSTS = 3
    ONNX = 4


class DType(IntEnum):
    """``maccel_dtype``."""

    U8 = 1
    S8 = 2
    S16 = 3
    S32 = 4
    F32 = 5
    BF16 = 6
    S64 = 7


class Op(IntEnum):
    """``enum mx_op``."""

    CONV = 1
    DWCONV = 2
    CONVF = 3
    MATMUL = 4
    POOL = 5
    ELTWISE = 6
    MAP = 7
    FILL = 8
    RESIZE = 9
    SOFTMAX = 10
    REDUCE = 11
    LAYERNORM = 12
    GATHER = 13
    DYNQUANT = 14
    CONVDYN = 15
    RECURRENT = 16
    ATTENTION = 17


class Act(IntEnum):
    """``enum mx_act``; a name in lower case is an `Activation.kind`."""

    NONE = 0
    CLAMP = 1
    LEAKY = 2
    PRELU = 3
    SIGMOID = 4
    HARDSIGMOID = 5
    HARDSWISH = 6
    SILU = 7
    TANH = 8
    GELU_ERF = 9
    GELU_TANH = 10
    ELU = 11
    SOFTPLUS = 12
    EXP = 13
    LOG = 14
    SQRT = 15
    RECIPROCAL = 16
    ABS = 17
    NEG = 18
    ERF = 19
    MISH = 20
    FLOOR = 21
    CEIL = 22
    ROUND = 23
    SIN = 24
    COS = 25
    SQUARE = 26
    RSQRT = 27


class Recurrence(IntEnum):
    """``enum mx_recurrent``."""

    RNN = 0
    LSTM = 1
    GRU = 2
    GRU_LINEAR = 3


class Elt(IntEnum):
    """``enum mx_elt``."""

    ADD = 0
    SUB = 1
    MUL = 2
    DIV = 3
    MAX = 4
    MIN = 5
    POW = 6


DTYPES: dict[str, DType] = {
    "u8": DType.U8,
    "s8": DType.S8,
    "s16": DType.S16,
    "s32": DType.S32,
    "f32": DType.F32,
}
ITEMSIZE: dict[str, int] = {"u8": 1, "s8": 1, "s16": 2, "s32": 4, "f32": 4}
CODES: dict[str, tuple[int, int]] = {"u8": (0, 255), "s8": (-128, 127), "s16": (-32768, 32767)}
"""Smallest and largest code of the integer storage types."""

#: Constants by the name of their NumPy type; uint16 holds the bits of bfloat16, which NumPy lacks.
NUMPY_DTYPES: dict[str, DType] = {
    "uint8": DType.U8,
    "int8": DType.S8,
    "int16": DType.S16,
    "uint16": DType.BF16,
    "int32": DType.S32,
    "float32": DType.F32,
}

FILE_HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<u4"),
        ("flags", "<u4"),
        ("section_count", "<u4"),
        ("section_bytes", "<u4"),
        ("file_bytes", "<u8"),
        ("table_offset", "<u8"),
        ("reserved", "V24"),
    ]
)
SECTION = np.dtype(
    [
        ("type", "<u4"),
        ("flags", "<u4"),
        ("offset", "<u8"),
        ("size", "<u8"),
        ("sha256", "V32"),
        ("reserved", "V8"),
    ]
)
PROGRAM_HEADER = np.dtype(
    [
        ("magic", "<u4"),
        ("version", "<u4"),
        ("num_inputs", "<u4"),
        ("num_outputs", "<u4"),
        ("num_tensors", "<u4"),
        ("num_consts", "<u4"),
        ("num_insns", "<u4"),
        ("num_layers", "<u4"),
        ("arena_bytes", "<u8"),
        ("const_bytes", "<u8"),
        ("macs", "<u8"),
        ("reserved", "V40"),
    ]
)
TENSOR = np.dtype(
    [
        ("dtype", "u1"),
        ("rank", "u1"),
        ("flags", "<u2"),
        ("scale_const", "<u4"),
        ("offset", "<u8"),
        ("dims", "<i4", (MAX_RANK,)),
        ("stride", "<i8", (MAX_RANK,)),
        ("scale", "<f4"),
        ("zero", "<i4"),
    ]
)
CONST = np.dtype(
    [
        ("dtype", "u1"),
        ("rank", "u1"),
        ("flags", "<u2"),
        ("reserved", "<u4"),
        ("offset", "<u8"),
        ("bytes", "<u8"),
        ("dims", "<i4", (MAX_RANK,)),
    ]
)
INSN = np.dtype(
    [
        ("op", "<u2"),
        ("flags", "<u2"),
        ("layer", "<u4"),
        ("in", "<u4", (6,)),
        ("out", "<u4", (2,)),
        ("cst", "<u4", (8,)),
        ("i", "<i4", (24,)),
        ("f", "<f4", (16,)),
        ("reserved", "V24"),
    ]
)
INPUT = np.dtype([("tensor", "<u4"), ("table", "<u4"), ("order", "<u4"), ("reserved", "<u4")])
