"""Names, signatures, defaults, properties and integers of the vendor's packages and ours."""

import enum
import inspect
from pathlib import Path
from typing import Any

import pytest

from tests.compat.vendor import PACKAGES, ours, outcome, theirs

MODULES = {
    "maccel": ("accelerator", "future", "model", "model_variant_handle", "type", "version"),
    "qbruntime": (
        "accelerator", "future", "model", "model_variant_handle", "npu_data", "pinned_memory",
        "type", "version",
    ),
}  # fmt: skip
CLASSES = (
    "Accelerator", "BatchParam", "Buffer", "BufferInfo", "CacheInfo", "CoreId", "Model",
    "ModelConfig", "NPUData", "PinnedMemory", "Scale",
)  # fmt: skip
FUNCTIONS = (
    "load", "set_log_level", "start_tracing_events", "stop_tracing_events", "get_model_summary",
    "get_available_devices", "get_available_device_numbers",
)  # fmt: skip
pytestmark = pytest.mark.parametrize("name", PACKAGES)


def public(owner: Any) -> set[str]:
    return {name for name in dir(owner) if not name.startswith("_")}


def signature(call: Any) -> list[tuple[str, str, str]]:
    """Return name, kind and default of each parameter; defaults as they are shown."""
    parameters = inspect.signature(call).parameters.values()
    return [(one.name, str(one.kind), repr(one.default)) for one in parameters]


def members(name: str, kind: str) -> list[tuple[Any, Any]]:
    """Return each public member of a class, and its constructor, in both packages."""
    vendor, mine = getattr(theirs(name), kind), getattr(ours(name), kind)
    names = sorted(public(vendor) | {"__init__"})
    return [(getattr(vendor, one), getattr(mine, one)) for one in names]


def test_submodules_have_the_same_names(name: str) -> None:
    for module in MODULES[name]:
        vendor, mine = (getattr(package, module) for package in (theirs(name), ours(name)))
        assert public(vendor) <= public(mine), module
        assert set(getattr(vendor, "__all__", ())) <= set(getattr(mine, "__all__", public(mine)))
    package = Path(str(theirs(name).__file__)).parent
    files = {path.stem for path in package.glob("*.py")} - {"__init__"}
    assert files == set(MODULES[name])


def test_the_packages_have_the_same_names(name: str) -> None:
    vendor, mine = theirs(name), ours(name)
    assert set(vendor.__all__) == set(mine.__all__)
    assert public(vendor) <= public(mine)
    assert all(hasattr(mine, one) for one in mine.__all__)


@pytest.mark.parametrize(
    "constant", ["__version__", "__git_version__", "__vendor__", "__product__"]
)
def test_the_version_is_the_same(name: str, constant: str) -> None:
    assert getattr(ours(name).version, constant) == getattr(theirs(name).version, constant)
    assert getattr(ours(name), constant) == getattr(theirs(name), constant)


def test_enums_have_the_same_members_and_integers(name: str) -> None:
    def table(module: Any) -> dict[str, dict[str, int]]:
        kinds = {key: kind for key, kind in vars(module).items() if inspect.isclass(kind)}
        return {
            key: {member.name: int(member.value) for member in kind}
            for key, kind in kinds.items()
            if issubclass(kind, enum.Enum) and kind is not enum.Enum
        }

    assert table(ours(name).type) == table(theirs(name).type)
    assert len(table(ours(name).type)) >= 7


def test_inner_enums_have_the_same_members_and_integers(name: str) -> None:
    vendor, mine = getattr(theirs(name), name), getattr(ours(name), name)
    kinds = [key for key in public(vendor) if hasattr(getattr(vendor, key), "__members__")]
    for kind in kinds:
        expected = {k: int(v) for k, v in getattr(vendor, kind).__members__.items()}
        assert {k: int(v) for k, v in getattr(mine, kind).__members__.items()} == expected
    assert len(kinds) >= 7


@pytest.mark.parametrize("kind", CLASSES)
def test_classes_have_the_same_members_with_the_same_signatures(name: str, kind: str) -> None:
    if not hasattr(theirs(name), kind):
        assert not hasattr(ours(name), kind)
        return
    assert public(getattr(theirs(name), kind)) == public(getattr(ours(name), kind))
    for vendor, mine in members(name, kind):
        if isinstance(vendor, property):
            assert hasattr(type(mine), "__set__")
            assert not callable(mine)
        else:
            assert signature(mine) == signature(vendor)


def test_handles_have_the_same_members_with_the_same_signatures(name: str) -> None:
    vendor, mine = (
        package.model_variant_handle.ModelVariantHandle for package in (theirs(name), ours(name))
    )
    assert hasattr(theirs(name), "ModelVariantHandle") == hasattr(ours(name), "ModelVariantHandle")
    assert public(vendor) == public(mine)
    for one in sorted(public(vendor) | {"__init__"}):
        assert signature(getattr(mine, one)) == signature(getattr(vendor, one)), one


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_have_the_same_signatures(name: str, function: str) -> None:
    if not hasattr(theirs(name), function):
        assert not hasattr(ours(name), function)
        return
    assert signature(getattr(ours(name), function)) == signature(getattr(theirs(name), function))


def test_errors_have_the_same_place(name: str) -> None:
    key = {"maccel": "MAccelError", "qbruntime": "QbRuntimeError"}[name]
    for package in (theirs(name), ours(name)):
        error = getattr(package, key)
        assert error is getattr(getattr(package, name), key)
        assert issubclass(error, RuntimeError)


def test_a_future_has_the_same_members_and_two_more(name: str) -> None:
    vendor, mine = theirs(name).Future, ours(name).Future
    assert public(mine) == public(vendor) | {"add_done_callback", "done"}
    for member in ("__init__", "from_cpp", "get", "wait_for"):
        assert signature(getattr(mine, member)) == signature(getattr(vendor, member))


@pytest.mark.parametrize("timeout", [0, 10, -1, 2**40, 2**63, 1.5, "a", None, True])
def test_a_future_that_never_was_valid_behaves_alike(name: str, timeout: Any) -> None:
    for call in (lambda p: p.Future().wait_for(timeout), lambda p: p.Future().get()):
        assert outcome(lambda c=call: c(ours(name))) == outcome(lambda c=call: c(theirs(name)))  # type: ignore[misc]
