"""The description of a model file for people, as the classic call returns it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maccel_aio._core._file import read_manifest
from maccel_aio._core._summary import summary
from maccel_aio.compat._shared import convert
from maccel_aio.errors import MaccelError

if TYPE_CHECKING:
    import logging
    import os


def why_unreadable(problem: Exception, path: str) -> str:
    """Return the vendor's words for a file that cannot be loaded, or our own reason."""
    if isinstance(problem, FileNotFoundError):
        return f"No such file exists:'{path}'"
    if isinstance(problem, IsADirectoryError):
        return f"Is a directory: '{path}'"
    if isinstance(problem, MaccelError):
        return problem.reason
    return str(problem)


def get_model_summary(path: str | os.PathLike[str], log: logging.Logger) -> str:
    """Return a description of a model file; empty, with the reason in the log, if it has none."""
    name = path if isinstance(path, str | bytes | bytearray) else getattr(path, "__fspath__", None)
    where = convert.text(name() if callable(name) else name)
    try:
        return summary(read_manifest(where))
    except (OSError, MaccelError) as problem:
        why = why_unreadable(problem, where)
    log.error("Unable to load; %s", why)
    log.error("Failed to load mxq file: %s", where)
    return ""
