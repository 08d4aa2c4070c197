"""The tables: figures of all models as text."""

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from peering.grid import grid, milliseconds, ratios, spread
from peering.sections import (
    choices_table,
    costs_table,
    extras_figures,
    extras_table,
    layers_table,
)

PEERS = ("onnxruntime", "openvino")
_TITLES = {
    "best": "Every engine fed what it likes most (ours: uint8 pixels; peers: float32 NCHW, bound)",
    "pixels": "Equal inputs: uint8 pixels [h, w, 3] through everybody's own preprocessing",
}

#: Bars: what a ratio or share must reach.
_PEER_BARS = {"openvino": 1.3, "onnxruntime": 1.6}
_MODEL_BARS = {
    "mobilenet_v2": {"openvino": 1.7, "onnxruntime": 2.1},
    "efficientnet_lite0": {"openvino": 1.7, "onnxruntime": 2.1},
    "resnet50": {"openvino": 1.1, "onnxruntime": 1.2},
}
_SCALING_BARS = {"resnet50": 1.85, "mobilenet_v2": 1.75}

Found = dict[str, Any]


def merged(several: Sequence[Found]) -> Found:
    """Return the figures of several files as one; later files win."""
    found: Found = {"models": {}, "extras": {}, "failed": {}}
    for one in several:
        for key, values in found.items():
            values.update(one.get(key, {}))
    return found


def threads_of(found: Found) -> list[int]:
    """Return the numbers of threads that were measured."""
    keys = [key.split() for model in found["models"].values() for key in model["rounds"]]
    return sorted({int(key[2]) for key in keys if key[:2] == ["ours", "best"]})


