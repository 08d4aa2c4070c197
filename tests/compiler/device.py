"""Runs compiled files on the software NPU through the binding, without the runtime above it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnxruntime as ort

from maccel_aio._maccel_cffi import ffi, lib
from maccel_aio.compiler import isa

_SECOND = 1_000_000_000
_ITEM = {"u8": 1, "s8": 1, "s16": 2, "f32": 4}


def _ok(status: int) -> None:
    if status < 0:
        raise RuntimeError(ffi.string(lib.maccel_last_error()).decode())


def sections(data: bytes) -> list[bytes]:
    """Return the sections of a file."""
    header = np.frombuffer(data, isa.FILE_HEADER, 1)[0]
    table = np.frombuffer(data, isa.SECTION, int(header["section_count"]), 64)
    return [data[int(e["offset"]) : int(e["offset"] + e["size"])] for e in table]


class File:
    """A compiled file that can be run."""

    def __init__(self, data: bytes) -> None:
        self.sections = sections(data)
        self.manifest: dict[str, Any] = json.loads(self.sections[0])
        self.variant = self.manifest["variants"][0]

    def run(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return the outputs for one sample, arrays in ONNX shapes."""
        values = dict(feed)
        for segment in self.variant["segments"]:
            if segment["kind"] == "cpu":
                self._run_cpu(segment, values)
            else:
                self._run_npu(segment, values)
        return [values[entry["name"]] for entry in self.variant["outputs"]]

    def shape(self, name: str) -> tuple[int, ...]:
        entries = [*self.variant["inputs"], *self.variant["outputs"]]
        known = {e["name"]: e["shape"] for e in entries}
        known.update({k: v["shape"] for k, v in self.variant["tensors"].items()})
        return tuple(known[name])

    def _run_cpu(self, segment: dict[str, Any], values: dict[str, np.ndarray]) -> None:
        session = ort.InferenceSession(
            self.sections[segment["onnx"]], providers=["CPUExecutionProvider"]
        )
        feed = {port["name"]: values[port["name"]] for port in segment["inputs"]}
        names = [port["name"] for port in segment["outputs"]]
        values.update(zip(names, session.run(names, feed), strict=True))

    def _run_npu(self, segment: dict[str, Any], values: dict[str, np.ndarray]) -> None:
        arrays: list[np.ndarray] = []
        perms: list[list[int]] = []
        for port in segment["inputs"]:
            array = np.asarray(values[port["name"]], order="C")  # keeps scalars scalars
            assert array.shape == self.shape(port["name"])
            arrays.append(array)
            perms.append(port["perm"])
        for port in segment["outputs"]:
            arrays.append(np.full(self.shape(port["name"]), np.nan, np.float32))
            perms.append(port["perm"])
            values[port["name"]] = arrays[-1]
        execute(self.sections[segment["program"]], self.sections[segment["consts"]], arrays, perms)


def execute(
    program: bytes, consts: bytes, arrays: list[np.ndarray], perms: list[list[int]]
) -> None:
    """Run one program; `arrays` are inputs, then outputs, in ONNX order."""
    device, ring, model = (
        ffi.new("maccel_device **"),
        ffi.new("maccel_ring **"),
        ffi.new("maccel_model **"),
    )
    _ok(lib.maccel_device_open(b"soft:0", device))
    keep = (ffi.from_buffer(program), ffi.from_buffer(consts))
    try:
        _ok(lib.maccel_ring_open(device[0], 4, ring))
        status = lib.maccel_model_load(
            device[0], keep[0], len(program), keep[1], len(consts), ffi.NULL, model
        )
        _ok(status)
        _submit(ring[0], model[0], arrays, perms)
        _ok(lib.maccel_model_unload(model[0]))
    finally:
        if ring[0] != ffi.NULL:
            lib.maccel_ring_close(ring[0], _SECOND)
            lib.maccel_ring_free(ring[0])
        lib.maccel_device_close(device[0], _SECOND)


def _submit(ring: Any, model: Any, arrays: list[np.ndarray], perms: list[list[int]]) -> None:
    io = ffi.new("maccel_io[]", len(arrays))
    codes = {"float32": 5, "uint8": 1, "int8": 2, "int32": 4, "int64": 7}
    for entry, array, perm in zip(io, arrays, perms, strict=True):
        entry.data = ffi.cast("void *", array.ctypes.data)
        entry.dtype = codes[array.dtype.name]
        strides = [array.strides[p] for p in perm] or [array.itemsize]
        for k, stride in enumerate(strides):
            entry.stride[k] = stride
    sqe = ffi.new("maccel_sqe *", {"user_data": 1 << 16, "model": model, "batch": 1})
    sqe.num_io, sqe.io = len(arrays), io
    accepted = ffi.new("uint32_t *")
    _ok(lib.maccel_ring_submit(ring, sqe, 1, accepted))
    _ok(lib.maccel_ring_wait(ring, 1, 20 * _SECOND))
    cqe = ffi.new("maccel_cqe *")
    assert lib.maccel_ring_harvest(ring, cqe, 1) == 1
    assert cqe.res == 0
