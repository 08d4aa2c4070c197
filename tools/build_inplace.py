"""Compile the extension and put it beside the package, for work in a checkout without installing.

usage: python tools/build_inplace.py [BUILD_DIR] [meson options ...]

The old extension stays in place until the new one is complete, so a failed build breaks nothing.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(args: list[str]) -> None:
    """Configure once, compile, and move the result into ``maccel_aio/``."""
    build = Path(args[0]) if args else ROOT / "build"
    if not (build / "build.ninja").exists():
        subprocess.run(["meson", "setup", str(build), str(ROOT), *args[1:]], check=True)
    subprocess.run(["meson", "compile", "-C", str(build)], check=True)
    suffix = str(sysconfig.get_config_var("EXT_SUFFIX"))
    made = next(build.glob("_maccel_cffi*.so"))
    target = ROOT / "maccel_aio" / f"_maccel_cffi{suffix}"
    partial = target.with_suffix(".partial")
    shutil.copy2(made, partial)
    os.replace(partial, target)


if __name__ == "__main__":
    main(sys.argv[1:])
