"""Rules of this repository that no other tool checks: shape, floors, honest tests, metadata."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repository_map import COVERED_BY

ROOT = Path(__file__).resolve().parent.parent
NATIVE = "maccel_aio/_native/"
FILE_LINES = 500
PYTHON_FUNCTION_LINES = 40
C_FUNCTION_LINES = 60

# What a file of a floor may include besides its own. mxq.h is the program format: declarations
# only, and the language that kernels, model and device speak to each other.
MAY_INCLUDE = {
    "include": set(),
    "base": {"include"},
    "kernels": {"include", "base", "mxq.h"},
    "model": {"include", "base", "kernels"},
    "device": {"include", "base", "kernels", "model"},
}


def tracked() -> list[str]:
    """Return what a commit of everything would hold; an unpacked sdist has the same files."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        names = listed.stdout.splitlines()
    else:
        names = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file()]
    return sorted(name for name in names if (ROOT / name).is_file())


FILES = tracked()
PYTHON = [name for name in FILES if name.endswith(".py")]
C_CODE = [name for name in FILES if name.endswith((".c", ".h"))]
C_SOURCES = [name for name in FILES if name.startswith(NATIVE) and name.endswith(".c")]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def texts() -> Iterator[tuple[str, str]]:
    for name in FILES:
        data = (ROOT / name).read_bytes()
        if b"\0" not in data[:4096]:
            yield name, data.decode("utf-8", "replace")


def lines_matching(pattern: str, names: list[str]) -> list[str]:
    wanted = re.compile(pattern)
    return [
        f"{name}:{number}: {line.strip()}"
        for name in names
        for number, line in enumerate(read(name).splitlines(), 1)
        if wanted.search(line)
    ]


def test_no_path_of_one_machine_is_in_the_tree() -> None:
    folders = "|".join(("tmp", "work", "root", "farm", "home"))
    machine = re.compile(rf"(^|[^A-Za-z0-9_./])/({folders})/")
    found = [
        f"{name}:{number}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if machine.search(line)
    ]
    assert found == []


def test_nothing_is_left_for_later() -> None:
    words = "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error"))
    assert lines_matching(rf"\b({words})\b", [*PYTHON, *C_CODE]) == []


def test_no_file_is_too_long() -> None:
    long = {name: read(name).count("\n") for name in [*PYTHON, *C_CODE]}
    assert {name: count for name, count in long.items() if count > FILE_LINES} == {}


def test_no_big_file_is_committed() -> None:
    limit = 2 * 1024 * 1024
    big = {name: (ROOT / name).stat().st_size for name in FILES}
    assert {name: size for name, size in big.items() if size > limit} == {}


def python_functions(name: str) -> Iterator[tuple[str, int]]:
    """Yield each function with its number of lines: signature and body, without the docstring."""
    for node in ast.walk(ast.parse(read(name))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        end = node.end_lineno or node.lineno
        length = end - node.lineno + 1
        if ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            length -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
        yield node.name, length


@pytest.mark.parametrize("name", PYTHON)
def test_python_functions_are_short(name: str) -> None:
    functions = list(python_functions(name))
    assert [(f, n) for f, n in functions if n > PYTHON_FUNCTION_LINES] == []


def c_functions(text: str) -> Iterator[tuple[str, int]]:
    """Yield each C function with its lines; a definition opens and closes in the first column."""
    keywords = "typedef|struct|enum|union|extern"
    head = re.compile(rf"^(?!{keywords})[A-Za-z_][^;={{]*\)\s*\{{$", re.MULTILINE)
    for match in head.finditer(text):
        name = re.search(r"(\w+)\s*\(", match.group())
        body = text[match.start() :]
        end = re.search(r"^\}", body, re.MULTILINE)
        if name and end:
            yield name.group(1), body[: end.start()].count("\n") + 1


def test_the_reader_of_c_functions_finds_what_is_there() -> None:
    text = "static int a(int x) {\n  return x;\n}\n\nint b(int x,\n      int y) {\n  return 1;\n}\n"
    text += "int c(void);\nstatic const int d[] = {\n  1};\n"
    assert list(c_functions(text)) == [("a", 3), ("b", 4)]


@pytest.mark.parametrize("name", [name for name in C_CODE if "/kernels/" not in name])
def test_c_functions_outside_kernels_are_short(name: str) -> None:
    assert [(f, n) for f, n in c_functions(read(name)) if n > C_FUNCTION_LINES] == []


def floor_of(name: str) -> str:
    return name.removeprefix(NATIVE).split("/")[0]


@pytest.mark.parametrize("name", [name for name in C_CODE if name.startswith(NATIVE)])
def test_c_floors_only_look_down(name: str) -> None:
    floor = floor_of(name)
    homes = {Path(header).name: floor_of(header) for header in C_CODE if header.startswith(NATIVE)}
    for included in re.findall(r'^#include "([^"]+)"', read(name), re.MULTILINE):
        header = Path(included).name
        assert header in homes, f"{name} includes {included}, which is not in the tree"
        allowed = homes[header] in MAY_INCLUDE[floor] | {floor} or header in MAY_INCLUDE[floor]
        assert allowed, f"{name} includes {header} of the floor {homes[header]}"


def static_macros(source: str) -> set[str]:
    """Return the macros of a C source whose bodies define static functions, also by one another."""
    bodies = dict(re.findall(r"^#define (\w+)\(((?:.*\\\n)*.*)$", source, re.MULTILINE))
    found = {name for name, body in bodies.items() if re.search(r"\bstatic\b", body)}
    users = {name for name, body in bodies.items() if any(f"{one}(" in body for one in found)}
    return found | users


@pytest.mark.parametrize("isa", ["avx2", "avxvnni", "avx512vnni", "neon"])
def test_external_names_of_an_instruction_set_carry_its_name(isa: str) -> None:
    """The linker could keep the copy of a shared name that was compiled with these flags."""
    local = r"static|MX_INLINE|typedef|#|extern|struct|enum|\s|/|\*|\}|_Static"
    definition = re.compile(rf"^(?!{local})[^(=;]*?(\w+)\s*[({{=]")
    for name in C_SOURCES:
        if f"/kernels/{isa}/" not in name:
            continue
        source = read(name)
        macros = static_macros(source)
        for line in source.splitlines():
            found = definition.match(line)
            local_name = found is None or isa in line or line.split("(")[0] in macros
            assert local_name, f"{name}: {line}"


@pytest.mark.parametrize(
    "name", [name for name in C_CODE if name.startswith(NATIVE) and name.endswith(".h")]
)
def test_headers_say_what_they_are_and_are_guarded(name: str) -> None:
    text = read(name)
    assert text.startswith(f"/* {Path(name).name} - ")
    guard = re.search(r"^#ifndef (\w+)\n#define \1$", text, re.MULTILINE)
    assert guard or "included more than once" in text


@pytest.mark.parametrize("name", C_SOURCES)
def test_c_sources_never_print_or_abort(name: str) -> None:
    assert lines_matching(r"\b(printf|fprintf|puts|perror|abort|exit)\(", [name]) == []


@pytest.mark.parametrize("name", C_SOURCES)
def test_every_c_source_is_compiled(name: str) -> None:
    folder = Path(name).parent
    listed = (ROOT / folder / "meson.build").read_text(encoding="utf-8")
    assert f"'{Path(name).name}'" in listed


def without_underscore(part: str) -> str:
    return part.lstrip("_")


def test_file_of(name: str) -> str:
    """Return the test file of a module: the same path, private names without their underscore."""
    parts = [without_underscore(part) for part in Path(name).relative_to("maccel_aio").parts]
    return Path("tests", *parts[:-1], f"test_{parts[-1]}").as_posix()


test_file_of.__test__ = False  # type: ignore[attr-defined]


def has_code(name: str) -> bool:
    """Tell whether a module defines functions or classes, not only re-exports and tables."""
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for node in ast.parse(read(name)).body
    )


