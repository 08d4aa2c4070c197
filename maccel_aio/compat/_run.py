"""Runs a program as ``python PROGRAM`` does, with the vendor's packages replaced by ours."""

from __future__ import annotations

import io
import runpy
import sys
import types
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING

from maccel_aio.compat._install import install

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_USAGE = "usage: python -m maccel_aio.compat [-m MODULE | PROGRAM] [ARGUMENTS]"
#: Where a child process that ``multiprocessing`` starts anew finds the packages.
_STAND_IN = str(Path(__file__).parent / "_stand_in")


def run(arguments: Sequence[str]) -> None:
    """Run a program and return when it ends; what it raises comes out.

    It is the module ``__main__``, ``sys.argv`` and ``sys.path`` are what it expects, and tracebacks
    begin with its own frames. Children of ``multiprocessing`` get the same packages.

    Args:
        arguments: a path or ``-m`` and a module, then the arguments of the program.

    Raises:
        SystemExit: if there is no such program; or as the program says.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        (sys.stdout if arguments else sys.stderr).write(f"{_USAGE}\n")
        raise SystemExit(0 if arguments else 2)
    install()
    sys.path.insert(1, _STAND_IN)
    sys.excepthook = _without_our_frames
    if arguments[0] == "-m":
        _run_module(arguments[1:])
    else:
        _run_file(arguments)


def _run_module(arguments: Sequence[str]) -> None:
    if not arguments:
        sys.stderr.write(f"{_USAGE}\n")
        raise SystemExit(2)
    sys.argv[:] = arguments  # the first becomes the module's file
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


def _run_file(arguments: Sequence[str]) -> None:
    path = Path(arguments[0])
    sys.argv[:] = arguments
    if path.is_dir() or (path.is_file() and path.suffix in (".zip", ".pyz")):
        sys.path.pop(0)  # run_path puts the program there
        runpy.run_path(str(path), run_name="__main__")
        return
    try:
        with io.open_code(str(path.absolute())) as file:
            source = file.read()
    except OSError as problem:
        text = f"can't open file {str(path.absolute())!r}: [Errno {problem.errno}]"
        sys.stderr.write(f"{sys.executable}: {text} {problem.strerror}\n")
        raise SystemExit(2) from None
    sys.path[0] = str(path.resolve().parent)
    main = types.ModuleType("__main__")
    main.__dict__.update(
        __file__=str(path.absolute()),
        __builtins__=__builtins__,
        __cached__=None,
        __loader__=SourceFileLoader("__main__", str(path.absolute())),
        __annotations__={},
    )
    sys.modules["__main__"] = main
    exec(compile(source, str(path.absolute()), "exec", dont_inherit=True), main.__dict__)


def _without_our_frames(
    kind: type[BaseException], problem: BaseException, traceback: TracebackType | None
) -> None:
    """Show an exception as the interpreter does, without what called the program."""
    while traceback is not None and _is_ours(traceback.tb_frame.f_code.co_filename):
        traceback = traceback.tb_next
    sys.__excepthook__(kind, problem.with_traceback(traceback), traceback)


def _is_ours(name: str) -> bool:
    return name == __file__ or "runpy" in name or Path(name).parent == Path(__file__).parent
