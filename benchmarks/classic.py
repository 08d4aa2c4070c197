"""What a call of the classic packages costs beside the inference.

usage: python benchmarks/classic.py [--device null] [--requests 2000] [--rounds 7] [--json]

A model that adds one to eight floats, on a device that completes at once: ``infer`` of the blocking
face, and of ``maccel.Model`` and ``qbruntime.Model``, in turn. Times are microseconds; a figure is
the median of the rounds' medians, with the lowest and the highest.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dispatch import WARM, X, spread, timed, tiny_model
from maccel_aio import sync
from maccel_aio.compat import maccel, qbruntime
from maccel_aio.compat._shared.accelerator import RawAccelerator

if TYPE_CHECKING:
    from collections.abc import Callable


def classic(package: ModuleType, path: Path, device: str) -> Any:
    """Launch a model of a classic package on a native device."""
    acc = package.Accelerator.__new__(package.Accelerator)
    acc._accelerator = RawAccelerator(device)  # noqa: SLF001 - maccel takes numbers only
    model = package.Model(str(path))
    model.launch(acc)
    return model


def measure(path: Path, device: str, requests: int, rounds: int) -> dict[str, dict[str, float]]:
    """Time all three in turn."""
    wide = X.reshape(1, 1, 8)
    with sync.Accelerator(device) as acc, acc.load(path) as model:
        old, new = (classic(package, path, device) for package in (maccel, qbruntime))
        calls: dict[str, Callable[[], object]] = {
            "sync": lambda: model.infer(X),
            "maccel": lambda: old.infer(wide),
            "qbruntime": lambda: new.infer(wide),
        }
        medians: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds):
            for name, call in calls.items():
                for _ in range(WARM):
                    call()
                trips = [timed(call) for _ in range(requests)]
                medians[name].append(spread(trips)["p50_us"])
        old.dispose()
        new.dispose()
    return {
        name: {"p50_us": statistics.median(every), "low": min(every), "high": max(every)}
        for name, every in medians.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="null")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = tiny_model(Path(folder))
        found = measure(path, chosen.device, chosen.requests, chosen.rounds)
    if chosen.json:
        print(json.dumps(found))
        return
    for name, row in found.items():
        print(f"{name:10} p50 {row['p50_us']:6.2f} us  [{row['low']:.2f} .. {row['high']:.2f}]")


if __name__ == "__main__":
    main()
