"""A compiled file beside the float model it was made of, on data of the caller."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from maccel_aio.compiler.calibration import TappedModel
from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.inputs import load_calibration
from maccel_aio.compiler.preprocess import Preprocess
from maccel_aio.compiler.report import sqnr_db
from maccel_aio.errors import InvalidError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from maccel_aio import TensorSpec
    from maccel_aio.compiler.importer import ModelLike
    from maccel_aio.compiler.inputs import CalibrationSet, Source

    Arrays = list[NDArray[Any]]


@dataclass(frozen=True)
class OutputComparison:
    """One output of the compiled file against the float model's.

    Attributes:
        name: of the output.
        decibel: signal over noise of all samples together, at most 200.
        worst_decibel: of the worst sample.
        largest_error: largest difference of an element.
        same_largest: share of the samples in which the same element is the largest, 0..1.
    """

    name: str
    decibel: float
    worst_decibel: float
    largest_error: float
    same_largest: float


def compare(
    model: ModelLike, path: str | os.PathLike[str], data: Source
) -> tuple[OutputComparison, ...]:
    """Run both models over `data` and compare their outputs. Blocks; any thread.

    Args:
        model: the float model that was compiled: path, bytes or ``onnx.ModelProto``.
        path: of the compiled file; it runs on the software NPU.
        data: arrays, ``.npz`` or pictures, as `compile` takes them; pictures are prepared as the
            file says.

    Raises:
        InvalidError: the two have other outputs, or the data does not fit.
        CompileError: the two have other inputs, or the float model cannot be run.
        FileNotFoundError: a file does not exist.
    """
    from maccel_aio import read_manifest

    variant = read_manifest(path).variants[0]
    graph = import_model(model, shapes={spec.name: spec.shape for spec in variant.inputs})
    _check(graph.outputs, variant.outputs)
    samples = load_calibration(
        data,
        {spec.name: spec.shape for spec in variant.inputs},
        preprocess={s.name: Preprocess.of(s.preprocess) for s in variant.inputs if s.preprocess},
        dtypes={spec.name: np.dtype(spec.dtype) for spec in variant.inputs},
    )
    real = TappedModel(graph.model, graph.outputs)
    names = [spec.name for spec in variant.inputs]
    with ThreadPoolExecutor(1) as worker:  # the caller's thread may run an event loop
        exact, found = worker.submit(_answers, real, path, samples, names).result()
    return tuple(
        _compared(spec.name, [e[spec.name] for e in exact], [f[k] for f in found])
        for k, spec in enumerate(variant.outputs)
    )


def _check(ours: Sequence[str], specs: Sequence[TensorSpec]) -> None:
    theirs = [spec.name for spec in specs]
    if sorted(ours) != sorted(theirs):
        raise InvalidError(
            f"the file was not made of this model: its outputs are {theirs}, the model's {ours}"
        )


def _answers(
    real: TappedModel, path: str | os.PathLike[str], samples: CalibrationSet, names: list[str]
) -> tuple[list[dict[str, NDArray[Any]]], list[Arrays]]:
    from maccel_aio import sync

    exact, found = [], []
    with sync.Accelerator("soft:0") as device, sync.load(path, accelerator=device) as model:
        for index in range(samples.originals):
            sample = samples.make(index)
            exact.append(real.run(sample))
            found.append([np.array(out) for out in model.infer([sample[n] for n in names])])
    return exact, found


def _compared(name: str, exact: Arrays, found: Arrays) -> OutputComparison:
    pairs = [(np.ravel(e), np.ravel(f)) for e, f in zip(exact, found, strict=True)]
    each = [sqnr_db(e, f) for e, f in pairs]
    every = [np.concatenate(side) for side in zip(*pairs, strict=True)]
    errors = [float(np.abs(np.float64(e) - np.float64(f)).max(initial=0.0)) for e, f in pairs]
    same = [bool(e.argmax() == f.argmax()) if e.size else True for e, f in pairs]
    return OutputComparison(name, sqnr_db(*every), min(each), max(errors), float(np.mean(same)))