def ratios_of(found: Found, inputs: str, threads: int, peer: str) -> dict[str, list[float]]:
    """Return, per model, how many times longer `peer` takes than ours, round by round."""
    by_model = {}
    for name, model in found["models"].items():
        rounds = model["rounds"]
        theirs, own = rounds.get(f"{peer} {inputs} {threads}"), rounds.get(f"ours best {threads}")
        if theirs and own:
            by_model[name] = ratios(theirs, own)
    return by_model


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean of positive numbers."""
    return math.exp(statistics.fmean(math.log(value) for value in values))


def times_table(found: Found, inputs: str, threads: int) -> list[str]:
    """Return the table of milliseconds, ratios and noise of all models."""
    heads = ["model", "ours ms", *(f"{peer} ms" for peer in PEERS), *(f"{p} / ours" for p in PEERS)]
    rows = [[*heads, "SQNR dB ours / peer"]]
    by_peer = {peer: ratios_of(found, inputs, threads, peer) for peer in PEERS}
    for name, model in found["models"].items():
        if not any(name in known for known in by_peer.values()):
            continue
        rounds, sqnr = model["rounds"], model["sqnr_db"]
        times = [rounds[f"ours best {threads}"]]
        times += [rounds.get(f"{peer} {inputs} {threads}") for peer in PEERS]
        shown = [spread(milliseconds(values)) for values in times]
        shown += [spread(by_peer[peer].get(name)) for peer in PEERS]
        rows.append([model["title"], *shown, f"{sqnr['ours']:.1f} / {sqnr['peer']:.1f}"])
    if len(rows) == 1:
        return []
    last = ["geometric mean", "", "", ""]
    for peer in PEERS:
        medians = [statistics.median(values) for values in by_peer[peer].values()]
        last.append(f"{geometric_mean(medians):.2f}" if medians else "-")
    return [f"{_TITLES[inputs]}, {threads} thread(s)", *grid([*rows, [*last, ""]]), ""]


def sanity_table(found: Found) -> list[str]:
    """Return what was computed where, how right it is, and how near to the peak."""
    rows = [["model", "MMACs", "on our kernels", "SQNR dB ours / peer", "top-1 ours / peer"]]
    rows[0] += ["% of peak, 1 thread", "the same, compute alone"]
    for model in found["models"].values():
        sqnr, same = model["sqnr_db"], model["agreement"]
        tops = f"{same['ours']:.2f} / {same['peer']:.2f}" if model["classifier"] else "-"
        rows.append(
            [
                model["title"],
                f"{model['macs'] / 1e6:.0f}",
                f"{model['our_macs'] / max(model['macs'], 1):.1%}",
                f"{sqnr['ours']:.1f} / {sqnr['peer']:.1f}",
                tops,
                _efficiency(model, "ours best 1"),
                _efficiency(model, "ours compute 1"),
            ]
        )
    lines = grid(rows)
    for model in found["models"].values():
        lines += [f"{model['title']}: on the host: {reason}" for reason in model["host_parts"]]
    lines += [
        f"{model['title']}: more than all, since other operators run as convolutions too"
        for model in found["models"].values()
        if model["our_macs"] > model["macs"]
    ]
    return ["Work and sanity", *lines, ""]


def _efficiency(model: Found, key: str) -> str:
    rounds = model["rounds"]
    if "peak" not in rounds or key not in rounds:
        return "-"
    pairs = zip(rounds[key], rounds["peak"], strict=True)
    return spread([2e-7 * model["macs"] / seconds / gops for seconds, gops in pairs], "{:.0f}")


def scaling_table(found: Found, threads: int) -> list[str]:
    """Return how many times faster everybody is with more threads than with one."""
    rows = [["model", "ours", *PEERS]]
    for model in found["models"].values():
        rounds, cells = model["rounds"], [model["title"]]
        for engine in ("ours", *PEERS):
            many, one = rounds.get(f"{engine} best {threads}"), rounds.get(f"{engine} best 1")
            cells.append(spread(ratios(one, many)) if many and one else "-")
        rows.append(cells)
    return [f"{threads} threads: times faster than 1", *grid(rows), ""]


def _verdict(what: str, value: float, bar: float, *, least: bool = True) -> str:
    reached = value >= bar if least else value <= bar
    sign = ">=" if least else "<="
    return f"  {'reached' if reached else 'short':8} {what}: {value:.2f} ({sign} {bar:g})"


def bars(found: Found) -> list[str]:
    """Return what was asked for, and whether it is reached."""
    lines = ["Bars (medians; every engine fed what it likes most)"]
    for threads in threads_of(found):
        for peer, bar in _PEER_BARS.items():
            by_model = ratios_of(found, "best", threads, peer)
            if not by_model:
                continue
            medians = {name: statistics.median(values) for name, values in by_model.items()}
            text = f"{threads} thread(s), times {peer}"
            lines.append(_verdict(f"geometric mean, {text}", geometric_mean(medians.values()), bar))
            worst = min(medians, key=lambda name: medians[name])
            lines.append(_verdict(f"weakest model ({worst}), {text}", medians[worst], 1.0))
    for name, wanted in _MODEL_BARS.items():
        for peer, bar in wanted.items():
            ratio = ratios_of(found, "best", 1, peer).get(name)
            if ratio:
                what = f"{name}, 1 thread, times {peer}"
                lines.append(_verdict(what, statistics.median(ratio), bar))
    return [*lines, *_scaling_bars(found), *_extra_bars(found), ""]


def _scaling_bars(found: Found) -> list[str]:
    lines = []
    for name, bar in _SCALING_BARS.items():
        rounds = found["models"].get(name, {}).get("rounds", {})
        one, two = rounds.get("ours best 1"), rounds.get("ours best 2")
        if one and two:
            scaling = statistics.median(ratios(one, two))
            lines.append(_verdict(f"{name}, 2 threads, times 1 thread", scaling, bar))
    return lines


def _extra_bars(found: Found) -> list[str]:
    lines = []
    for name, extra in found["extras"].items():
        gain, memory, load = extras_figures(extra)
        lines += [
            _verdict(f"{name}, two requests, times one", gain, 1.9),
            _verdict(f"{name}, peak memory, times onnxruntime's", memory, 0.8, least=False),
            _verdict(f"{name}, warm load, s", load, 0.1, least=False),
        ]
    return lines


def _failures(found: Found) -> list[str]:
    failed = found.get("failed", {})
    lines = [f"{name} was not measured: {reason}" for name, reason in failed.items()]
    return lines and [*lines, ""]


def text(found: Found) -> str:
    """Return everything as text."""
    lines: list[str] = []
    counts = threads_of(found)
    for inputs in _TITLES:
        for threads in counts:
            lines += times_table(found, inputs, threads)
    lines += sanity_table(found)
    for threads in counts:
        if threads > 1:
            lines += scaling_table(found, threads)
    for section in (costs_table, layers_table, choices_table, extras_table, _failures):
        lines += section(found)
    return "\n".join([*lines, *bars(found)])
