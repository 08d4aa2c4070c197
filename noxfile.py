"""The lanes of this project: ``nox -s NAME``, ``nox -l`` lists them.

Every lane makes its own environment and its own build folder, so no lane sees
another's binaries. Arguments after ``--`` go to the tool of the lane, for example
``nox -s tests -- -k stream``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2024.3.2"
nox.options.sessions = ["native", "tests"]
nox.options.error_on_external_run = True

ROOT = Path(__file__).parent
FUZZ_FOLDER = "tests/native/fuzz"
BUILD_TOOLS = ("meson-python>=0.18", "meson>=1.3", "ninja", "cffi>=2.1")
ASAN = ("-Db_sanitize=address,undefined", "-Db_lundef=false")
TSAN = ("-Db_sanitize=thread", "-Db_lundef=false")
SANITIZER_ENV = {
    "ASAN_OPTIONS": "abort_on_error=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
#: What runs under a sanitized extension: it crosses the binding and needs no other native library.
ASAN_TESTS = ("tests/core", "tests/test_sync.py", "tests/test_model_errors.py")


def build_folder(session: nox.Session, name: str) -> str:
    """Return an empty or reusable meson build folder of this lane."""
    return str(Path(session.create_tmp()).resolve() / name)


def compile_native(session: nox.Session, *options: str, env: dict[str, str] | None = None) -> str:
    """Configure and compile everything native with the given meson options; return the folder."""
    session.install(*BUILD_TOOLS)
    build = build_folder(session, "native")
    reuse = ("--reconfigure",) if Path(build, "build.ninja").exists() else ()
    setup = ("meson", "setup", build, str(ROOT), "-Dnative_tests=true", *reuse, *options)
    session.run(*setup, env=env)
    session.run("meson", "compile", "-C", build)
    return build


def run_native(session: nox.Session, *options: str, env: dict[str, str] | None = None) -> None:
    """Run the C test programs, compiled with the given meson options."""
    build = compile_native(session, *options)
    # Sanitizers slow a program down several times over.
    patience = ("--timeout-multiplier", "10" if env else "3")
    session.run(
        "meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs", *patience, env=env
    )


def install_editable(session: nox.Session, extra: str, *options: str) -> None:
    """Install the checkout with ``extra``; the extension lives in this lane's build folder."""
    session.install(*BUILD_TOOLS)
    settings = [f"-Csetup-args={option}" for option in options]
    settings.append(f"-Cbuild-dir={build_folder(session, 'build')}")
    session.install("--no-build-isolation", "-e", f".[{extra}]", *settings)


@nox.session
def native(session: nox.Session) -> None:
    """C test programs, one per source file."""
    run_native(session, "-Dwerror=true")


@nox.session
def tests(session: nox.Session) -> None:
    """The Python test suite, in two processes; ``-- -n 0`` for one."""
    install_editable(session, "test")
    # A file stays in one process: what its tests share, such as a built wheel, is made once.
    session.run("pytest", "-n", "2", "--dist", "loadfile", *session.posargs)


@nox.session(python="3.11")
def vendor(session: nox.Session) -> None:
    """The classic packages beside the vendor's own: what works without a device is the same."""
    install_editable(session, "test")
    session.install("--no-deps", "maccel==0.30.1", "mobilint-qb-runtime==1.5.0")
    session.run("pytest", "tests/compat", *session.posargs)


#: Repositories with programs written for the vendor's packages, and what these programs import.
CLIENTS = (
    "mobilint/mblt-sdk-tutorial", "mobilint/regulus-npu-demo-qbruntime",
    "saikhu/yolo_mobilint_runtime", "jungseoik/AX_NPU",
)  # fmt: skip
CLIENT_IMPORTS = ("torch", "torchvision", "transformers<5", "opencv-python-headless", "pillow")


@nox.session
def clients(session: nox.Session) -> None:
    """Public programs written for the vendor's packages, unmodified; fetched here, kept nowhere.

    MACCEL_CLIENTS names a folder with bare clones, ``owner+name.git``, to use instead.
    """
    install_editable(session, "test")
    session.install(*CLIENT_IMPORTS)
    folder = Path(os.environ.get("MACCEL_CLIENTS") or Path(session.create_tmp()).resolve())
    for repository in CLIENTS:
        clone = folder / f"{repository.replace('/', '+')}.git"
        if not clone.exists():
            source = f"https://github.com/{repository}.git"
            command = ("git", "clone", "--bare", "--depth", "1", source, str(clone))
            session.run(*command, external=True)
    session.run("pytest", "tests/clients", *session.posargs, env={"MACCEL_CLIENTS": str(folder)})


@nox.session
def conformance(session: nox.Session) -> None:
    """Every operator case of the installed onnx, compiled in float, beside onnxruntime."""
    install_editable(session, "test")
    session.run("python", "-m", "tests.conformance", *session.posargs)


@nox.session
def asan(session: nox.Session) -> None:
    """C test programs and the core of the Python suite under AddressSanitizer and UBSan."""
    options = f"{SANITIZER_ENV['ASAN_OPTIONS']}:detect_stack_use_after_return={fake_stacks()}"
    run_native(session, *ASAN, env={**SANITIZER_ENV, "ASAN_OPTIONS": options})
    install_editable(session, "test", *ASAN)
    libraries = [preload("libasan.so"), preload("libubsan.so")]
    env = {
        **SANITIZER_ENV,
        "LD_PRELOAD": " ".join(libraries),
        # CPython keeps memory until exit: leaks are the business of the C programs above.
        "ASAN_OPTIONS": f"detect_leaks=0:{options}",
        "PYTHONMALLOC": "malloc",
    }
    present = [path for path in ASAN_TESTS if (ROOT / path).exists()]
    # Not captured: what a sanitizer prints before it aborts must be seen.
    session.run("pytest", "--capture=no", "--timeout=300", *present, env=env)


