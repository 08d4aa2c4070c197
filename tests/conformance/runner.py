"""Runs the cases of ONNX operators through the compiler and a device, beside onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnxruntime as ort

import maccel_aio.sync as maccel
from maccel_aio import compiler

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.cases import Case

_RANDOM = {"Bernoulli", "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike"}


class Outcome(NamedTuple):
    """What became of one case.

    Attributes:
        where: "npu", "npu+cpu", "cpu"; "" when it did not run.
        problem: why it failed; "" when the results are those of onnxruntime.
        known: onnxruntime itself runs the case.
    """

    name: str
    op: str
    where: str
    problem: str
    known: bool


def run(case: Case, acc: maccel.Accelerator, folder: Path) -> Outcome:
    """Run one case."""
    try:
        wanted = reference(case)
    except Exception as error:  # noqa: BLE001 - it has no common base for its errors
        return Outcome(case.name, case.op, "", f"onnxruntime: {str(error)[:90]}", False)
    try:
        where, found = through(case, acc, folder)
    except Exception as error:  # noqa: BLE001 - every failure is a finding
        return Outcome(case.name, case.op, "", f"{type(error).__name__}: {error}", True)
    return Outcome(case.name, case.op, where, difference(case, wanted, found), True)


def reference(case: Case) -> list[Any]:
    """Return what onnxruntime makes of the case."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(
        case.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    if any(
        is_foreign(array.dtype) for array in (*case.feed.values(), *map(np.asarray, case.wanted))
    ):
        return case.wanted  # its Python face does not pass such values
    made: list[Any] = session.run(None, case.feed)
    return made


def is_foreign(dtype: np.dtype[Any]) -> bool:
    """Return whether numpy itself does not have a type: bfloat16, integers of 4 bits."""
    return dtype.isbuiltin == 2


def through(case: Case, acc: maccel.Accelerator, folder: Path) -> tuple[str, list[Any]]:
    """Return where the compiled case ran, and its outputs."""
    path = folder / "case.mxq"
    shapes = {
        value.name: case.feed[value.name].shape
        for value in case.model.graph.input
        if any(not dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim)
    }
    compiler.compile(case.model, path, precision="float32", shapes=shapes)
    with acc.load(path) as model:
        names = [spec.name for spec in model.inputs]
        found = model.infer([case.feed[name] for name in names])
        kinds = {segment.kind for segment in model.manifest.variants[0].segments}
    return "+".join(sorted(kinds, reverse=True)), found


def difference(case: Case, wanted: list[Any], found: list[Any]) -> str:
    """Return how the results differ, "" if they do not."""
    if len(wanted) != len(found):
        return f"{len(found)} outputs instead of {len(wanted)}"
    for number, (want, have) in enumerate(zip(wanted, found, strict=True)):
        want, have = np.asarray(want), np.asarray(have)
        if is_foreign(want.dtype):
            want = want.astype(have.dtype)
        if (want.shape, want.dtype.kind) != (have.shape, have.dtype.kind):
            return f"output {number}: {have.dtype} {have.shape}, not {want.dtype} {want.shape}"
        if want.dtype != have.dtype:
            return f"output {number} is {have.dtype}, not {want.dtype}"
        if _RANDOM & set(case.op.split("+")) or _same(case, want, have):
            continue
        return f"output {number} differs: {have.ravel()[:4]}, not {want.ravel()[:4]}"
    return ""


def _same(case: Case, want: np.ndarray[Any, Any], have: np.ndarray[Any, Any]) -> bool:
    if want.dtype.kind not in "fc":
        return bool(np.array_equal(want, have))
    return bool(np.allclose(have, want, rtol=case.rtol, atol=case.atol, equal_nan=True))
