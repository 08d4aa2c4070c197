"""What a search is asked for, and what it answers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from maccel_aio.compiler.ir import CompileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maccel_aio.compiler.trial import Metric


@dataclass(frozen=True)
class AccuracyTarget:
    """How good the program has to be, and what that may cost.

    Attributes:
        least: dB of signal over quantisation noise at every output; with `metric`, its value.
        metric: judges answers, ``metric(exact, found)`` with per sample the list of outputs in
            the model's order; larger is better. None: signal over noise.
        most_wide: largest share of the multiply-accumulates that may leave 8 bits, 0..1.
        most_slower: largest time of an inference over that of the program of 8 bits, timed on one
            core of this machine; at least 1. With a limit of time the same input may give other
            bytes, as measured times differ.
        most_seconds: largest time of an inference, likewise.
    """

    least: float
    metric: Metric | None = None
    most_wide: float = 1.0
    most_slower: float = math.inf
    most_seconds: float = math.inf

    def __post_init__(self) -> None:
        if not np.isfinite(self.least):
            raise CompileError(f"an accuracy target of {self.least} is no number to reach")
        if not 0.0 <= self.most_wide <= 1.0:
            raise CompileError(f"most_wide is a share between 0 and 1, not {self.most_wide}")
        if not self.most_slower >= 1.0:
            raise CompileError(f"most_slower is at least 1, not {self.most_slower}")
        if not self.most_seconds > 0.0:
            raise CompileError(f"most_seconds is more than 0, not {self.most_seconds}")

    @property
    def has_budget(self) -> bool:
        """Whether time is limited."""
        return math.isfinite(min(self.most_slower, self.most_seconds))


@dataclass(frozen=True)
class SearchReport:
    """What the search found.

    Attributes:
        reached: whether the target was.
        value: of the metric, or dB of the worst output, on the samples that judge.
        decibel: of every output there.
        wide: share of the multiply-accumulates that left 8 bits.
        tensors: what has 16 bits or is float now, dearest first.
        costs: per tensor, the share of all noise that its 8 bits would cause; largest first.
        trials: programs that were built and run.
        floats: those of the tensors that are float.
        wide_weights: layers whose weights have 16 bits, while what they read has 8.
        narrowed: share of its observed range that a tensor of 8 bits spans, where that is not all.
        readers: the layers that read each of the tensors of `costs`.
        slower: time of an inference over that of the program of 8 bits; None: not timed.
        in_time: whether it is within the limits of time.
    """

    reached: bool
    value: float
    decibel: tuple[float, ...]
    wide: float
    tensors: tuple[str, ...]
    costs: Mapping[str, float] = field(default_factory=dict)
    trials: int = 0
    floats: tuple[str, ...] = ()
    wide_weights: tuple[str, ...] = ()
    narrowed: Mapping[str, float] = field(default_factory=dict)
    readers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    slower: float | None = None
    in_time: bool = True
