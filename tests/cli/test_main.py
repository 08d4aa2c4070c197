"""The program as a whole: help, exit status, one-line errors."""

import os
import subprocess
import sys

import pytest

from maccel_aio.cli import main
from maccel_aio.cli._main import build_parser

COMMANDS = ("demo", "compile", "summary", "run", "bench", "devices", "zoo")


def program(*arguments):
    command = [sys.executable, "-m", "maccel_aio.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_names_every_command_and_the_first_step(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)
    assert "maccel-aio demo" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "usage: maccel-aio" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        *(["devices"], ["summary", "m"], ["run", "m", "-i", "x"], ["bench", "m"], ["demo"]),
        *(["zoo", "list"], ["zoo", "get", "photos"], ["compile", "m", "-o", "o"]),
    ],
)
def test_every_command_has_json(arguments):
    assert build_parser().parse_args([*arguments, "--json"]).json
    assert not build_parser().parse_args(arguments).json


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["run"], ["zoo"], ["bench", "m", "--depth", "0"]]
)
def test_wrong_usage_is_status_two(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


@pytest.mark.parametrize("arguments", [["summary", "absent.mxq"], ["zoo", "get", "nothing"]])
def test_an_error_is_one_line_and_status_one(arguments):
    done = program(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("maccel-aio: error: ")
    assert arguments[-1] in done.stderr


def test_the_traceback_is_there_for_those_who_ask(monkeypatch):
    monkeypatch.setenv("MACCEL_DEBUG", "1")
    with pytest.raises(OSError, match=r"absent\.mxq"):
        main(["summary", "absent.mxq"])


def test_an_interrupt_is_status_130(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("maccel_aio.zoo.entry", interrupted)
    assert main(["zoo", "get", "photos"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_missing_extra_is_named(monkeypatch, capsys):
    def missing(*_):
        raise ModuleNotFoundError("No module named 'onnx'", name="onnx")

    monkeypatch.setattr("maccel_aio.zoo.entry", missing)
    assert main(["zoo", "get", "photos"]) == 1
    assert "needs onnx: pip install 'maccel-aio[all]'" in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error():
    done = subprocess.run(
        f"set -o pipefail; {sys.executable} -m maccel_aio.cli --help | true",
        shell=True, executable="/bin/bash", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr


def test_the_version_is_that_of_the_package():
    assert program("--version").stdout.startswith("maccel-aio ")


def test_help_needs_neither_compiler_nor_runtime():
    code = (
        "import sys\n"
        "import maccel_aio.cli\n"
        "heavy = {'onnx', 'onnxruntime', 'PIL', 'av', 'rich'} & set(sys.modules)\n"
        "print(sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("inner"), 1), (OSError(2, "gone", "file"), 1)]
)
def test_the_first_error_of_a_task_group_is_the_one_shown(monkeypatch, capsys, error, status):
    def failed(*_):
        raise ExceptionGroup("tasks", [ExceptionGroup("more", [error]), KeyError("second")])

    monkeypatch.setattr("maccel_aio.zoo.entry", failed)
    assert main(["zoo", "get", "photos"]) == status
    err = capsys.readouterr().err
    assert ("inner" in err) or ("file: gone" in err)
    assert "Traceback" not in err


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    def broken(*_):
        raise ExceptionGroup("tasks", [TypeError("a bug")])

    monkeypatch.setattr("maccel_aio.zoo.entry", broken)
    with pytest.raises(ExceptionGroup):
        main(["zoo", "get", "photos"])


def test_the_program_lets_no_dependency_report_from_the_machine(tmp_path):
    code = (
        "from maccel_aio.cli import main\n"
        "main(['devices', '--json'])\n"
        "import onnxruntime, os\n"
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'\n"
    )
    kept = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    empty = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=kept | empty)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
