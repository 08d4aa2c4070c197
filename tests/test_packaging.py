"""What is built from a checkout: the wheel's contents, its extension, and the way over an sdist."""

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("mesonpy", reason="meson-python is not installed: nothing can be built")
if shutil.which("ninja") is None or shutil.which("meson") is None:
    pytest.skip(
        "meson and ninja are not on the path: nothing can be built", allow_module_level=True
    )

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.timeout(900)

BUILD = """
import json, sys
import mesonpy
hook, folder, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
print(getattr(mesonpy, hook)(folder, settings))
"""
# -S keeps out the import hook of an editable installation, which would answer for the checkout.
OUTSIDE = "import sys; sys.path[:0] = sys.argv[1:]; "


def build(hook: str, source: Path, target: Path, settings: str = "{}") -> Path:
    """Run one build hook of ``source`` in a process of its own; return what it made."""
    command = [sys.executable, "-c", BUILD, hook, str(target), settings]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return target / done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("build_wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / ".git").exists():
        pytest.skip("an sdist is made from a git checkout, and this is none")
    return build("build_sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def stable_abi_wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stable-ABI wheel, built from the sdist outside of the checkout; unoptimised, for time."""
    folder = tmp_path_factory.mktemp("from-sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    settings = '{"setup-args": ["-Dpython.allow_limited_api=true", "-Doptimization=0"]}'
    return build("build_wheel", next(folder.iterdir()), folder, settings)


@pytest.fixture
def run_outside(tmp_path: Path) -> Callable[[Path, str], str]:
    """Run code against an unpacked wheel, in a folder that is not the checkout."""

    def run(package: Path, code: str) -> str:
        site = sysconfig.get_path("platlib")
        command = [sys.executable, "-S", "-c", OUTSIDE + code, str(package), site]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_the_package_its_extension_and_metadata(wheel: Path) -> None:
    package = [name for name in names(wheel) if ".dist-info/" not in name]
    other = [n for n in package if not n.endswith((".py", ".pyi", ".so", "py.typed"))]
    assert other == []
    assert all(name.startswith("maccel_aio/") for name in package)
    assert [n for n in package if n.endswith(".so")] == [
        f"maccel_aio/_maccel_cffi{sysconfig.get_config_var('EXT_SUFFIX')}"
    ]
    assert "maccel_aio/py.typed" in package
    assert "maccel_aio/_maccel_cffi.pyi" in package


def test_the_wheel_holds_every_module_of_the_checkout(wheel: Path) -> None:
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "maccel_aio").rglob("*.py")}
    assert modules <= set(names(wheel))


def test_the_wheel_holds_no_c_sources_and_no_byte_code(wheel: Path) -> None:
    assert [n for n in names(wheel) if "_native" in n or "__pycache__" in n] == []


def test_the_wheel_carries_the_licence_and_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = next(n for n in archive.namelist() if n.endswith("entry_points.txt"))
        assert "maccel-aio = maccel_aio.cli:main" in archive.read(info).decode().splitlines()
        licence = next(n for n in archive.namelist() if n.endswith("licenses/LICENSE"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()


def test_the_extension_exports_its_init_function_only(unpacked: Path) -> None:
    if shutil.which("nm") is None:
        pytest.skip("nm (binutils) is not installed")
    extension = next((unpacked / "maccel_aio").glob("_maccel_cffi*.so"))
    command = ["nm", "-D", "--defined-only", "--format=posix", str(extension)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    symbols = [line.split()[0] for line in listed.stdout.splitlines()]
    assert symbols == ["PyInit__maccel_cffi"]


def test_the_wheel_works_outside_of_the_checkout(
    unpacked: Path, run_outside: Callable[[Path, str], str]
) -> None:
    code = "import maccel_aio, maccel_aio.sync as s; print(maccel_aio.__file__, s.__file__)"
    for place in run_outside(unpacked, code).split():
        assert place.startswith(str(unpacked))


def test_the_runtime_never_imports_the_compiler(
    unpacked: Path, run_outside: Callable[[Path, str], str]
) -> None:
    code = "import maccel_aio, maccel_aio.sync; print(*sorted(sys.modules))"
    loaded = run_outside(unpacked, code).split()
    heavy = {
        "onnx",
        "onnxruntime",
        "onnxslim",
        "PIL",
        "rich",
        "maccel_aio.compiler",
        "maccel_aio.zoo",
    }
    assert heavy.isdisjoint(loaded)


def test_the_sdist_holds_all_that_a_build_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {
        "build_ffi.py",
        "meson.build",
        "meson.options",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "maccel_aio/_native/include/maccel.h",
        "tests/native/meson.build",
        "tools/leftovers.py",
    } <= held


def test_the_stable_abi_wheel_from_an_sdist_works(
    stable_abi_wheel: Path, tmp_path: Path, run_outside: Callable[[Path, str], str]
) -> None:
    assert "-cp311-abi3-" in stable_abi_wheel.name
    assert "maccel_aio/_maccel_cffi.abi3.so" in names(stable_abi_wheel)
    package = tmp_path / "abi3"
    with zipfile.ZipFile(stable_abi_wheel) as archive:
        archive.extractall(package)
    assert run_outside(package, "import maccel_aio.sync as s; print(s.__file__)").startswith(
        str(package)
    )
