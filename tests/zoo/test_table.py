"""The table of what can be fetched."""

from maccel_aio import zoo


def test_entries_are_found_under_their_names():
    assert [entry.name for entry in zoo.ENTRIES.values()] == list(zoo.ENTRIES)


def test_every_entry_pins_its_package_and_its_bytes():
    for entry in zoo.ENTRIES.values():
        assert entry.package.spec.count("==") == 1
        assert entry.package.licence
        assert entry.package.wheel_bytes > 0
        assert all(len(file.sha256) == 64 for file in entry.files)


def test_no_file_is_listed_twice():
    files = [file for entry in zoo.ENTRIES.values() for file in entry.files]
    assert len({file.sha256 for file in files}) == len(files) == 29
    for entry in zoo.ENTRIES.values():
        assert len({file.name for file in entry.files}) == len(entry.files) > 0
