"""``python -m maccel_aio.compat PROGRAM`` is ``python PROGRAM``, with other packages."""

import json
import subprocess
import sys
import zipfile

import pytest

PROGRAM = """\
'''A program.'''
import json, pickle, sys
import maccel, qbruntime, qbruntime.type
from helper import VALUE

class Thing:
    pass

if __name__ == "__main__":
    print(json.dumps({
        "argv": sys.argv, "path": sys.path[0], "file": __file__, "name": __name__, "doc": __doc__,
        "spec": __spec__ is None, "package": __package__, "value": VALUE,
        "main": sys.modules["__main__"].Thing is Thing,
        "pickled": type(pickle.loads(pickle.dumps(Thing()))) is Thing,
        "ours": [maccel.__name__, qbruntime.type.__name__],
    }))
"""
OURS = ["maccel_aio.compat.maccel", "maccel_aio.compat.qbruntime.type"]


def ours(*arguments, cwd):
    return start([sys.executable, "-m", "maccel_aio.compat", *arguments], cwd)


def start(command, cwd):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def folder(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "helper.py").write_text("VALUE = 5\n")
    (inner / "program.py").write_text(PROGRAM)
    return tmp_path


def plain(text):
    """The same program without the vendor's packages: for comparing with the interpreter."""
    return text.replace("import maccel, qbruntime, qbruntime.type\n", "").replace(
        "[maccel.__name__, qbruntime.type.__name__]", "None"
    )


def test_a_program_sees_what_it_sees_without_us(folder):
    (folder / "inner" / "same.py").write_text(plain(PROGRAM))
    got = ours("inner/program.py", "-x", "y z", cwd=folder)
    assert (got.returncode, got.stderr) == (0, "")
    wanted = start([sys.executable, "inner/same.py", "-x", "y z"], folder)
    here = json.loads(got.stdout)
    there = json.loads(wanted.stdout.replace("same.py", "program.py"))
    assert here.pop("ours") == OURS
    assert there.pop("ours") is None
    assert here == there


def test_a_module(folder):
    package = folder / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import sys, maccel\nprint(sys.argv[1:], __package__, maccel.__name__)\nsys.exit(4)\n"
    )
    got = ours("-m", "package", "a", cwd=folder)
    assert (got.returncode, got.stderr) == (4, "")
    assert got.stdout == "['a'] package maccel_aio.compat.maccel\n"


def test_a_folder_and_an_archive(folder):
    (folder / "inner" / "__main__.py").write_text(PROGRAM)
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for name in ("__main__.py", "helper.py"):
            archive.write(folder / "inner" / name, name)
    for program in ("inner", "all.zip"):
        got = ours(program, cwd=folder)
        assert (got.returncode, got.stderr) == (0, "")
        assert json.loads(got.stdout)["value"] == 5


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("import sys\nsys.exit(3)\n", 3),
        ("raise SystemExit('so it ends')\n", 1),
        ("def f():\n    raise ValueError('no')\nf()\n", 1),
        ("x = = 1\n", 1),
        ("try:\n    1 / 0\nexcept Exception as e:\n    raise KeyError('k') from e\n", 1),
        ("raise KeyboardInterrupt\n", -2),
        ("import atexit, sys\natexit.register(print, 'exit')\nsys.excepthook = print\n1 / 1\n", 0),
        ("import threading\nthreading.Timer(0.05, print, ['late']).start()\n", 0),
    ],
)  # fmt: skip
def test_ends_are_those_of_the_interpreter(folder, text, status):
    (folder / "program.py").write_text(text)
    wanted = start([sys.executable, "program.py"], folder)
    got = ours("program.py", cwd=folder)
    assert (got.returncode, got.stdout, got.stderr) == (
        wanted.returncode, wanted.stdout, wanted.stderr,
    )  # fmt: skip
    assert got.returncode == status


def test_no_program(folder):
    wanted = start([sys.executable, "nothing.py"], folder)
    got = ours("nothing.py", cwd=folder)
    assert (got.returncode, got.stderr) == (wanted.returncode, wanted.stderr)
    for arguments in ([], ["-m"]):
        got = ours(*arguments, cwd=folder)
        assert (got.returncode, got.stdout) == (2, "")
        assert got.stderr.startswith("usage:")
    assert ours("--help", cwd=folder).stdout.startswith("usage:")


def test_children_that_begin_anew_get_the_same_packages(folder):
    (folder / "program.py").write_text(
        "import multiprocessing as mp\n"
        "def child(q):\n    import maccel.type, qbruntime\n"
        "    q.put([maccel.type.__name__, qbruntime.__name__])\n"
        "if __name__ == '__main__':\n"
        "    context = mp.get_context('spawn')\n    q = context.Queue()\n"
        "    p = context.Process(target=child, args=(q,))\n"
        "    p.start()\n    print(q.get(timeout=50))\n    p.join()\n"
    )
    got = ours("program.py", cwd=folder)
    assert got.stderr == ""
    assert got.stdout == "['maccel_aio.compat.maccel.type', 'maccel_aio.compat.qbruntime']\n"
