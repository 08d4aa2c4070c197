"""``maccel-aio zoo``."""

import json

import pytest

from maccel_aio import zoo
from maccel_aio.cli import main


def test_the_list_has_every_entry(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("MACCEL_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["zoo", "list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in zoo.ENTRIES)
    assert str(tmp_path) in out.replace("\n", "")


def test_the_list_as_json(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("MACCEL_HOME", str(tmp_path))
    assert main(["zoo", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in listed["entries"]] == list(zoo.ENTRIES)
    assert not any(entry["cached"] for entry in listed["entries"])


def test_an_unknown_name_fetches_nothing(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("MACCEL_HOME", str(tmp_path))
    assert main(["zoo", "get", "photos", "cats"]) == 1
    assert "no 'cats'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.models
def test_get_prints_paths_and_copies(capsys, tmp_path):
    assert main(["zoo", "get", "photos", "carphone", "--output", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [str(tmp_path / "photos"), str(tmp_path / "carphone.mp4")]
    assert len(list((tmp_path / "photos").iterdir())) == 20
    assert main(["zoo", "get", "carphone", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["paths"] == {"carphone": str(zoo.get("carphone"))}


@pytest.mark.parametrize("shape", ["224", "axb", "1x2x3"])
def test_a_malformed_shape_is_wrong_usage(shape):
    with pytest.raises(SystemExit) as stop:
        main(["zoo", "compile", "centerface", "-o", "x.mxq", "--shape", shape])
    assert stop.value.code == 2
