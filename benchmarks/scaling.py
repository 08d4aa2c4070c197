"""What a second core brings: latency by core mode, throughput, and every layer by itself.

usage: python benchmarks/scaling.py MODEL.mxq [--rounds 7] [--seconds 0.2] [--worst 15] [--json]

The modes take turns in one process. Latency is that of ``infer`` with the arrays of a caller;
throughput that of the mode ``single`` with one and with two requests in flight. The layers are
those whose two-core time loses most against a perfect split.
"""

import argparse
import json
import os
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maccel_aio import LayerTime, ModelConfig, sync

MODES = ("single", "global4", "auto")
Inputs = list[NDArray[Any]]


def config(mode: str) -> ModelConfig:
    """Return the configuration of a core mode."""
    made = ModelConfig()
    if mode == "single":
        made.set_single_core_mode(num_cores=2)
    elif mode == "global4":
        made.set_global4_core_mode()
    return made


def inputs_of(model: sync.Model) -> Inputs:
    """Return random inputs: pixels where the model takes them, else floats of a normal spread."""
    rng = np.random.default_rng(0)
    shapes = [tuple(dim or 1 for dim in spec.shape) for spec in model.inputs]
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def latency(model: sync.Model, inputs: Inputs, seconds: float) -> float:
    """Return the median seconds of one inference."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        model.infer(inputs)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def throughput(model: sync.Model, inputs: Inputs, seconds: float, callers: int) -> float:
    """Return the inferences a second of so many callers, each with one request in flight."""
    counts = [0] * callers
    end = time.perf_counter() + seconds

    def call(number: int) -> None:
        while time.perf_counter() < end:
            model.infer(inputs)
            counts[number] += 1

    threads = [threading.Thread(target=call, args=(n,)) for n in range(callers)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def layer_times(model: sync.Model, inputs: Inputs, runs: int) -> dict[int, LayerTime]:
    """Return the profile of so many inferences by layer."""
    model.set_profile(True)
    for _ in range(runs):
        model.infer(inputs)
    rows = {row.layer: row for row in model.layer_times()}
    model.set_profile(False)
    return rows


def per_call(rows: list[LayerTime]) -> float:
    """Return the median microseconds of one call over rounds."""
    return statistics.median(row.total_ns / max(row.calls, 1) / 1e3 for row in rows)


def layers(models: dict[str, sync.Model], inputs: Inputs, rounds: int) -> list[dict[str, Any]]:
    """Return each layer with one core and with all, the largest loss first; times in us."""
    pairs = [
        (layer_times(models["single"], inputs, 5), layer_times(models["global4"], inputs, 5))
        for _ in range(rounds)
    ]
    cores = min(4, len(os.sched_getaffinity(0)))
    table: list[dict[str, Any]] = []
    for number, row in pairs[0][0].items():
        one = per_call([pair[0][number] for pair in pairs])
        many = per_call([pair[1][number] for pair in pairs])
        table.append(
            {"layer": number, "name": row.name, "op": row.op, "one_us": round(one, 1),
             "all_us": round(many, 1), "ratio": round(one / max(many, 1e-3), 2),
             "lost_us": round(many - one / cores, 1)}
        )  # fmt: skip
    return sorted(table, key=lambda entry: -float(entry["lost_us"]))


def measure(path: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """Return all figures of a model."""
    with sync.Accelerator("soft:0") as acc:
        models = {mode: acc.load(path, config(mode)) for mode in MODES}
        inputs = inputs_of(models["single"])
        times: dict[str, list[float]] = {mode: [] for mode in MODES}
        rates: dict[int, list[float]] = {1: [], 2: []}
        for turn in range(rounds + 1):
            for mode, model in models.items():
                taken = latency(model, inputs, seconds)
                times[mode] += [taken] if turn else []
            for callers, kept in rates.items():
                rate = throughput(models["single"], inputs, seconds, callers)
                kept.extend([rate] if turn else [])
        found = layers(models, inputs, rounds)
    return {
        "latency_ms": {mode: round(statistics.median(t) * 1e3, 3) for mode, t in times.items()},
        "global4 times faster": _ratio(times["single"], times["global4"]),
        "auto times faster": _ratio(times["single"], times["auto"]),
        "two requests over one": _ratio(rates[2], rates[1]),
        "layers": found,
    }


def _ratio(above: list[float], below: list[float]) -> str:
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    return f"{statistics.median(ratios):.2f} [{min(ratios):.2f} .. {max(ratios):.2f}]"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.2, help="of one turn")
    parser.add_argument("--worst", type=int, default=15, help="layers to print")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments.model, arguments.rounds, arguments.seconds)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    rows = figures.pop("layers")
    for name, value in figures.items():
        print(f"{name:24} {value}")
    for row in rows[: arguments.worst]:
        print(f"{row['layer']:4} {row['op']:10} {row['name'][:40]:40} {row['one_us']:9.1f} us ->"
              f" {row['all_us']:9.1f}  {row['ratio']:.2f}x  lost {row['lost_us']:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
