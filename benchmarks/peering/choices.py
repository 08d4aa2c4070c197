"""Which recipe and which settings suit each peer: measured, so that it runs at its best."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from peering.artefacts import Workshop
from peering.engines import BEST, Feed, Settings, onnxruntime_call, openvino_call
from peering.models import Subject
from peering.recipes import RECIPES
from peering.rounds import interleaved, median_seconds

_CHILD = Path(__file__).with_name("child.py")
_PATIENCE_S = 120
_SECONDS = 0.1

_SETTINGS = {
    "onnxruntime": {
        "extended graph optimisations": Settings(level="ORT_ENABLE_EXTENDED"),
        "basic graph optimisations": Settings(level="ORT_ENABLE_BASIC"),
        "no spinning": Settings(spinning=False),
    },
    "openvino": {
        "hint THROUGHPUT": Settings(hint="THROUGHPUT"),
        "precision f32": Settings(precision="f32"),
        "precision bf16": Settings(precision="bf16"),
    },
}
_CALLS = {"onnxruntime": onnxruntime_call, "openvino": openvino_call}


def runs(peer: str, path: Path) -> bool:
    """Return whether a peer survives a model, tried in a process of its own."""
    command = [sys.executable, str(_CHILD), peer, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def measure(
    subject: Subject, threads: list[int], rounds: int, note: Callable[[str], None]
) -> dict[str, dict[str, list[float]]]:
    """Return times by ``peer threads`` and by what was chosen, in seconds, in every round.

    An empty list stands for a model that the peer dies of.
    """
    workshop = Workshop(subject)
    feed = {name: value[:1] for name, value in subject.feeds().items()}
    found = {}
    for peer in _CALLS:
        paths = {name: workshop.quantised(name, note) for name in RECIPES}
        alive = {name: path for name, path in paths.items() if runs(peer, path)}
        for count in threads:
            note(f"{subject.name}: choices of {peer}, {count} thread(s)")
            calls = _contestants(peer, subject.recipes[peer], alive, feed, count)
            times = interleaved(
                {name: partial(median_seconds, call, _SECONDS) for name, call in calls.items()},
                rounds,
            )
            dead: dict[str, list[float]] = {name: [] for name in paths if name not in alive}
            found[f"{peer} {count}"] = {**times, **dead}
    return found


def _contestants(
    peer: str, recipe: str, paths: dict[str, Path], feed: Feed, threads: int
) -> dict[str, Callable[[], object]]:
    """Return calls: every recipe at the best settings, and other settings with `recipe`."""
    made = _CALLS[peer]
    calls: dict[str, Callable[[], object]] = {
        name: made(path, feed, threads, BEST) for name, path in paths.items()
    }
    for name, settings in _SETTINGS[peer].items():
        calls[name] = made(paths[recipe], feed, threads, settings)
    return calls
