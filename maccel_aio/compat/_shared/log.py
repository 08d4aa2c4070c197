"""Where the classic packages' messages go: a Python logger each."""

from __future__ import annotations

import logging

#: The vendor's level -> Python's; above all levels for off.
_LEVELS = {
    1: logging.DEBUG,
    2: logging.INFO,
    3: logging.WARNING,
    4: logging.ERROR,
    5: logging.CRITICAL,
    6: logging.CRITICAL + 10,
}


def package_logger(package: str) -> logging.Logger:
    """Return the logger of a classic package; warnings and errors show unless told otherwise."""
    return logging.getLogger(f"maccel_aio.compat.{package}")


def set_level(log: logging.Logger, level: int) -> None:
    """Show messages from this level of the vendor's on."""
    log.setLevel(_LEVELS[level])
