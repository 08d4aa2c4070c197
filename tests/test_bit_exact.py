"""The same inputs give the same bits, on every instruction set and in every way of calling.

Requests in flight together have distinct inputs: an output in the wrong request is seen.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests import networks

WORKER = "tests.bit_exact_worker"
ROOT = Path(__file__).resolve().parent.parent
LEVELS = ("scalar", "avx2", "avxvnni", "avx512vnni")
SAMPLES = 32

pytestmark = pytest.mark.timeout(300)


def outputs_of(model: Path, level: str, folder: Path, threads: str = "2") -> dict[str, bytes]:
    """Run a model in every way at one level; return the bytes of each output of each way."""
    np.save(folder / "inputs.npy", networks.samples(SAMPLES, seed=7))
    stored = folder / f"{level}-{threads}.npz"
    command = [sys.executable, "-m", WORKER, str(model), str(folder / "inputs.npy"), str(stored)]
    env = {**os.environ, "MACCEL_ISA": level, "MACCEL_THREADS": threads}
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    with np.load(stored) as arrays:
        return {name: arrays[name].tobytes() for name in arrays.files}


@pytest.mark.parametrize(
    "network", [networks.classifier(), networks.mixed()], ids=["classifier", "mixed"]
)
def test_every_level_and_every_way_gives_the_same_bits(
    network: onnx.ModelProto, tmp_path: Path
) -> None:
    """A level that the processor lacks runs as the best one below it, which must agree as well."""
    model = networks.compile_to(tmp_path, network, "network")
    reference = outputs_of(model, "scalar", tmp_path)
    count = len(network.graph.output)
    assert len(set(reference.values())) == count
    for level in LEVELS:
        for name, data in outputs_of(model, level, tmp_path).items():
            assert data == reference[f"sync/{name.rsplit('/', 1)[1]}"], f"{level}: {name}"


def test_the_number_of_threads_does_not_change_a_bit(tmp_path: Path) -> None:
    model = networks.compile_to(tmp_path, networks.mixed(), "mixed")
    best = LEVELS[-1]
    assert outputs_of(model, best, tmp_path, "1") == outputs_of(model, best, tmp_path, "4")


def test_distinct_inputs_give_distinct_outputs(tmp_path: Path) -> None:
    """Without this the comparison above could not see outputs that changed places."""
    model = networks.compile_to(tmp_path, networks.classifier(), "classifier")
    outputs_of(model, "scalar", tmp_path)
    with np.load(tmp_path / "scalar-2.npz") as arrays:
        scores = arrays["sync/0"]
    assert len({row.tobytes() for row in scores}) == SAMPLES
