"""A model file of one instruction, written without the compiler: x -> x + a constant.

The records are those of the model format, see docs/mxq.md: a header, a table of sections, and the
sections for the manifest, the program and its constants.
"""

from __future__ import annotations

import hashlib
import json
import math
import pathlib
import struct
from typing import TYPE_CHECKING, Any

from maccel_aio.errors import InvalidError

if TYPE_CHECKING:
    import os

_NONE = 0xFFFFFFFF
_F32, _ELTWISE, _ADD = 5, 6, 0
_OPERAND = 5  # constant slot of the second operand
_ALIGNMENT = 64


def tiny_model(
    path: str | os.PathLike[str],
    shape: tuple[int, ...] = (8,),
    *,
    value: float = 1.0,
    image: bool = False,
) -> pathlib.Path:
    """Write a model that adds ``value`` to every number of its float32 input, and return its path.

    Input ``x`` and output ``y`` have the shape ``(1, *shape)`` with a batch dimension.

    Args:
        path: of the ``.mxq`` file; overwritten.
        shape: of one item, 1 to 5 dimensions.
        value: what is added.
        image: whether the item is an image (C, H, W): then HWC arrays fit as well.

    Raises:
        InvalidError: if the shape is not possible.
    """
    if not 1 <= len(shape) <= 5 or any(dim < 1 for dim in shape) or (image and len(shape) != 3):
        raise InvalidError(f"a tiny model cannot have the shape {shape}")
    full = (1, *shape)
    perm = (0, 2, 3, 1) if image else tuple(range(len(full)))
    dims = tuple(full[axis] for axis in perm)
    manifest = json.dumps(_manifest(full, perm, image)).encode()
    constants = struct.pack("<f", value).ljust(_ALIGNMENT, b"\0")
    sections = [(1, manifest), (2, _program(dims, len(constants))), (3, constants)]
    target = pathlib.Path(path)
    target.write_bytes(_container(sections))
    return target


def _manifest(shape: tuple[int, ...], perm: tuple[int, ...], image: bool) -> dict[str, Any]:
    values = [
        {
            "name": name, "dtype": "float32", "shape": list(shape), "batch_axis": 0,
            "layout": "NCHW" if image else "ND", "scale": 1.0, "zero_point": 0,
            "device_dtype": "float32", "preprocess": None,
        }
        for name in ("x", "y")
    ]  # fmt: skip
    ports = [[{"name": name, "perm": list(perm)}] for name in ("x", "y")]
    segment = {
        "kind": "npu", "name": "npu0", "program": 1, "consts": 2, "inputs": ports[0],
        "outputs": ports[1],
    }  # fmt: skip
    layer = {
        "index": 0, "name": "add", "op": "Add", "segment": "npu0", "macs": 0,
        "precision": "float32", "output_shape": list(shape), "sqnr_db": None,
    }  # fmt: skip
    return {
        "format": 1, "name": "tiny",
        "target": {"profile": "aries", "core_modes": ["single", "multi", "auto"]},
        "variants": [
            {"inputs": values[:1], "outputs": values[1:], "segments": [segment], "tensors": {}}
        ],
        "layers": [layer], "state": None, "provenance": {},
    }  # fmt: skip


def _program(dims: tuple[int, ...], constant_bytes: int) -> bytes:
    size = _aligned(4 * math.prod(dims))
    pad = 6 - len(dims)
    strides = [4 * math.prod(dims[axis + 1 :]) for axis in range(len(dims))]
    tensors = b"".join(
        struct.pack(
            "<BBHIQ6i6qfi", _F32, len(dims), 0, _NONE, offset, *dims, *[1] * pad, *strides,
            *[0] * pad, 1.0, 0,
        )
        for offset in (0, size)
    )  # fmt: skip
    constant = struct.pack("<BBHIQQ6i", _F32, len(dims), 0, 0, 0, 4, *[1] * 6)
    head = struct.pack("<8I3Q40x", 0x50584D00, 1, 1, 1, 2, 1, 1, 1, 2 * size, constant_bytes, 0)
    listed = struct.pack("<4I", 0, _NONE, _NONE, 0) + struct.pack("<I", 1)
    listed += bytes(-len(head + listed) % 8)
    return head + listed + tensors + constant + _instruction()


def _instruction() -> bytes:
    constants = [_NONE] * 8
    constants[_OPERAND] = 0
    integers = [0] * 24
    integers[10], integers[13] = _ADD, 255
    floats = [0.0] * 16
    floats[3] = floats[4] = floats[5] = 1.0
    return struct.pack(
        "<HHI6I2I8I24i16f24x", _ELTWISE, 0, 0, 0, *[_NONE] * 5, 1, _NONE, *constants, *integers,
        *floats,
    )  # fmt: skip


def _container(sections: list[tuple[int, bytes]]) -> bytes:
    offset = _ALIGNMENT * (1 + len(sections))
    table, body = b"", b""
    for kind, data in sections:
        digest = hashlib.sha256(data).digest()
        table += struct.pack("<IIQQ32s8x", kind, 0, offset + len(body), len(data), digest)
        body += data.ljust(_aligned(len(data)), b"\0")
    total = offset + len(body)
    head = struct.pack(
        "<8s4I2Q24x", b"MXQAIO\r\n", 1, 0, len(sections), _ALIGNMENT, total, _ALIGNMENT
    )
    return head + table + body


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
