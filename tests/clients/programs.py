"""Public programs of the vendor's clients: where they are, and how they are run here."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

#: A folder with bare clones, ``owner+name.git``: ``nox -s clients`` makes it.
FOLDER = os.environ.get("MACCEL_CLIENTS", "")


def take(repository: str, into: Path, *paths: str) -> Path:
    """Unpack files of a repository, as they are, or skip the test; return the folder."""
    clone = Path(FOLDER) / f"{repository.replace('/', '+')}.git"
    if not FOLDER or not clone.exists():
        pytest.skip("the clients' programs are not here: nox -s clients")
    archive = into / "client.tar"
    command = ["git", f"--git-dir={clone}", "archive", f"--output={archive}", "HEAD", *paths]
    subprocess.run(command, check=True)
    with tarfile.open(archive) as files:
        files.extractall(into, filter="data")
    return into


def run(program: str, *arguments: str, cwd: Path, timeout: float = 240) -> str:
    """Run a program with our packages and return what it printed; it must end well."""
    command = [sys.executable, "-m", "maccel_aio.compat", program, *arguments]
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *path_before()])}
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=timeout,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def path_before() -> list[str]:
    given = os.environ.get("PYTHONPATH", "")
    return [given] if given else []
