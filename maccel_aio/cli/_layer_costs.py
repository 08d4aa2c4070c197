"""What every layer of a compiled file takes on one core of the software NPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from maccel_aio.cli._measure import random_inputs

if TYPE_CHECKING:
    from pathlib import Path

_WINDOWS = 5


class LayerCost(NamedTuple):
    """Time and traffic of one layer in one inference."""

    seconds: float
    bytes_moved: int


def layer_costs(path: Path) -> dict[int, LayerCost]:
    """Run a file on noise and return what its layers take, by their number. Blocks.

    The time is the least of a few inferences; layers that run on the CPU are left out.

    Raises:
        MaccelError: the file cannot be run.
    """
    from maccel_aio import ModelConfig, sync

    found: dict[int, LayerCost] = {}
    with (
        sync.Accelerator("soft:0") as device,
        sync.load(path, ModelConfig(1), accelerator=device) as model,
    ):
        inputs = random_inputs(model.inputs)
        model.infer(inputs)
        for _ in range(_WINDOWS):
            model.set_profile(True)
            model.infer(inputs)
            for one in model.layer_times():
                if one.calls:
                    now = LayerCost(one.total_ns / 1e9, one.bytes_read + one.bytes_written)
                    found[one.layer] = min(now, found.get(one.layer, now))
            model.set_profile(False)
    return found
