"""The fetcher against what goes wrong: damaged wheels, full or forbidden folders, crowds."""

import os
import struct
import subprocess
import sys
import threading
import zipfile
from contextlib import suppress

import pytest

from maccel_aio.zoo import ZooError, _fetch
from maccel_aio.zoo._table import Entry, File, Package

BIG = bytes(range(256)) * 64


def wheel_of(index, name="pets"):
    return index.folder / f"{name}-1.0-py3-none-any.whl"


def deflated(index, name, data):
    """Ship `data` compressed, as real wheels are, and return the entry."""
    entry = index.add(name, {"cat.jpg": data})
    path = wheel_of(index, name)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return entry


def start_of(path, member):
    """Return where the stored bytes of a member begin in the archive."""
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo(member).header_offset
    header = path.read_bytes()[offset : offset + 30]
    name_bytes, extra_bytes = struct.unpack("<HH", header[26:30])
    return offset + 30 + name_bytes + extra_bytes


def nothing_is_left(entry):
    """No half-made file in the cache, and no temporary folder beside it."""
    folder = _fetch.folder_of(entry)
    files = list(folder.iterdir()) if folder.exists() else []
    return files == [] and sorted(os.listdir(_fetch.home())) in (["locks"], ["locks", "zoo"])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_wheel_that_was_cut_off_is_one_typed_error(index, share):
    entry = index.add("pets", {"cat.jpg": BIG})
    path = wheel_of(index)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ZooError, match=r"pets==1\.0"):
        _fetch.fetch(entry)
    assert nothing_is_left(entry)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_wheel_with_altered_content_is_one_typed_error(index, compressed):
    entry = deflated(index, "pets", BIG) if compressed else index.add("pets", {"cat.jpg": BIG})
    path = wheel_of(index)
    data = bytearray(path.read_bytes())
    begin = start_of(path, "pets/cat.jpg")
    for position in range(begin, begin + 40):
        data[position] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ZooError, match=r"pets==1\.0.*cat\.jpg"):
        _fetch.fetch(entry)
    assert nothing_is_left(entry)


@pytest.mark.parametrize("position", range(0, 2000, 37))
def test_any_altered_byte_gives_the_right_file_or_a_typed_error(index, tmp_path, position):
    """Not through pip, which has checks of its own: the archive is read as it lies there."""
    entry = deflated(index, "pets", BIG[:512])
    wheel = tmp_path / "altered.whl"
    data = bytearray(wheel_of(index).read_bytes())
    data[position % len(data)] ^= 0x55
    wheel.write_bytes(data)
    room = tmp_path / "room"
    room.mkdir()
    with suppress(ZooError):
        _fetch._unpack(entry, wheel, room)
        assert (_fetch.folder_of(entry) / "cat.jpg").read_bytes() == BIG[:512]


def test_a_right_file_stays_when_another_of_the_entry_is_wrong(index):
    entry = index.add("pets", {"cat.jpg": b"meow", "dog.jpg": b"woof"}, lie=["dog.jpg"])
    with pytest.raises(ZooError, match=r"dog\.jpg has sha256"):
        _fetch.fetch(entry)
    assert not _fetch.is_present(entry)
    assert not (_fetch.folder_of(entry) / "dog.jpg").exists()


def test_a_wrong_entry_of_the_same_package_does_not_spoil_the_one_that_is_wanted(index):
    entry = index.add("pets", {"cat.jpg": b"meow"})
    wrong = Entry("fish", "picture", "", entry.package, (File("f", "pets/fish.jpg", "0" * 64),))
    index.table["fish"] = wrong
    assert (_fetch.fetch(entry) / "cat.jpg").read_bytes() == b"meow"
    with pytest.raises(ZooError, match=r"has no readable pets/fish\.jpg"):
        _fetch.fetch(wrong)


def test_a_name_in_the_wheel_cannot_lead_out_of_the_cache(index):
    """The table says where a file goes, never the archive."""
    entry = index.add("pets", {"../../../escaped.jpg": b"meow"})
    inside = File("cat.jpg", entry.files[0].inside, entry.files[0].sha256)
    entry = index.table["pets"] = Entry("pets", "picture", "", entry.package, (inside,))
    folder = _fetch.fetch(entry)
    assert os.listdir(folder) == ["cat.jpg"]
    assert not list(index.folder.parent.glob("**/escaped.jpg"))


