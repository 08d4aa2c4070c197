"""Writes docs/compat-members.md: every member of the two classic packages, from their code.

Run it after a change of ``maccel_aio.compat``; a test compares the page with the code.
"""

from __future__ import annotations

import enum
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maccel_aio.compat import maccel, qbruntime

if TYPE_CHECKING:
    from types import ModuleType

PAGE = Path(__file__).resolve().parent.parent / "docs" / "compat-members.md"
PACKAGES: tuple[ModuleType, ...] = (maccel, qbruntime)
HEAD = """\
# Members of maccel and qbruntime

Everything that `maccel` 0.30.1 and `qbruntime` 1.5.0 have, with its parameters in each, and what
to use in a program that is written anew. A dash says that a package does not have it. What differs
on purpose is on the page [Moving from maccel / qbruntime](compat.md).
"""
_ABSENT = "-"
#: What programs that are written anew use; without an entry, the name is the same there or not
#: needed.
INSTEAD = {
    "Accelerator": "`maccel_aio.Accelerator`",
    "Accelerator.get_available_cores": "`Accelerator.info`",
    "Accelerator.get_device_name": "`Accelerator.info`",
    "Buffer": "`Accelerator.allocate`",
    "CacheInfo": "`Model.cache_infos`",
    "Future": "`Job`",
    "Future.get": "`await job`",
    "Future.wait_for": "`job.done()`, or `asyncio.timeout`",
    "Model": "`maccel_aio.Model`",
    "Model.dispose": "`await model.aclose()`, or `async with`",
    "Model.dump_cache_memory": "`await model.dump_cache(cache_id)`",
    "Model.filter_cache_tail": "`await model.filter_cache_tail(...)`",
    "Model.get_cache_infos": "`model.cache_infos`",
    "Model.get_input_scale": "`model.inputs[i].scale`",
    "Model.get_latency_consumed": "`job.timing`",
    "Model.get_latency_finished": "`job.timing`",
    "Model.get_model_input_shape": "`model.inputs[i].shape`",
    "Model.get_model_output_shape": "`model.outputs[i].shape`",
    "Model.get_model_path": "`model.path`",
    "Model.get_output_scale": "`model.outputs[i].scale`",
    "Model.infer": "`await model.infer(x)`",
    "Model.infer_async": "`await model.submit(x)`, `model.try_submit(x)`",
    "Model.infer_speedrun": "`await model.speedrun(1)`",
    "Model.launch": "`await model.launch(acc)`, or `acc.load(path)`",
    "Model.load_cache_memory": "`await model.load_cache(contents, cache_id)`",
    "Model.move_cache_tail": "`await model.move_cache_tail(...)`",
    "Model.reset_cache_memory": "`await model.reset_cache()`",
    "Model.reset_fixed_tail_cache_memory": "`await model.reset_cache(fixed_only=True)`",
    "ModelConfig": "`maccel_aio.ModelConfig`",
    "get_model_summary": "`model.summary()`, `maccel-aio summary`",
    "load": "`maccel_aio.load(path)`",
    "set_log_level": "`logging.getLogger('maccel_aio').setLevel`",
    "start_tracing_events": "`maccel_aio.trace(path)`",
    "stop_tracing_events": "`maccel_aio.trace(path)`",
}


