"""The public surface: complete, documented, and of the form that other programs rely on."""

import ast
import importlib
import inspect
import pickle
import pkgutil
import re
import textwrap
from pathlib import Path

import pytest

import maccel_aio
import maccel_aio.sync
from maccel_aio import errors

FACES = [maccel_aio, maccel_aio.sync, errors]
ROOT = Path(__file__).resolve().parent.parent


def public_objects():
    """Yield (name, object) of what the faces export, each object once."""
    seen = set()
    for face in FACES:
        for name in face.__all__:
            value = getattr(face, name)
            if id(value) not in seen:
                seen.add(id(value))
                yield f"{face.__name__}.{name}", value


def public_callables():
    """Yield (name, function) of every public function and method, inherited ones included."""
    for name, value in public_objects():
        if inspect.isfunction(value):
            yield name, value
        if not inspect.isclass(value):
            continue
        for base in value.__mro__:
            if not base.__module__.startswith("maccel_aio"):
                continue
            for member, attribute in vars(base).items():
                if member.startswith("_"):
                    continue
                plain = getattr(attribute, "fget", None) or getattr(
                    attribute, "__func__", attribute
                )
                if inspect.isfunction(plain):
                    yield f"{name}.{member}", plain


OBJECTS = dict(public_objects())
CALLABLES = dict(public_callables())


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_all_lists_exactly_what_has_no_underscore(face):
    assert len(set(face.__all__)) == len(face.__all__)
    missing = [name for name in face.__all__ if not hasattr(face, name)]
    assert missing == []
    own = {
        name
        for name, value in vars(face).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__.startswith("maccel_aio")
    }
    if face is maccel_aio:  # the others may use names of the floors below
        assert own == set(face.__all__)


def test_a_star_import_brings_the_public_names_and_nothing_else():
    scope: dict[str, object] = {}
    exec("from maccel_aio import *", scope)
    scope.pop("__builtins__")
    assert set(scope) == set(maccel_aio.__all__)


def test_every_error_is_public_and_in_the_tree():
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.MaccelError)
    }
    assert defined == {n for n in errors.__all__ if n.endswith("Error")}
    assert defined <= set(maccel_aio.__all__)
    assert errors.__doc__ is not None
    assert all(f" {name}" in errors.__doc__ or f"{name}(" in errors.__doc__ for name in defined)


@pytest.mark.parametrize("name", sorted(n for n in errors.__all__ if n.endswith("Error")))
def test_every_error_crosses_a_process_border_whole(name):
    error = getattr(errors, name)("the reason", code=-77, path="m.mxq")
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is type(error)
    assert (twin.reason, twin.code, twin.path) == ("the reason", -77, "m.mxq")
    assert str(twin) == str(error) == "m.mxq: the reason"


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_every_public_name_is_documented(name):
    value = OBJECTS[name]
    if inspect.isclass(value) or inspect.isfunction(value):
        text = inspect.getdoc(value) or ""
        assert text.strip(), name
        assert text.split("\n")[0].rstrip().endswith((".", ":")), f"{name}: {text.splitlines()[0]}"


@pytest.mark.parametrize("name", sorted(CALLABLES))
def test_every_public_method_is_documented_and_typed(name):
    function = CALLABLES[name]
    assert (inspect.getdoc(function) or "").strip(), name
    hints = function.__annotations__
    assert "return" in hints, name
    known = {*hints, "self", "cls"}
    untyped = [p for p in inspect.signature(function).parameters if p not in known]
    assert untyped == []


def raised_by(function):
    """Return the error classes that the body itself raises, nested functions left out."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    found = set()
    stack = list(ast.iter_child_nodes(tree))
    while stack:
        node = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            called = getattr(errors, ast.unparse(node.exc.func).rpartition(".")[2], None)
            if inspect.isclass(called):
                found.add(called)
        stack.extend(ast.iter_child_nodes(node))
    return found


@pytest.mark.parametrize("name", sorted(CALLABLES))
def test_what_a_public_method_raises_is_in_its_docstring(name):
    function = CALLABLES[name]
    raised = raised_by(function)
    text = inspect.getdoc(function) or ""
    _, _, section = text.partition("Raises:")
    for error in raised:
        names = {base.__name__ for base in error.__mro__ if issubclass(base, errors.MaccelError)}
        said = any(re.search(rf"\b{base}:", section) for base in names)
        assert said, f"{name} raises {error.__name__} and says: {section.strip() or 'nothing'}"


@pytest.mark.parametrize("name", sorted(CALLABLES))
def test_what_a_docstring_says_is_raised_exists(name):
    import builtins

    _, _, section = (inspect.getdoc(CALLABLES[name]) or "").partition("Raises:")
    for error in re.findall(r"^\s+(\w+(?:Error|Exception)):", section, re.MULTILINE):
        assert hasattr(errors, error) or hasattr(builtins, error), f"{name}: {error}"


@pytest.mark.parametrize("name", sorted(CALLABLES))
def test_the_arguments_that_a_docstring_explains_are_those_that_there_are(name):
    function = CALLABLES[name]
    text = inspect.getdoc(function) or ""
    match = re.search(r"^Args:\n((?: .*\n?|\n)+)", text, re.MULTILINE)
    if match is None:
        return
    explained = re.findall(r"^    \*{0,2}(\w+):", match.group(1), re.MULTILINE)
    there = [p for p in inspect.signature(function).parameters if p not in ("self", "cls")]
    assert explained == there


def test_every_module_says_what_it_is():
    for info in pkgutil.walk_packages(maccel_aio.__path__, "maccel_aio."):
        if info.name.endswith(("__main__", "_maccel_cffi")):
            continue
        module = importlib.import_module(info.name)
        assert (module.__doc__ or "").strip(), info.name


def test_the_blocking_twin_has_the_same_nouns_and_no_coroutines():
    for name in ("Accelerator", "Model", "ModelConfig", "Job", "load"):
        assert name in maccel_aio.sync.__all__
        assert name in maccel_aio.__all__
    blocking = {n for n in dir(maccel_aio.sync.Model) if not n.startswith("_")}
    for noun in ("infer", "submit", "stream", "close", "launch", "inputs", "outputs", "speedrun"):
        assert noun in blocking
    for name, function in CALLABLES.items():
        if name.startswith("maccel_aio.sync."):
            assert not inspect.iscoroutinefunction(function), name


@pytest.mark.parametrize("noun", ["infer", "submit", "stream", "speedrun"])
def test_the_twins_take_the_same_arguments(noun):
    """A name that both have is of the same kind and stands at the same place."""
    one = inspect.signature(getattr(maccel_aio.Model, noun)).parameters
    other = inspect.signature(getattr(maccel_aio.sync.Model, noun)).parameters
    shared = [name for name in one if name in other]
    assert [one[name].kind for name in shared] == [other[name].kind for name in shared]
    assert [n for n in other if n in one] == shared
    assert [one[n].default for n in shared] == [other[n].default for n in shared]


def test_the_reference_of_the_site_covers_both_faces():
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for face in ("maccel_aio", "maccel_aio.sync"):
        assert f"automodule:: {face}\n" in text
