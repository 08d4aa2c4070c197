"""The vendor's packages beside ours, and how a call is compared.

A value is written once, with ``Ref`` for what each package has of its own, and built for each.
"""

import dataclasses
import enum
import importlib
import logging
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from maccel_aio._typing import override

PACKAGES = ("maccel", "qbruntime")
REASON = "the vendor's packages are not installed: nox -s vendor"
_LINE = re.compile(r"^([WEIDF])\d{4} \S+ +\d+ \S+\] (.*)$")
_LETTERS = {"WARNING": "W", "ERROR": "E", "CRITICAL": "F", "INFO": "I", "DEBUG": "D"}


def theirs(name: str) -> ModuleType:
    """Import the vendor's package, or skip."""
    module: ModuleType = pytest.importorskip(name, reason=REASON)
    return module


def ours(name: str) -> ModuleType:
    return importlib.import_module(f"maccel_aio.compat.{name}")


@dataclasses.dataclass(frozen=True)
class Ref:
    """A member of an enum, or a CoreId when ``core`` is given."""

    kind: str
    member: str
    core: str = ""

    def build(self, package: ModuleType) -> object:
        if self.core:
            return package.CoreId(package.Cluster[self.member], package.Core[self.core])
        return getattr(package, self.kind)[self.member]


def build(value: Any, package: ModuleType) -> Any:
    """Return a value with every ``Ref`` of it made by a package."""
    if isinstance(value, Ref):
        return value.build(package)
    if isinstance(value, list):
        return [build(item, package) for item in value]
    if isinstance(value, tuple):
        return tuple(build(item, package) for item in value)
    if isinstance(value, dict):
        return {key: build(item, package) for key, item in value.items()}
    return value


def plain(value: Any) -> Any:
    """Return a result in a form that two packages can be compared in."""
    if isinstance(value, enum.Enum):
        return str(value), int(value.value)
    if isinstance(value, list | tuple):
        return type(value).__name__, [plain(item) for item in value]
    if isinstance(value, float) and np.isnan(value):
        return "nan"
    if value is None or isinstance(value, int | float | str | bytes):
        return type(value).__name__, value
    return repr(value)


def outcome(call: Callable[[], Any]) -> tuple[Any, ...]:
    """Return what a call returns or raises; the texts of binding-level TypeErrors are left out."""
    try:
        return "returns", plain(call())
    except Exception as problem:  # noqa: BLE001 - whatever it is, it is compared
        text = "" if isinstance(problem, TypeError) else str(problem)
        return "raises", type(problem).__name__, text


def printed(output: str) -> list[tuple[str, str]]:
    """Return (level, text) of each line that the vendor's runtime printed."""
    found = [_LINE.match(line) for line in output.splitlines()]
    return [(one[1], one[2]) for one in found if one]


class Listener(logging.Handler):
    """Collects (level, text) of our messages."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str]] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((_LETTERS[record.levelname], record.getMessage()))
