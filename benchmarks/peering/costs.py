"""What the choices of our compiler cost in time, and what they bring in signal over noise."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from maccel_aio import sync
from maccel_aio.compiler import QuantizeOptions
from maccel_aio.compiler.precision import PrecisionOptions
from peering.artefacts import Workshop
from peering.engines import Field, our_feed
from peering.models import Subject
from peering.rounds import interleaved, median_seconds
from peering.sanity import Judge

VARIANTS: dict[str, QuantizeOptions] = {
    "8-bit sums": QuantizeOptions(precision=PrecisionOptions(wide_sums=False)),
    "8-bit vectors": QuantizeOptions(precision=PrecisionOptions(vector_share=0.0)),
    "16-bit depthwise weights": QuantizeOptions(depthwise_bits=16),
    "no equalisation": QuantizeOptions(equalise=False),
}
"""Each differs from the default in one thing.

Model outputs always leave unrounded, and neither scales per channel of activations nor scales per
token exist on the device: those cost nothing, and cannot be switched.
"""

_SAMPLES = 8


def measure(
    subject: Subject, rounds: int, seconds: float, note: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Return, by variant, ``seconds`` of every round on one core and ``sqnr_db``.

    The default is among them as ``default``; variants that make the same file are left out.
    """
    workshop = Workshop(subject)
    files = workshop.files(note)
    paths = variants(workshop, note)
    if len(paths) == 1:
        return {}
    note(f"{subject.name}: costs of precision")
    judge = Judge(subject, files.real, _SAMPLES)
    with ExitStack() as stack:
        field = Field(stack, subject, files)
        models = {name: _load(stack, str(path)) for name, path in paths.items()}
        calls = {name: _call(model, field) for name, model in models.items()}
        times = interleaved(
            {name: partial(median_seconds, call, seconds) for name, call in calls.items()}, rounds
        )
        return {
            name: {"seconds": times[name], "sqnr_db": judge.ours(model)[0]}
            for name, model in models.items()
        }


def variants(workshop: Workshop, note: Callable[[str], None]) -> dict[str, Path]:
    """Return the files that differ, by variant, the default first; makes them."""
    paths = {"default": workshop.ours(progress=note)}
    seen = {paths["default"].read_bytes()}
    for name, options in VARIANTS.items():
        path = workshop.ours(name.replace(" ", "-"), options, note)
        data = path.read_bytes()
        if data not in seen:
            seen.add(data)
            paths[name] = path
    return paths


def _load(stack: ExitStack, path: str) -> sync.Model:
    return stack.enter_context(sync.load(path, config=sync.ModelConfig(num_cores=1)))


def _call(model: sync.Model, field: Field) -> Callable[[], object]:
    feed = our_feed(model, field.real) if field.pixels is None else [field.pixels[0]]
    out = model.infer(feed)
    return lambda: model.infer(feed, out=out)