def test_a_source_distribution_is_never_built(index):
    entry = index.add("pets", {"cat.jpg": b"meow"})
    wheel_of(index).unlink()
    setup = index.folder.parent / "pets-1.0"
    setup.mkdir()
    marker = index.folder.parent / "ran"
    (setup / "setup.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    target = index.folder / "pets-1.0.tar.gz"
    subprocess.run(["tar", "czf", target, "-C", setup.parent, "pets-1.0"], check=True)
    with pytest.raises(ZooError, match=r"cannot fetch pets"):
        _fetch.fetch(entry)
    assert not marker.exists()


def test_what_is_cached_needs_neither_pip_nor_a_place_to_write(index, monkeypatch):
    entry = index.add("pets", {"cat.jpg": b"meow"})
    folder = _fetch.fetch(entry)
    before = sorted(path for path in _fetch.home().rglob("*"))

    def forbidden(*_):
        raise PermissionError(13, "read-only file system", str(folder))

    for name in ("mkdir", "write_bytes"):
        monkeypatch.setattr(f"pathlib.Path.{name}", forbidden)
    monkeypatch.setattr("tempfile.mkdtemp", forbidden)
    monkeypatch.setattr("subprocess.Popen", forbidden)
    assert _fetch.is_present(entry)
    assert _fetch.fetch(entry) == folder
    assert sorted(path for path in _fetch.home().rglob("*")) == before


@pytest.mark.parametrize("kind", ["file", "below a file"])
def test_a_cache_that_cannot_be_a_folder_is_the_systems_error(index, monkeypatch, tmp_path, kind):
    entry = index.add("pets", {"cat.jpg": b"meow"})
    block = tmp_path / "block"
    block.write_bytes(b"")
    monkeypatch.setenv("MACCEL_HOME", str(block if kind == "file" else block / "cache"))
    with pytest.raises(OSError, match=r"block"):
        _fetch.fetch(entry)
    assert block.read_bytes() == b""


def test_a_file_where_a_cached_folder_should_be_is_an_error_and_survives(index):
    entry = index.add("pets", {"cat.jpg": b"meow"})
    folder = _fetch.folder_of(entry)
    folder.parent.mkdir(parents=True)
    folder.write_bytes(b"mine")
    with pytest.raises(OSError, match=r"pets"):
        _fetch.fetch(entry)
    assert folder.read_bytes() == b"mine"


def test_different_entries_are_fetched_side_by_side(index):
    entries = [index.add(f"pets{k}", {"cat.jpg": b"meow%d" % k}) for k in range(4)]
    together = threading.Barrier(4, timeout=50)
    met = threading.Event()
    done = []

    def progress(*_):
        if not met.is_set():
            together.wait()
            met.set()

    def work(entry):
        done.append(_fetch.fetch(entry, progress))

    threads = [threading.Thread(target=work, args=[entry]) for entry in entries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4
    for k, entry in enumerate(entries):
        assert (_fetch.folder_of(entry) / "cat.jpg").read_bytes() == b"meow%d" % k


def test_an_interrupt_stops_pip_and_leaves_nothing(index, monkeypatch):
    entry = index.add("pets", {"cat.jpg": b"meow"})
    children = []
    real = subprocess.Popen

    def slow(_command, **options):
        children.append(real([sys.executable, "-c", "import time; time.sleep(60)"], **options))
        return children[-1]

    monkeypatch.setattr("subprocess.Popen", slow)

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _fetch.fetch(entry, interrupt)
    assert children[0].returncode is not None
    assert nothing_is_left(entry)


def test_progress_never_goes_back_or_beyond_what_was_promised(index):
    entry = index.add("pets", {"cat.jpg": BIG})
    seen = []
    _fetch.fetch(entry, lambda what, done, total: seen.append((what, done, total)))
    assert {what for what, _, _ in seen} == {entry.package.spec}
    assert all(done >= 0 for _, done, _ in seen)
    assert seen[-1][1] == seen[-1][2] == entry.package.wheel_bytes


def test_without_pip_the_error_says_how_to_get_it(index):
    entry = index.add("pets", {"cat.jpg": b"meow"})
    said = "/usr/bin/python3: No module named pip\n"
    assert "python -m ensurepip" in _fetch._explain(entry, said)


def test_the_reason_that_pip_gives_is_in_the_error(index):
    entry = index.add("pets", {"cat.jpg": b"meow"})
    said = "Looking in links: x\nERROR: first\nERROR: No matching distribution found\n"
    text = _fetch._explain(entry, said)
    assert "No matching distribution found" in text
    assert "first" not in text
    assert "pip failed" in _fetch._explain(entry, "")


def test_a_platform_that_is_asked_for_reaches_pip(index, monkeypatch):
    entry = index.add("pets", {"cat.jpg": b"meow"})
    package = Package(entry.package.spec, "MIT", 1, ("--implementation", "xx"))
    commands = []
    real = subprocess.Popen

    def watched(command, **options):
        commands.append(command)
        return real(command, **options)

    monkeypatch.setattr("subprocess.Popen", watched)
    fetched = Entry("pets", "picture", "", package, entry.files)
    assert (_fetch.fetch(fetched) / "cat.jpg").read_bytes() == b"meow"
    place = commands[0].index("--implementation")
    assert commands[0][place + 1] == "xx"
    assert "--no-deps" in commands[0]
    assert "--only-binary=:all:" in commands[0]
