"""The tables beside those of whole models: costs, layers, choices, throughput and memory."""

import statistics
from typing import Any

from peering.grid import grid, milliseconds, ratios, spread
from peering.recipes import RECIPES

Found = dict[str, Any]

_LAYERS = 5


def costs_table(found: Found) -> list[str]:
    """Return what our precision choices cost, and what they bring."""
    rows = [["model", "instead of the default", "ms", "cost of the default", "dB it brings"]]
    for model in found["models"].values():
        costs = model.get("costs") or {}
        default = costs.get("default")
        for name, other in costs.items():
            if default is None or name == "default":
                continue
            cost = ratios(default["seconds"], other["seconds"])
            gain = default["sqnr_db"] - other["sqnr_db"]
            times = spread(milliseconds(other["seconds"]))
            rows.append([model["title"], name, times, spread(cost), f"{gain:+.1f}"])
    if len(rows) == 1:
        return []
    title = "What precision costs: time of ours over that with another choice, 1 thread"
    return [title, *grid(rows), ""]


def layers_table(found: Found) -> list[str]:
    """Return, per model, how near to the roofs all layers are, and those that lose most time."""
    lines: list[str] = []
    for model in found["models"].values():
        layers = model.get("layers") or []
        if not layers:
            continue
        known = [layer for layer in layers if layer["roof_share"]]
        lost = sorted(known, key=_lost, reverse=True)[:_LAYERS]
        total, gone = sum(la["seconds"] for la in layers), sum(map(_lost, known))
        head = f"{model['title']}: {len(layers)} layers, {1e3 * total:.2f} ms"
        lines.append(f"{head}, {gone / total:.0%} of it above the roofs; most in")
        rows = [["layer", "operator", "us", "% of time", "% of peak", "roof", "% of roof"]]
        rows += [_layer_row(layer) for layer in lost]
        lines += [*(f"  {line}" for line in grid(rows)), ""]
    return lines and ["Layers that lose most against their roofs, 1 thread", "", *lines]


def _lost(layer: Found) -> float:
    """Return the seconds that a layer takes beyond its roof."""
    return float(layer["seconds"] * max(1 - layer["roof_share"], 0))


def _layer_row(layer: Found) -> list[str]:
    shares = [layer["share"], layer["peak_share"], layer["roof_share"]]
    time, peak, roof = ("-" if share is None else f"{100 * share:.0f}" for share in shares)
    name = f"{layer['name']} ({layer['precision']})"
    return [name, layer["op"], f"{1e6 * layer['seconds']:.0f}", time, peak, layer["roof"], roof]


def choices_table(found: Found) -> list[str]:
    """Return how recipes and settings of the peers compare with those that they get."""
    lines: list[str] = []
    for model in found["models"].values():
        for key, times in (model.get("choices") or {}).items():
            peer, threads = key.split()
            taken = model["recipes"][peer]
            rows = [["choice", "ms", "times slower than taken"]]
            for name, seconds in times.items():
                about = RECIPES[name].about if name in RECIPES else name
                ratio = spread(ratios(seconds, times[taken])) if seconds else "crashes"
                mark = " (taken)" if name == taken else ""
                rows.append([about + mark, spread(milliseconds(seconds)), ratio])
            lines += [f"{model['title']}, {peer}, {threads} thread(s)", *grid(rows), ""]
    return lines and ["Peers at their best: what else they could get", "", *lines]


def extras_table(found: Found) -> list[str]:
    """Return throughput, memory and load times."""
    lines: list[str] = []
    for extra in found["extras"].values():
        rates, feet = extra["throughput"], extra["footprint"]
        lines.append(f"{extra['title']}: two requests in flight, inferences a second")
        lines += [f"  {name:20} {spread(values, '{:.1f}')}" for name, values in rates.items()]
        lines.append(f"{extra['title']}: fresh process, peak memory and warm load")
        for name, foot in feet.items():
            memory, load = foot["peak_bytes"] / 1e6, 1e3 * foot["load_s"]
            lines.append(f"  {name:20} {memory:8.1f} MB {load:8.1f} ms")
        lines.append("")
    return lines


def extras_figures(extra: Found) -> tuple[float, float, float]:
    """Return what two requests bring, the memory as a share of onnxruntime's, the load time."""
    rates, feet = extra["throughput"], extra["footprint"]
    gain = statistics.median(ratios(rates["ours"], rates["ours, one request"]))
    memory = feet["ours"]["peak_bytes"] / feet["onnxruntime"]["peak_bytes"]
    return gain, memory, feet["ours"]["load_s"]
