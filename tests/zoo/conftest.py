"""A package index in a folder: wheels that pip finds without a network."""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from maccel_aio.zoo import _fetch, _table


@dataclass
class Index:
    """Makes wheels and table entries for them."""

    folder: Path
    table: dict[str, _table.Entry]

    def add(self, name, files, *, lie=()):
        """Ship `files` in the wheel `name`, list it as an entry of that name, and return it."""
        wheel = self.folder / f"{name}-1.0-py3-none-any.whl"
        info = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, data in files.items():
                archive.writestr(f"{name}/{path}", data)
            archive.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            )
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        package = _table.Package(f"{name}==1.0", "MIT", wheel.stat().st_size)
        listed = tuple(
            _table.File(
                path,
                f"{name}/{path}",
                hashlib.sha256(b"else" if path in lie else data).hexdigest(),
            )
            for path, data in files.items()
        )
        self.table[name] = _table.Entry(name, "pictures", "for tests", package, listed)
        return self.table[name]


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An empty index, an empty cache, and no network."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("MACCEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    table: dict[str, _table.Entry] = {}
    monkeypatch.setattr(_fetch, "ENTRIES", table)
    return Index(folder, table)
