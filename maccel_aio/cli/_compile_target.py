"""The accuracy ``maccel-aio compile`` is asked for and its limits, read from texts."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from maccel_aio.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable

    from maccel_aio.compiler import AccuracyTarget


def parse_target(
    target: str | None, metric: str | None, most_wide: str | None, latency: str | None = None
) -> AccuracyTarget | None:
    """Return the accuracy that is asked for, or None.

    Raises:
        InvalidError: a text is no number, the metric cannot be imported, or there is something to
            judge or to limit, but no target.
    """
    if target is None:
        if metric is not None:
            raise InvalidError("--metric needs --accuracy-target, the least value of it")
        if most_wide is not None:
            raise InvalidError(
                "--most-wide limits what --accuracy-target may change: give that too, such as "
                "--accuracy-target 30dB"
            )
        if latency is not None:
            raise InvalidError(
                "--latency-budget limits what --accuracy-target may cost: give that too, such as "
                "--accuracy-target 30dB"
            )
        return None
    from maccel_aio.compiler import AccuracyTarget

    least = _number("--accuracy-target", target, "db", "30dB")
    share = 1.0 if most_wide is None else _share("--most-wide", most_wide)
    judge = None if metric is None else load_metric(metric)
    return AccuracyTarget(least, judge, share, *_budget(latency))


def _budget(text: str | None) -> tuple[float, float]:
    """Return the most times of the 8-bit program's time, and the most seconds."""
    if text is None:
        return math.inf, math.inf
    if text.strip().lower().endswith("ms"):
        return math.inf, _number("--latency-budget", text, "ms", "2.5ms") / 1e3
    return _number("--latency-budget", text, "x", "1.1x, or 2.5ms"), math.inf


def _share(option: str, text: str) -> float:
    number = _number(option, text, "%", "25%")
    return number / 100 if text.strip().endswith("%") else number


def _number(option: str, text: str, unit: str, sample: str) -> float:
    try:
        return float(text.strip().lower().removesuffix(unit))
    except ValueError:
        raise InvalidError(f"{option} {text}: wanted a number such as {sample}") from None


def load_metric(text: str) -> Callable[..., float]:
    """Return the function that ``my.module:fn`` names; the current folder is searched too.

    Raises:
        InvalidError: there is no such module or function.
    """
    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise InvalidError(f"--metric {text}: wanted my.module:fn")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidError(f"--metric {text} cannot be imported: {error}") from error
    if not callable(found):
        raise InvalidError(f"--metric {text} is no function")
    metric: Callable[..., float] = found
    return metric
