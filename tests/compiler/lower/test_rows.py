"""Products of activations, and operators over rows, against onnxruntime."""

from pathlib import Path

import pytest

from tests.compiler.operators import check_float, check_int8, family


@pytest.mark.parametrize("name", family("rows"))
def test_float_programs_compute_what_onnxruntime_computes(name: str, tmp_path: Path) -> None:
    check_float(name, tmp_path)


@pytest.mark.parametrize("name", family("rows"))
def test_int8_programs_are_near_onnxruntime(name: str, tmp_path: Path) -> None:
    check_int8(name, tmp_path)
