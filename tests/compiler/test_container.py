"""The container: what is written can be read back, and is the same every time."""

import hashlib
import os

import numpy as np
import pytest

from maccel_aio._maccel_cffi import ffi, lib
from maccel_aio.compiler import container, isa
from maccel_aio.errors import CompileError
from tests.compiler.device import sections

PARTS = [
    (isa.Section.MANIFEST, b"{}"),
    (isa.Section.PROGRAM, bytes(range(200))),
    (isa.Section.CONSTS, b""),
]


def test_sections_come_back_as_they_were():
    data = container.pack(PARTS)
    assert sections(data) == [part for _, part in PARTS]
    assert container.pack(PARTS) == data


def test_the_native_reader_accepts_it():
    data = container.pack(PARTS)
    table, count = ffi.new("maccel_section[]", 8), ffi.new("uint32_t *")
    assert lib.maccel_file_parse(ffi.from_buffer(data), len(data), table, 8, count) == 0
    assert [table[k].type for k in range(count[0])] == [int(kind) for kind, _ in PARTS]
    assert bytes(table[1].sha256) == hashlib.sha256(PARTS[1][1]).digest()


def test_sections_start_at_multiples_of_64_and_gaps_are_zero():
    data = container.pack(PARTS)
    table = np.frombuffer(data, isa.SECTION, 3, 64)
    used = bytearray(len(data))
    used[: 64 + table.nbytes] = b"x" * (64 + table.nbytes)
    for entry in table:
        start, size = int(entry["offset"]), int(entry["size"])
        assert start % 64 == 0
        used[start : start + size] = b"x" * size
    assert all(byte == 0 for byte, mark in zip(data, used, strict=True) if not mark)
    assert len(data) % 64 == 0


def test_too_many_sections_are_refused():
    with pytest.raises(CompileError, match="4096"):
        container.pack([(isa.Section.ONNX, b"")] * 4097)


def test_a_file_is_replaced_at_once_or_not_at_all(tmp_path):
    path = tmp_path / "m.mxq"
    container.write(path, b"old")
    container.write(path, b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(FileNotFoundError):
        container.write(tmp_path / "missing" / "m.mxq", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["m.mxq"]


def test_a_target_is_refused_before_the_work(tmp_path):
    container.check_target(tmp_path / "new.mxq")
    with pytest.raises(FileNotFoundError, match=r"missing.m\.mxq"):
        container.check_target(tmp_path / "missing" / "m.mxq")
    with pytest.raises(IsADirectoryError):
        container.check_target(tmp_path)


def test_what_is_no_plain_file_is_never_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match="no plain file"):
        container.write(pipe, b"data")
    assert pipe.is_fifo()