@pytest.mark.parametrize(
    "name", [name for name in PYTHON if name.startswith("maccel_aio/") and has_code(name)]
)
def test_every_module_has_its_test_file(name: str) -> None:
    assert {test_file_of(name), COVERED_BY.get(name)} & set(FILES)


def test_the_map_of_tests_has_no_line_too_many() -> None:
    own = {name: test_file_of(name) for name in PYTHON if name.startswith("maccel_aio/")}
    assert [name for name in COVERED_BY if name not in FILES] == []
    assert [name for name in COVERED_BY if own.get(name) in FILES] == []


@pytest.mark.parametrize("name", [n for n in C_SOURCES if floor_of(n) != "kernels"])
def test_every_c_source_has_its_test_program(name: str) -> None:
    """Kernels are tested by operation, on every instruction set, and not by file."""
    relative = Path(name.removeprefix(NATIVE))
    own = f"tests/native/{relative.parent}/test_{relative.name}"
    assert {own, COVERED_BY.get(name)} & set(FILES)


@pytest.mark.parametrize(
    "name", [n for n in FILES if n.startswith("tests/native/") and n.endswith(".c")]
)
def test_every_c_test_program_is_run(name: str) -> None:
    path = Path(name)
    listed = (ROOT / path.parent / "meson.build").read_text(encoding="utf-8")
    words = path.stem.split("_")
    # A list names the programs of a loop, so a name may lack the words that they share.
    names = {"_".join(words[first:]) for first in range(len(words))}
    assert any(f"'{name}'" in listed or f"'{name}.c'" in listed for name in names)


def test_skips_say_why() -> None:
    bare = [
        line
        for line in lines_matching(r"pytest\.mark\.(skip|xfail)|pytest\.skip\(", PYTHON)
        if re.search(r"mark\.skip\s*$|mark\.xfail\s*$|pytest\.skip\(\)", line)
    ]
    assert bare == []


def test_the_licence_is_apache_and_named_in_the_metadata() -> None:
    assert "Apache License" in read("LICENSE")
    project = tomllib.loads(read("pyproject.toml"))["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]


def test_the_version_is_the_same_in_both_build_files() -> None:
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert f"version: '{version}'" in read("meson.build")


def test_the_extras_that_users_rely_on_exist() -> None:
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    assert {"compiler", "zoo", "examples", "test", "dev", "all"} <= set(extras)


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    assert "## [Unreleased]" in read("CHANGELOG.md")


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    command = read(".ci/run").splitlines()[-1]
    assert command.startswith("pip install nox")
    assert command in read("README.md")


def test_every_lane_is_documented() -> None:
    lanes = re.findall(r"^@nox\.session\ndef (\w+)", read("noxfile.py"), re.MULTILINE)
    guide = read("CONTRIBUTING.md")
    assert [lane for lane in lanes if f"`{lane}`" not in guide] == []
