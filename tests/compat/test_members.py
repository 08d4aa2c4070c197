"""The page with every member of both packages says what the code says."""

import asyncio
import importlib.util
import inspect
import logging
import re
from pathlib import Path
from types import ModuleType

import maccel_aio
from maccel_aio.compat import maccel, qbruntime

ROOT = Path(__file__).resolve().parents[2]


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "compat_members", ROOT / "tools" / "compat_members.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "compat-members.md").read_text(encoding="utf-8")
    assert page == tool().page(), "run: python tools/compat_members.py"


def test_every_public_class_and_function_is_on_the_page() -> None:
    page = tool().page()
    for package in (maccel, qbruntime):
        for name in package.__all__:
            value = getattr(package, name)
            if inspect.isclass(value):
                assert f"\n## {name}\n" in page
                members = [m for m in dir(value) if m[0] != "_"] if "Error" not in name else []
                assert [m for m in members if f"`.{m}`" not in page and f"`{m}`" not in page] == []
            elif callable(value):
                assert f"| `{name}` |" in page


def test_what_stands_instead_is_there() -> None:
    page = tool().page()
    owners = {"model": maccel_aio.Model, "job": maccel_aio.Job, "acc": maccel_aio.Accelerator,
              "maccel_aio": maccel_aio, "Accelerator": maccel_aio.Accelerator,
              "Model": maccel_aio.Model, "logging": logging, "asyncio": asyncio}  # fmt: skip
    for name, text in tool().INSTEAD.items():
        assert f"| {text} |\n" in page, name
        for owner, member in re.findall(r"(\w+)\.(\w+)", text):
            assert hasattr(owners[owner], member), text
