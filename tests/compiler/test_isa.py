"""The numbers in ``isa`` are the ones of the C headers."""

import re
from pathlib import Path

import pytest

from maccel_aio.compiler import isa
from maccel_aio.compiler.pointwise import FUNCTIONS

NATIVE = Path(__file__).parents[2] / "maccel_aio" / "_native"
MXQ = (NATIVE / "model" / "mxq.h").read_text()
MACCEL = (NATIVE / "include" / "maccel.h").read_text()


def _numbers(prefix: str, text: str = MXQ) -> dict[str, int]:
    found = re.findall(rf"\b{prefix}(\w+)\s*=\s*(\d+)", text)
    return {name: int(value) for name, value in found}


@pytest.mark.parametrize(
    ("prefix", "mirror"),
    [
        ("MX_OP_", isa.Op),
        ("MX_ACT_", isa.Act),
        ("MX_ELT_", isa.Elt),
        ("MX_RECURRENT_", isa.Recurrence),
        ("MXQ_SECTION_", isa.Section),
    ],
)
def test_enumerations_are_those_of_the_header(prefix, mirror):
    header = _numbers(prefix)
    header.pop("COUNT", None)
    assert {member.name: int(member) for member in mirror} == header


def test_types_are_those_of_the_public_header():
    block = MACCEL[MACCEL.index("typedef enum maccel_dtype") :].split("}")[0]
    assert _numbers("MACCEL_", block) == {m.name: int(m) for m in isa.DType}


def _define(name: str) -> str:
    found = re.search(rf"#define {name} (.+?)(?: /\*|\n)", MXQ)
    assert found is not None
    return found.group(1).strip()


def test_constants_are_those_of_the_header():
    assert int(_define("MXP_MAGIC").rstrip("u"), 16) == isa.PROGRAM_MAGIC
    assert int(_define("MXP_NONE").rstrip("u"), 16) == isa.NONE
    assert int(_define("MXQ_ALIGN").rstrip("u")) == isa.ALIGN
    assert int(_define("MXP_MAX_RANK")) == isa.MAX_RANK
    assert int(_define("MXQ_VERSION").rstrip("u")) == isa.VERSION
    assert _define("MXQ_MAGIC").strip('"').encode().decode("unicode_escape").encode() == isa.MAGIC
    assert _numbers("MX_TENSOR_") == {"PAD_CHANNELS": isa.TENSOR_PAD_CHANNELS}
    assert _numbers("MX_INSN_") == {"RES_AFTER_ACT": isa.INSN_RES_AFTER_ACT}


@pytest.mark.parametrize(
    ("record", "size"),
    [
        (isa.FILE_HEADER, 64),
        (isa.SECTION, 64),
        (isa.PROGRAM_HEADER, 96),
        (isa.TENSOR, 96),
        (isa.CONST, 48),
        (isa.INSN, 256),
        (isa.INPUT, 16),
    ],
)
def test_records_have_the_sizes_of_the_header(record, size):
    assert record.itemsize == size


def test_every_function_of_the_device_has_a_numpy_form():
    assert {member.name.lower() for member in isa.Act} == {*FUNCTIONS, "prelu"}
