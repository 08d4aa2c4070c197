"""The cffi builder: cuts the declarations out of maccel.h, so header and binding cannot differ.

meson runs it through ``cffi-gen-src``; the C compiler then checks every declaration against it.
"""

from pathlib import Path

import cffi

HEADER = Path(__file__).parent / "maccel_aio" / "_native" / "include" / "maccel.h"
PRELUDE = """
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wshadow"
#include "maccel.h"
"""


def declarations(header: str) -> str:
    """Return the text between the CDEF markers of ``header``."""
    return header.split("/* CDEF-BEGIN */", 1)[1].split("/* CDEF-END */", 1)[0]


ffibuilder = cffi.FFI()
ffibuilder.cdef(declarations(HEADER.read_text(encoding="utf-8")))
ffibuilder.set_source("maccel_aio._maccel_cffi", PRELUDE)
