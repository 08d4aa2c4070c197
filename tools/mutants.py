"""Break a copy of the C sources on purpose, one change at a time: do the tests notice?

usage: python tools/mutants.py [BUILD_DIR] [--only WORD] [--timeout 60]

The changes are those of ``mutants.toml``. A copy of the checkout is made in BUILD_DIR, and kept
there for the next time. First the unchanged copy must pass; then each mutant must fail, by a failed
check, a crash, or a test that does not end in time. The exit status says how many mutants lived.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tools" / "mutants.toml"


class Mutant(NamedTuple):
    """One change, and the tests of which one must fail."""

    name: str
    file: str
    text: str
    becomes: str
    tests: list[str]

    def apply(self, root: Path) -> str:
        """Change the file below ``root``; return what it held.

        Raises:
            ValueError: if the text is not there exactly once.
        """
        path = root / self.file
        before = path.read_text(encoding="utf-8")
        if before.count(self.text) != 1:
            found = before.count(self.text)
            raise ValueError(f"{self.name!r}: {self.file} holds its text {found} times, not once")
        path.write_text(before.replace(self.text, self.becomes), encoding="utf-8")
        return before


def read_table(path: Path = TABLE) -> list[Mutant]:
    """Return the mutants of a table."""
    return [Mutant(**entry) for entry in tomllib.loads(path.read_text("utf-8"))["mutant"]]


def copy_sources(target: Path, root: Path = ROOT) -> None:
    """Copy what is under version control, and leave alone what is the same: it need not compile."""
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=root, text=True)
    for name in filter(None, listed.split("\0")):
        source, copy = root / name, target / name
        if source.is_file() and not (copy.exists() and copy.read_bytes() == source.read_bytes()):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)


def program(test: str) -> str:
    """Return the name of the executable of a test."""
    return "test_" + test.replace(" ", "_")


def passes(build: Path, tests: list[str], timeout: float) -> bool:
    """Build the programs of some tests and run them; whether all pass."""
    compiled = subprocess.run(
        ["meson", "compile", "-C", str(build), *map(program, tests)], capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if compiled.returncode:
        raise SystemExit(f"it does not compile:\n{compiled.stdout[-3000:]}")
    return all(_passes(build, test, timeout) for test in tests)


def _passes(build: Path, test: str, timeout: float) -> bool:
    path = next(build.glob(f"tests/native/*/{program(test)}"))
    try:
        # A sanitizer or an abort may say much: only the status counts.
        done = subprocess.run([path], capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def judge(mutant: Mutant, sources: Path, build: Path, timeout: float) -> bool:
    """Apply a mutant, run its tests, take it back; return whether it was noticed."""
    before = mutant.apply(sources)
    try:
        return not passes(build, mutant.tests, timeout)
    finally:
        (sources / mutant.file).write_text(before, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Judge all mutants; return how many lived."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build-mutants")
    parser.add_argument("--only", default="", help="mutants with this word in their names")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds of one test")
    options = parser.parse_args(arguments)
    chosen = [mutant for mutant in read_table() if options.only in mutant.name]
    sources, build = options.folder.resolve() / "sources", options.folder.resolve() / "build"
    copy_sources(sources)
    if not (build / "build.ninja").exists():
        setup = ["meson", "setup", str(build), str(sources), "-Dnative_tests=true"]
        subprocess.run(setup, check=True, env={**os.environ, "CCACHE_BASEDIR": str(sources)})
    every = sorted({test for mutant in chosen for test in mutant.tests})
    if not passes(build, every, options.timeout):
        raise SystemExit("the unchanged sources fail their tests")
    lived = 0
    for mutant in chosen:
        noticed = judge(mutant, sources, build, options.timeout)
        lived += not noticed
        print(f"{'noticed' if noticed else 'LIVED':8} {mutant.name}", flush=True)
    print(f"{len(chosen) - lived} of {len(chosen)} mutants were noticed")
    return lived


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
