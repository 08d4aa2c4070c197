"""A sample of the operator cases runs as onnxruntime runs it; and the comparison can fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import maccel_aio.sync as maccel
from tests.conformance import cases, runner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Every so many cases, and these: each was wrong once.
STRIDE = 29
ONCE_WRONG = (
    "test_affine_grid_2d_expanded",
    "test_and3d",
    "test_attention_23_boolmask_fullymasked_row_nan_robustness",
    "test_attention_4d_fp16",
    "test_attention_causal_boolmask_nan_robustness",
    "test_qlinearconv",
    "test_argmin_default_axis_random_select_last_index",
    "test_basic_deform_conv_with_padding",
    "test_castlike_FLOAT16_to_FLOAT8E4M3FN",
    "test_cast_FLOAT_to_BFLOAT16",
    "test_dynamicquantizelinear_expanded",
    "test_gru_seq_length",
    "test_if_opt",
    "test_loop13_seq",
    "test_loop16_seq_none",
    "test_reshape_allowzero_reordered",
    "test_scan_sum",
    "test_sequence_map_extract_shapes_expanded",
    "test_sequence_map_identity_2_sequences_expanded",
    "test_spacetodepth_crd_mode_example",
    "test_split_to_sequence_2",
    "test_training_dropout",
    "test_triu_zero",
)


@pytest.fixture(scope="module")
def acc() -> Iterator[maccel.Accelerator]:
    with maccel.Accelerator("soft:0") as opened:
        yield opened


def _sample() -> list[cases.Case]:
    known = cases.load()
    every = [*known, *filter(None, map(cases.freeze, known))]
    return [
        case
        for number, case in enumerate(every)
        if number % STRIDE == 0 or case.name.removesuffix(":constant") in ONCE_WRONG
    ]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # cases overflow and divide by zero
def test_a_sample_of_the_cases_runs_as_onnxruntime_runs_it(acc, tmp_path: Path) -> None:
    outcomes = [runner.run(case, acc, tmp_path) for case in _sample()]
    known = [one for one in outcomes if one.known]
    assert [f"{one.name}: {one.problem}" for one in known if one.problem] == []
    assert len(known) > 100
    assert {one.where for one in known} == {"npu", "npu+cpu", "cpu"}


def test_the_cases_that_were_wrong_once_are_there() -> None:
    assert set(ONCE_WRONG) <= {case.name for case in cases.load()}


def test_wrong_values_shapes_and_types_are_told() -> None:
    case = cases.load()[0]._replace(op="Relu", rtol=1e-3, atol=1e-5)
    want = [np.ones((2, 3), np.float32)]
    assert runner.difference(case, want, [np.ones((2, 3), np.float32)]) == ""
    assert "differs" in runner.difference(case, want, [np.full((2, 3), 1.01, np.float32)])
    assert "(3, 2)" in runner.difference(case, want, [np.ones((3, 2), np.float32)])
    assert "float64" in runner.difference(case, want, [np.ones((2, 3))])
    assert "2 outputs" in runner.difference(case, want, want * 2)
