"""The binding: the only door to the compiled module, and what it checks."""

import re
from pathlib import Path

import pytest

import maccel_aio
from maccel_aio._core import _binding

PACKAGE = Path(maccel_aio.__file__).parent


def test_nothing_else_imports_the_compiled_module():
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^\s*(from|import)\s.*\b_maccel_cffi\b", path.read_text(), re.MULTILINE)
    }
    assert users == {"_core/_binding.py"}


def test_processor_and_versions():
    active, detected = _binding.isa()
    assert active in ("scalar", "avx2", "avxvnni", "avx512vnni", "neon", "neondot", "neoni8mm")
    assert detected
    assert _binding.cpu_count() >= 1


def test_errors_carry_the_sentence_of_the_shim():
    with pytest.raises(maccel_aio.ModelFormatError) as caught:
        _binding.parse_file(b"x" * 100)
    assert len(caught.value.reason) > 10


def test_io_records_have_the_native_size():
    assert len(_binding.pack_io(_binding.F32, 4, (1, 2))) == _binding.IO_BYTES == 72
