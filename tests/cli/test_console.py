"""The three consoles: what goes where, and that nothing is lost without rich."""

import builtins
import json

import pytest

from maccel_aio.cli import _console
from maccel_aio.cli._console import Column


@pytest.fixture(params=["plain", "rich"])
def console(request):
    return _console.Console() if request.param == "plain" else _console.RichConsole()


def test_a_table_has_all_cells_and_numbers_at_the_right(console, capsys):
    columns = [Column("name"), Column("count", right=True)]
    console.table(columns, [["one", "1"], [("two", "good"), "22"]])
    out, err = capsys.readouterr()
    lines = [line.rstrip() for line in out.splitlines() if line.strip()]
    assert err == ""
    assert [line.split() for line in lines if "─" not in line and "━" not in line] == [
        ["name", "count"],
        ["one", "1"],
        ["two", "22"],
    ]
    assert lines[-1].endswith("22")
    assert lines[-2].endswith(" 1")
    assert len(lines[-1]) == len(lines[-2])


def test_fields_have_names_and_values(console, capsys):
    console.fields({"frames": "120", "speed": ("30 fps", "accent")})
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [["frames", "120"], ["speed", "30", "fps"]]


@pytest.mark.parametrize("text", ["[red]not a style[/]", "a [0] b", "\\[x]", "[/]"])
def test_brackets_are_text(console, text, capsys):
    console.line(text)
    console.table([Column("[h]")], [[text]])
    console.heading(text)
    console.fields({text: text})
    console.error(text)
    out, err = capsys.readouterr()
    assert out.count(text) == 5
    assert text in err


def test_an_error_is_one_line_on_standard_error(console, capsys):
    console.error("first\nsecond   third " + "long " * 60)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("maccel-aio: error: first second third long")


def test_progress_is_on_standard_error_and_names_the_work(console, capsys):
    with console.progress("fetch cats", 10) as task:
        task.update(5, note="half")
        task.update(5, 20)
    out, err = capsys.readouterr()
    assert out == ""
    assert "fetch cats" in err


def test_a_failure_leaves_the_progress_bar(console):
    with pytest.raises(KeyError, match=r"x"), console.progress("work", 3):
        raise KeyError("x")


def test_json_prints_the_result_alone(capsys):
    console = _console.make_console(as_json=True)
    console.line("text")
    console.heading("text")
    console.table([Column("a")], [["b"]])
    console.fields({"a": "b"})
    with console.progress("work", 1) as task:
        task.update(1)
    console.result({"a": [1, None, "é"]})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"a": [1, None, "é"]}
    assert err == ""


def test_only_json_prints_results(console, capsys):
    console.result({"a": 1})
    assert capsys.readouterr().out == ""


def test_without_rich_the_console_is_plain(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.partition(".")[0] == "rich":
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert type(_console.make_console(as_json=False)) is _console.Console


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (2_500_000, "2.5 MB"), (7e9, "7.00 GB")],
)
def test_sizes_for_people(count, text):
    assert _console.size_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(12e-6, "12.0 us"), (0.00321, "3.21 ms"), (1.5, "1.50 s")]
)
def test_times_for_people(seconds, text):
    assert _console.time_text(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0, "░░░░"), (0.5, "██░░"), (1, "████"), (1.7, "████"), (-1, "░░░░")]
)
def test_bars_stay_in_their_width(share, text):
    assert _console.bar_text(share, 4) == text
