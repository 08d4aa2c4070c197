"""Type checkers understand every public name of both packages, strictly: ``nox -s typing``."""

import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from maccel_aio.compat import maccel, qbruntime

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
#: Names that clients reach although no ``__all__`` has them.
BESIDE = (
    "Future", "CacheInfo", "CacheType", "get_model_summary", "BatchParam", "DataType",
    "get_available_devices", "get_available_device_numbers",
)  # fmt: skip
CLIENT = """\
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

from maccel_aio.compat import maccel, qbruntime
from maccel_aio.compat.qbruntime.type import Cluster, Core, CoreId

Array = NDArray[Any]


def new(path: str, frames: list[Array]) -> list[Array]:
    config = qbruntime.ModelConfig()
    assert_type(config.set_single_core_mode(None, [CoreId(Cluster.Cluster0, Core.Core0)]), bool)
    model = qbruntime.Model(path, config)
    model.launch(qbruntime.Accelerator(0))
    assert_type(model.get_core_mode(), qbruntime.CoreMode)
    assert_type(model.get_target_cores(), list[qbruntime.CoreId])
    assert_type(model.get_model_input_shape(), list[tuple[int, ...]])
    assert_type(model.get_input_scale()[0][0], float)
    assert_type(model.get_cache_infos(), list[qbruntime.CacheInfo])
    assert_type(model.get_cache_infos()[0].cache_type, qbruntime.CacheType)
    assert_type(model.dump_cache_memory(1), list[bytes])
    assert_type(model.filter_cache_tail(10, 2, [True, False]), int)
    futures = [model.infer_async(frame) for frame in frames]
    made: list[Array] = []
    for future in futures:
        assert_type(future.wait_for(0), bool)
        made += future.get()
    params = [qbruntime.BatchParam(1, 0, 0)]
    outputs = model.infer([np.zeros((1, 1, 8), np.float32)], None, 0, params)
    made += outputs or []
    model.dispose()
    return made


def old(path: str, frame: Array) -> str:
    config = maccel.ModelConfig()
    config.include(maccel.Cluster.Cluster1, maccel.Core.Core3)
    assert_type(config.schedule_policy, maccel.SchedulePolicy)
    model = maccel.load(path, config)
    assert_type(model.get_schedule_policy(), maccel.SchedulePolicy)
    model.reset_cache_memory()
    try:
        print(model.infer(frame), model.infer_chw(frame), model.infer_to_float([frame]))
    except maccel.MAccelError as problem:
        print(problem.code, problem.reason)
    maccel.set_log_level(maccel.LogLevel.ERR)
    return maccel.get_model_summary(path)
"""


def every_name() -> str:
    """Return a program that reads every public name and member."""
    lines = ["from maccel_aio.compat import maccel, qbruntime"]
    packages: tuple[ModuleType, ...] = (maccel, qbruntime)
    for package in packages:
        short = package.__name__.rpartition(".")[2]
        names = {*package.__all__, *(name for name in BESIDE if hasattr(package, name))}
        for name in sorted(names):
            value = getattr(package, name)
            members = [m for m in dir(value) if m[0] != "_"] if inspect.isclass(value) else []
            lines.append(f"print({short}.{name})")
            lines += [f"print({short}.{name}.{member})" for member in members]
    assert len(lines) > 300
    return "\n".join([*lines, ""])


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    (tmp_path / "client.py").write_text(CLIENT)
    (tmp_path / "every_name.py").write_text(every_name())
    settings = {
        "include": ["*.py"], "typeCheckingMode": "strict", "extraPaths": [str(ROOT)],
        "pythonVersion": f"{sys.version_info[0]}.{sys.version_info[1]}",
    }  # fmt: skip
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    return tmp_path


def check(command: list[str], cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_mypy(programs: Path) -> None:
    pytest.importorskip("mypy", reason="nox -s typing")
    cache = str(ROOT / ".mypy_cache" / "clients")
    command = ["mypy", "--strict", "--config-file=", f"--cache-dir={cache}", "."]
    check([sys.executable, "-m", *command], programs)


@pytest.mark.timeout(300)
def test_pyright(programs: Path) -> None:
    pyright = shutil.which("pyright")
    if pyright is None:
        pytest.skip("pyright is not installed: nox -s typing")
    check([pyright, "--pythonpath", sys.executable], programs)
