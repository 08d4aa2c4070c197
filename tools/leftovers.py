"""List what work in a checkout leaves inside the package and an installation must not copy.

usage: python tools/leftovers.py directories|files PACKAGE_FOLDER

meson asks at configure time; one path a line, relative to the package folder.
"""

import sys
from pathlib import Path


def directories(package: Path) -> list[Path]:
    """Return byte-code folders, and the C sources, which are compiled and not installed."""
    return [package / "_native", *package.rglob("__pycache__")]


def files(package: Path) -> list[Path]:
    """Return extensions that tools/build_inplace.py put beside the sources."""
    return [path for pattern in ("*.so", "*.partial") for path in package.glob(pattern)]


if __name__ == "__main__":
    root = Path(sys.argv[2])
    found = directories(root) if sys.argv[1] == "directories" else files(root)
    print("\n".join(sorted(str(path.relative_to(root)) for path in found)))
