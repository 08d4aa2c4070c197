"""Encodes a lowered bundle as a PROGRAM and a CONSTS section, byte for byte as mxq.h says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from maccel_aio.compiler import isa
from maccel_aio.compiler.planner import align

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maccel_aio.compiler.ir import Array
    from maccel_aio.compiler.lower import Lowered
    from maccel_aio.compiler.lower.emit import Instruction
    from maccel_aio.compiler.view import View

    Record = NDArray[Any]


class _TensorTable:
    """Numbers views; equal ones share a record."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._numbers: dict[bytes, int] = {}

    def number(self, view: View) -> int:
        record = tensor_record(view)
        key = record.tobytes()
        if key not in self._numbers:
            self._numbers[key] = len(self.records)
            self.records.append(record)
        return self._numbers[key]


def tensor_record(view: View) -> Record:
    """Return the ``mxp_tensor`` of a placed view in physical dimension order."""
    record = np.zeros((), isa.TENSOR)
    rank = len(view.dims)
    record["dtype"], record["rank"] = isa.DTYPES[view.dtype], rank
    record["flags"] = isa.TENSOR_PAD_CHANNELS if view.pad_channels else 0
    record["scale_const"] = isa.NONE
    record["offset"] = view.buffer.root.offset + view.offset
    record["dims"] = 1
    record["dims"][:rank] = view.dims
    record["stride"][:rank] = view.strides
    record["scale"], record["zero"] = view.scale, view.zero
    return record


def _const_table(constants: list[Array]) -> tuple[Record, bytes]:
    """Return the records and the bytes of the CONSTS section."""
    records = np.zeros(len(constants), isa.CONST)
    records["dims"] = 1
    parts: list[bytes] = []
    offset = 0
    for record, value in zip(records, constants, strict=True):
        data = value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
        record["dtype"], record["rank"] = isa.NUMPY_DTYPES[value.dtype.name], max(value.ndim, 1)
        record["offset"], record["bytes"] = offset, len(data)
        record["dims"][: value.ndim] = value.shape
        parts += [data, bytes(align(len(data)) - len(data))]
        offset += align(len(data))
    return records, b"".join(parts)


def _instruction(insn: Instruction, tensors: _TensorTable) -> Record:
    record = np.zeros((), isa.INSN)
    record["op"], record["flags"], record["layer"] = insn.op, insn.flags, insn.layer
    for field in ("in", "out", "cst"):
        record[field] = isa.NONE
    for slot, view in enumerate(insn.inputs):
        if view is not None:
            record["in"][slot] = tensors.number(view)
    for slot, out in enumerate(insn.outputs):
        record["out"][slot] = tensors.number(out)
    for slot, number in insn.consts.items():
        record["cst"][slot] = number
    for slot, value in insn.ints.items():
        record["i"][slot] = value
    for slot, real in insn.floats.items():
        record["f"][slot] = real
    return record


def encode(lowered: Lowered, num_layers: int, macs: int) -> tuple[bytes, bytes]:
    """Return the PROGRAM and the CONSTS section of a bundle.

    Args:
        lowered: the bundle, planned.
        num_layers: rows of the manifest's layer table.
        macs: multiply-accumulates of one inference.
    """
    emitter = lowered.emitter
    tensors = _TensorTable()
    inputs = np.zeros(len(emitter.inputs), isa.INPUT)
    for record, given in zip(inputs, emitter.inputs, strict=True):
        record["tensor"] = tensors.number(given.view)
        record["table"] = isa.NONE if given.table is None else given.table
        record["order"] = isa.NONE
    outputs = np.array([tensors.number(view) for view in emitter.outputs], "<u4")
    instructions = [_instruction(insn, tensors) for insn in emitter.instructions]
    constants, data = _const_table(emitter.constants)
    header = np.zeros((), isa.PROGRAM_HEADER)
    header["magic"], header["version"] = isa.PROGRAM_MAGIC, isa.PROGRAM_VERSION
    header["num_inputs"], header["num_outputs"] = len(inputs), len(outputs)
    header["num_tensors"], header["num_consts"] = len(tensors.records), len(constants)
    header["num_insns"], header["num_layers"] = len(instructions), num_layers
    header["arena_bytes"], header["const_bytes"] = lowered.arena_bytes, len(data)
    header["macs"] = macs
    io = inputs.tobytes() + outputs.tobytes()
    parts = [header.tobytes(), io, bytes(align(len(io), 8) - len(io))]
    parts += [record.tobytes() for record in tensors.records]
    parts.append(constants.tobytes())
    parts += [record.tobytes() for record in instructions]
    return b"".join(parts), data
