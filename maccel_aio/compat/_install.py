"""Lets ``import maccel`` and ``import qbruntime`` of a program get the packages of this library."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import TYPE_CHECKING

from maccel_aio.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

#: The vendor's packages that there are.
PACKAGES = ("maccel", "qbruntime")


def _modules(package: str) -> Iterator[tuple[str, ModuleType]]:
    """Import a package and yield all of its modules by the vendor's names."""
    root = f"{__package__}.{package}"
    top = importlib.import_module(root)
    yield package, top
    for info in pkgutil.walk_packages(top.__path__, f"{root}."):
        yield f"{package}{info.name.removeprefix(root)}", importlib.import_module(info.name)


def install(packages: Iterable[str] = PACKAGES) -> None:
    """Let imports of the vendor's packages get ours, submodules included. Idempotent.

    Call it before the first import of one of them.

    Args:
        packages: "maccel", "qbruntime", or both.

    Raises:
        InvalidError: if there is no such package, or the vendor's own is imported already; then
            nothing is changed.
    """
    made: dict[str, ModuleType] = {}
    for package in packages:
        if package not in PACKAGES:
            raise InvalidError(f"there is no package {package!r}, only {' and '.join(PACKAGES)}")
        made.update(_modules(package))
    for name, module in made.items():
        if sys.modules.get(name, module) is not module and not is_stand_in(sys.modules[name]):
            raise InvalidError(f"{name} is imported already: call install() before that")
    sys.modules.update(made)


def uninstall() -> None:
    """Undo ``install``: the next import of a vendor's package looks for the vendor's own."""
    for package in PACKAGES:
        for name, module in _modules(package):
            if sys.modules.get(name) is module:
                del sys.modules[name]


def is_stand_in(module: ModuleType) -> bool:
    """Return whether a module is the file that ``run`` puts in the way of the vendor's."""
    spec = module.__spec__
    return spec is not None and spec.origin is not None and "_stand_in" in spec.origin
