"""The mutation lane: its table is true, and it changes what it says and nothing else."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import mutants  # noqa: E402

TABLE = mutants.read_table()


@pytest.mark.parametrize("mutant", TABLE, ids=[mutant.name for mutant in TABLE])
def test_each_mutant_finds_its_text_and_its_tests(mutant: mutants.Mutant, tmp_path: Path) -> None:
    source = ROOT / mutant.file
    copy = tmp_path / mutant.file
    copy.parent.mkdir(parents=True)
    copy.write_bytes(source.read_bytes())
    assert mutant.apply(tmp_path) == source.read_text("utf-8")
    assert copy.read_text("utf-8") != source.read_text("utf-8")
    assert mutant.tests
    for test in mutant.tests:
        floor, _, name = test.partition(" ")
        assert (ROOT / "tests/native" / floor / f"test_{name}.c").is_file()


def test_names_tell_mutants_apart() -> None:
    assert len({mutant.name for mutant in TABLE}) == len(TABLE) >= 5


@pytest.mark.parametrize("held", ["", "x = 1;\nx = 1;\n"])
def test_a_text_that_is_not_there_once_is_refused(held: str, tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text(held)
    with pytest.raises(ValueError, match="not once"):
        mutants.Mutant("m", "a.c", "x = 1;", "x = 2;", ["device ring"]).apply(tmp_path)
    assert (tmp_path / "a.c").read_text() == held


def script(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("body", "noticed"), [("exit 0", False), ("exit 1", True), ("sleep 30", True)]
)
def test_a_mutant_is_noticed_by_a_failure_or_a_hang(
    body: str, noticed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that stands for a test, and a builder that has nothing to do."""
    script(tmp_path / "tests/native/device/test_device_ring", body)
    script(tmp_path / "bin/meson", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    (tmp_path / "a.c").write_text("x = 1;")
    mutant = mutants.Mutant("m", "a.c", "x = 1;", "x = 2;", ["device ring"])
    assert mutants.judge(mutant, tmp_path, tmp_path, 0.5) is noticed
    assert (tmp_path / "a.c").read_text() == "x = 1;"


def test_a_mutant_that_does_not_compile_is_no_mutant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "bin/meson", "echo broken; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    with pytest.raises(SystemExit, match="broken"):
        mutants.passes(tmp_path, ["device ring"], 1)
