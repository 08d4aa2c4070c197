"""A program run again in a child process in which both engines are kept to AVX2.

Ours is told by ``MACCEL_ISA``. onnxruntime has no such switch: the constructor of MLAS's platform
reads CPUID and takes AVX-512 where it finds it. So the child imports a copy of onnxruntime, in a
temporary folder, in which one branch of that constructor is always taken: the one that skips
AVX-512 where the processor has none.
Nothing else differs, and nothing installed is touched. A build without that place,
or a processor on which that branch would leave other ways to go beyond AVX2, is refused.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_XGETBV = b"\x0f\x01\xd0"
_AVX512_CORE = b"\x00\x00\x02\xc0"
"""The constant 0xC0020000: BW, DQ and VL of CPUID leaf 7, which MLAS asks for as a group."""
_AVX512F = re.compile(
    rb"(?:\x41\xf7[\xc0-\xc7]|\xf7[\xc0-\xc7]|\xa9)\x00\x00\x01\x00(\x74)[\x00-\x7f]"
)
"""``test $0x10000, register; je``: without AVX512F (bit 16 of EBX of leaf 7) jump forward."""
_JUMP = b"\xeb"
_REACH = 1024
"""Bytes of the constructor on either side of the branch in which the other marks must lie."""
_BEYOND = ("avx_vnni", "avx_ifma", "amx_int8")
"""Flags of a processor that MLAS uses apart from AVX-512."""


def skipping_avx512(library: bytes) -> bytes:
    """Return the library with MLAS's branch around AVX-512 always taken.

    Args:
        library: the contents of onnxruntime's extension module.

    Raises:
        ValueError: there is not exactly one such branch between the marks around it.
    """
    places = [
        found.start(1)
        for found in _AVX512F.finditer(library)
        if _XGETBV in library[max(found.start() - _REACH, 0) : found.start()]
        and _AVX512_CORE in library[found.end() : found.end() + _REACH]
    ]
    if len(places) != 1:
        raise ValueError(
            f"{len(places)} places in this onnxruntime look like the test for AVX-512, not 1"
        )
    return library[: places[0]] + _JUMP + library[places[0] + 1 :]


def without_avx512(package: Path, folder: Path) -> None:
    """Make a package `onnxruntime` in `folder`: links to the installed one, one changed library.

    Args:
        package: the installed package.
        folder: where the copy goes.

    Raises:
        ValueError: this build or this processor cannot be kept to AVX2 that way.
    """
    flags = Path("/proc/cpuinfo").read_text("ascii", "replace").split()
    beyond = [flag for flag in _BEYOND if flag in flags]
    if beyond:
        raise ValueError(f"onnxruntime would still use {', '.join(beyond)}")
    copy = folder / "onnxruntime"
    (copy / "capi").mkdir(parents=True)
    for source in [*package.iterdir(), *(package / "capi").iterdir()]:
        target = copy / source.relative_to(package)
        if source.name.startswith("onnxruntime_pybind11_state"):
            target.write_bytes(skipping_avx512(source.read_bytes()))
        elif source.name != "capi":
            target.symlink_to(source)


CHILD = "PEERS_RESTRICTED"
"""The variable that is set in the child."""


def run(arguments: Sequence[str]) -> int:
    """Run the program again with `arguments`, kept to AVX2; return its exit status.

    Raises:
        ValueError: this build of onnxruntime or this processor cannot be kept to AVX2.
    """
    import onnxruntime

    package = Path(onnxruntime.__file__).parent
    with tempfile.TemporaryDirectory(prefix="peers-avx2-") as folder:
        without_avx512(package, Path(folder))
        search = [folder, os.environ.get("PYTHONPATH", "")]
        limits = {
            CHILD: "avx2",
            "MACCEL_ISA": "avx2",
            "PYTHONPATH": os.pathsep.join(part for part in search if part),
        }
        command = [sys.executable, sys.argv[0], *arguments]
        return subprocess.run(command, env=os.environ | limits, check=False).returncode
