"""Imports of the vendor's packages get ours, in the process that says so and in no other."""

import importlib
import subprocess
import sys

import pytest

from maccel_aio.compat import install, uninstall
from maccel_aio.errors import InvalidError


@pytest.fixture
def installed(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] in ("maccel", "qbruntime")]:
        monkeypatch.delitem(sys.modules, name)
    install()
    install()
    yield
    uninstall()
    assert not {"maccel", "qbruntime", "maccel.type"} & set(sys.modules)


@pytest.mark.parametrize("package", ["maccel", "qbruntime"])
def test_every_form_of_import_gets_the_same_objects(installed, package):
    ours = importlib.import_module(f"maccel_aio.compat.{package}")
    top = importlib.import_module(package)
    assert top is ours
    for name in ("type", "future", "version", package):
        module = importlib.import_module(f"{package}.{name}")
        assert module is importlib.import_module(f"maccel_aio.compat.{package}.{name}")
        assert getattr(top, name) is module
    scope: dict[str, object] = {}
    exec(f"from {package} import *\nfrom {package}.type import CoreMode as mode", scope)
    assert scope["mode"] is scope["CoreMode"] is top.CoreMode
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"{package}.nothing")


def test_one_package_may_be_left_alone(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] in ("maccel", "qbruntime")]:
        monkeypatch.delitem(sys.modules, name)
    install(["qbruntime"])
    try:
        assert "qbruntime.type" in sys.modules
        assert "maccel" not in sys.modules
    finally:
        uninstall()


def test_what_is_imported_already_is_not_replaced(monkeypatch):
    for name in [one for one in sys.modules if one.startswith("qbruntime.")]:
        monkeypatch.delitem(sys.modules, name)  # of the vendor's, in the lane that has it
    monkeypatch.setitem(sys.modules, "qbruntime", sys)
    with pytest.raises(InvalidError, match="before"):
        install()
    assert sys.modules["qbruntime"] is sys
    assert "qbruntime.type" not in sys.modules
    uninstall()
    assert sys.modules["qbruntime"] is sys


def test_a_package_that_there_is_not():
    with pytest.raises(InvalidError, match="maccel and qbruntime"):
        install(["numpy"])


def test_the_compiler_is_not_imported():
    code = (
        "import sys; from maccel_aio.compat import install; install(); import qbruntime; "
        "assert 'onnx' not in sys.modules and 'maccel_aio.compiler' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
