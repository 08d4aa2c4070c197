"""Where the time goes: the layers of a model by ``maccel-aio bench --layers --json``."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_PATIENCE_S = 120


def measure(path: Path) -> list[dict[str, Any]]:
    """Return the layers of our file on one core, as the command prints them.

    Args:
        path: of the ``.mxq`` file.

    Returns:
        Name, operator, median seconds, share of the time and of the peak of each layer; nothing if
        the command fails, which is told on the standard error.
    """
    command = [sys.executable, "-m", "maccel_aio.cli", "bench", str(path), "--layers", "--json"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_PATIENCE_S
        )
    except subprocess.SubprocessError as error:
        print(f"layers of {path.name}: {error}", file=sys.stderr)
        return []
    keys = ("name", "op", "precision", "share", "roof", "peak_share", "roof_share", "macs")
    return [
        {"seconds": layer["seconds"]["median"], **{key: layer.get(key) for key in keys}}
        for layer in json.loads(done.stdout)["layers"]
    ]
