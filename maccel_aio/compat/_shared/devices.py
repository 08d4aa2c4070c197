"""Which devices the classic names stand for: the software NPU answers to all of ARIES."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

#: Names of the vendor's runtime, in the order of its messages.
NAMES = (
    "auto", "aries", "aries-rb", "regulus", "regulus-ra", "regulus-rb",
    "regulus-usb", "regulus-ra-usb", "regulus-rb-usb",
)  # fmt: skip
#: Those that stand for one kind of hardware.
CONCRETE = tuple(name for name in NAMES if "-r" in name)
#: The hardware whose cores, clusters and modes the software NPU has.
HARDWARE = "aries-rb"


def is_here(name: str) -> bool:
    """Return whether the software NPU answers to a name."""
    return name.lower() in ("auto", "aries", HARDWARE)


def is_known(name: str, log: logging.Logger) -> bool:
    """Return whether a name exists; says so in the log where not."""
    if name.lower() in NAMES:
        return True
    supported = ", ".join(NAMES)
    log.error('Unknown or unsupported device "%s". Supported: [%s].', name, supported)
    return False


def available() -> list[str]:
    """Return the names of the devices of this machine."""
    return [HARDWARE]


def numbers(name: str, log: logging.Logger) -> list[int]:
    """Return the numbers of the devices that answer to a name."""
    return [0] if is_known(name, log) and is_here(name) else []


def native_name(name: str, number: int) -> str | None:
    """Return the native name of a device; None where nothing here answers to the classic one.

    Native names, such as "null" or "fault:soft:0?...", may be used as they are.
    """
    if is_here(name):
        return f"soft:{number}" if number >= 0 else None
    return name if name.partition(":")[0] in ("soft", "null", "fault") else None