@nox.session
def mutants(session: nox.Session) -> None:
    """Break the C sources on purpose, one change at a time: the C tests must notice each."""
    session.install(*BUILD_TOOLS)
    session.run("python", "tools/mutants.py", build_folder(session, "copy"), *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Use everything in random order, ``nox -s soak -- SECONDS``: no loss, no hang, no leak."""
    install_editable(session, "test")
    session.run("python", "benchmarks/soak.py", *session.posargs)


@nox.session
def tsan(session: nox.Session) -> None:
    """C test programs under ThreadSanitizer."""
    run_native(session, *TSAN, env=SANITIZER_ENV)


@nox.session
def neon(session: nox.Session) -> None:
    """C tests of the kernels for 64-bit Arm, cross-compiled and run in an emulator."""
    for tool in ("aarch64-linux-gnu-gcc", "qemu-aarch64"):
        if shutil.which(tool) is None:
            session.skip(f"{tool} is not installed")
    session.install(*BUILD_TOOLS)
    build = build_folder(session, "neon")
    reuse = ("--reconfigure",) if Path(build, "build.ninja").exists() else ()
    cross = ("--cross-file", str(ROOT / "tests/native/aarch64.ini"))
    session.run("meson", "setup", build, str(ROOT), "-Dnative_tests=true", *cross, *reuse)
    programs = ("test_vector_conv", "test_select")
    session.run("meson", "compile", "-C", build, *programs)
    for cpu in ("max", "neoverse-n1", "cortex-a57"):
        for program in programs:
            path = f"{build}/tests/native/kernels/{program}"
            session.run("qemu-aarch64", "-cpu", cpu, path, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Style of Python and C, and the floors of the Python package."""
    session.install("ruff>=0.12", "import-linter>=2.3", "clang-format>=18,<24")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("clang-format", "--dry-run", "-Werror", *tracked("*.c", "*.h"))
    session.run("lint-imports", env={"PYTHONPATH": str(ROOT)})


@nox.session
def typing(session: nox.Session) -> None:
    """Type check: mypy --strict on everything, and pyright on what clients of compat write."""
    install_editable(session, "dev")
    session.run("mypy", *session.posargs)
    session.install("pyright")
    session.run("pytest", "tests/compat/test_typing.py")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, with every warning and every dangling reference an error."""
    install_editable(session, "dev")
    site = ("docs", "docs/_build/html")
    session.run("sphinx-build", "-n", "-W", "--keep-going", "-b", "html", *site)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz the readers of model files with libFuzzer: ``nox -s fuzz -- SECONDS`` (default 60)."""
    seconds = session.posargs[0] if session.posargs else "60"
    env = {"CC": find_clang(session)}
    build = Path(compile_native(session, "-Dfuzzers=true", *ASAN, env=env))
    limits = (f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048")
    for source in sorted((ROOT / FUZZ_FOLDER).glob("fuzz_*.c")):
        found = Path(session.create_tmp(), f"found-{source.stem}").resolve()
        found.mkdir(exist_ok=True)
        seeds = source.parent / "corpus" / source.stem.removeprefix("fuzz_")
        target = str(build / FUZZ_FOLDER / source.stem)
        folders = (f"-artifact_prefix={found}/", str(found), str(seeds))
        session.run(target, *limits, *folders, env=SANITIZER_ENV, external=True)


@nox.session
def wheel(session: nox.Session) -> None:
    """An abi3 wheel and an sdist in dist/."""
    session.install("build")
    build = ("python", "-m", "build", "--outdir", "dist")
    session.run(*build, "--sdist")
    session.run(*build, "--wheel", "-Csetup-args=-Dpython.allow_limited_api=true")


def preload(library: str) -> str:
    """Return the path of a sanitizer runtime of the C compiler."""
    compiler = os.environ.get("CC", "cc")
    return subprocess.check_output([compiler, f"-print-file-name={library}"], text=True).strip()


def fake_stacks() -> int:
    """Return whether the compiler's AddressSanitizer can look for uses of stacks that are gone.

    gcc before 14 aligns the frames that this makes to 32 bytes and stores 64 to them (its bug
    110027): every function with AVX-512 and such a local crashes, whatever it does.
    """
    compiler = os.environ.get("CC", "cc")
    macros = subprocess.check_output([compiler, "-dM", "-E", "-x", "c", os.devnull], text=True)
    known = dict(line.split(" ", 2)[1:] for line in macros.splitlines() if line.count(" ") >= 2)
    return int("__clang__" in known or int(known["__GNUC__"]) >= 14)


def tracked(*patterns: str) -> list[str]:
    """Return the files under version control that match ``patterns``."""
    return subprocess.check_output(["git", "ls-files", *patterns], cwd=ROOT, text=True).split()


def find_clang(session: nox.Session) -> str:
    """Return a clang that has libFuzzer, or skip the lane."""
    names = ("clang", *(f"clang-{version}" for version in range(22, 13, -1)))
    found = next(filter(shutil.which, names), None)
    if found is None:
        session.skip("clang is not installed")
    return found