def main() -> int:
    """Write the page; with ``--check``, only compare it: 1 when it is stale."""
    text = page()
    if "--check" in sys.argv[1:]:
        return int(PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


def page() -> str:
    """Return the text of the page."""
    parts = [HEAD, *(_section(kind) for kind in _names(inspect.isclass)), _functions()]
    return "\n".join(parts)


def _public(package: ModuleType) -> dict[str, Any]:
    """Return what a client reaches in a package: its own names and those of its modules."""
    found = {
        name: value
        for name, value in vars(package).items()
        if getattr(value, "__module__", "").startswith("maccel_aio.compat") and name[0] != "_"
    }
    handle: Any = package.model_variant_handle
    return {**found, "ModelVariantHandle": handle.ModelVariantHandle}


def _names(test: Any) -> list[str]:  # noqa: ANN401 - a predicate of inspect
    names = {name for package in PACKAGES for name, v in _public(package).items() if test(v)}
    return sorted(names, key=lambda name: (_is_enum(name), name))


def _is_enum(name: str) -> bool:
    kinds = [vars_of.get(name) for vars_of in map(_public, PACKAGES)]
    return any(isinstance(kind, type) and issubclass(kind, enum.Enum) for kind in kinds)


def _section(name: str) -> str:
    kinds = [_public(package).get(name) for package in PACKAGES]
    if _is_enum(name):
        return _enum_section(name, kinds)
    rows = [_row(name, "", [_call(kind) for kind in kinds], kinds)]
    members = {member for kind in kinds if kind for member in _members(kind)}
    for member in sorted(members):
        found = [kind and inspect.getattr_static(kind, member, None) for kind in kinds]
        rows.append(_row(f"{name}.{member}", f".{member}", [_call(one) for one in found], found))
    return _table(f"## {name}", rows)


def _members(kind: type) -> list[str]:
    """Return the public members of a class; of an error, what it has beside every error."""
    if issubclass(kind, BaseException):
        return ["code", "path", "reason"]
    return [name for name in dir(kind) if name[0] != "_"]


def _enum_section(name: str, kinds: list[Any]) -> str:
    members = {member.name: None for kind in kinds if kind for member in kind}
    lines = [f"## {name}", "", "| member | maccel | qbruntime |", "|---|---|---|"]
    for member in members:
        values = [_number(kind, member) for kind in kinds]
        lines.append(f"| `{member}` | {values[0]} | {values[1]} |")
    return "\n".join([*lines, ""])


def _number(kind: Any, member: str) -> str:  # noqa: ANN401 - an enum, or None
    there = kind is not None and member in kind.__members__
    return str(int(kind[member].value)) if there else _ABSENT


def _functions() -> str:
    rows = []
    for name in _names(inspect.isfunction):
        found = [_public(package).get(name) for package in PACKAGES]
        rows.append(_row(name, name, [_call(one) for one in found], found))
    return _table("## Functions", rows)


def _table(title: str, rows: list[str]) -> str:
    head = ["| member | maccel | qbruntime | what it does | instead |", "|---|---|---|---|---|"]
    return "\n".join([title, "", *head, *rows, ""])


def _row(key: str, shown: str, calls: list[str], found: list[Any]) -> str:
    documented = next((text for one in reversed(found) if (text := _first_line(one))), "")
    name = f"`{shown}`" if shown else "the class"
    return f"| {name} | {calls[0]} | {calls[1]} | {documented} | {INSTEAD.get(key, '')} |"


def _first_line(value: Any) -> str:  # noqa: ANN401 - a class, function, property or descriptor
    described = callable(value) or hasattr(value, "__get__")  # not a mere value of a class
    text = inspect.getdoc(value) if described else None
    return "" if text is None else text.splitlines()[0].replace("|", "\\|").replace("``", "`")


def _call(value: Any) -> str:  # noqa: ANN401 - see above
    """Return how something is called, without annotations; a dash when it is not there."""
    if value is None:
        return _ABSENT
    plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    if not callable(plain):
        return "property" if isinstance(plain, property) else "attribute"
    if isinstance(plain, type) and issubclass(plain, BaseException):
        return "`(*args)`"
    kept = [
        one.replace(annotation=inspect.Parameter.empty)
        for one in inspect.signature(plain).parameters.values()
        if one.name not in ("self", "cls")
    ]
    text = str(inspect.Signature(kept))
    return f"`{text}`" if len(text) < 90 else f"`({', '.join(one.name for one in kept)})`"


if __name__ == "__main__":
    sys.exit(main())
