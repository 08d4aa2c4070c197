"""Load every model file of a folder, run what loads, and print the counts.

A process of its own for tests/test_model_errors.py, where a crash is an exit status.
"""

import json
import sys
from pathlib import Path

import numpy as np

import maccel_aio.sync as maccel
from maccel_aio import errors


def try_file(accelerator: maccel.Accelerator, path: Path) -> str:
    """Return "refused" or "ran"; an error of any other kind is left to propagate."""
    try:
        with accelerator.load(path) as model:
            inputs = [np.ones(spec.shape, np.float32) for spec in model.inputs]
            model.infer(inputs)
    except (errors.ModelFormatError, errors.UnsupportedError, errors.OutOfMemoryError):
        return "refused"
    return "ran"


def main(folder: Path) -> None:
    counts = {"refused": 0, "ran": 0}
    with maccel.Accelerator("soft:0") as accelerator:
        for path in sorted(folder.glob("*.mxq")):
            sys.stderr.write(f"{path.name}\n")
            counts[try_file(accelerator, path)] += 1
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
