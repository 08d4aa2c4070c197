"""What other programs rely on: names, signatures, layouts, batches, devices, the environment."""

import inspect
import json
import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

import maccel_aio
import maccel_aio.sync
from tests import networks
from tests.networks import Builder

ROOT = Path(__file__).resolve().parent.parent
PIXELS = {"mean": 127, "std": 64, "channels": "RGB"}


def channels_last():
    """The classifier for an NHWC input: a Transpose leads to NCHW and one leads back."""
    b = Builder(5)
    planes = b.node("Transpose", "input", perm=[0, 3, 1, 2])
    image = b.node("Relu", b.conv(planes, (3, 5), 3))
    flat = b.node("Flatten", b.node("GlobalAveragePool", image))
    scores = b.node("Gemm", flat, b.weight(5, 7), b.weight(7))
    b.ends = (b.node("Transpose", image, perm=[0, 2, 3, 1]), scores)
    return b.model({"input": (1, 32, 32, 3)}, {"image": (1, 32, 32, 5), "scores": (1, 7)})


def channels_first():
    """The same network with an NCHW input and output."""
    b = Builder(5)
    image = b.node("Relu", b.conv("input", (3, 5), 3))
    flat = b.node("Flatten", b.node("GlobalAveragePool", image))
    b.ends = (image, b.node("Gemm", flat, b.weight(5, 7), b.weight(7)))
    return b.model({"input": (1, 3, 32, 32)}, {"image": (1, 5, 32, 32), "scores": (1, 7)})


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The two networks, compiled; the key is the layout of the ONNX input."""
    folder = tmp_path_factory.mktemp("promises")
    planes = networks.samples(8, seed=3)
    samples = {"NCHW": planes, "NHWC": np.ascontiguousarray(planes.transpose(0, 2, 3, 1))}
    for layout, network in (("NCHW", channels_first()), ("NHWC", channels_last())):
        maccel_aio.compile(network, folder / layout, calibration={"input": samples[layout]})
    return folder


# ---- extras and the program


def extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["optional-dependencies"], project


def test_all_is_everything_that_a_user_can_use():
    table, _ = extras()
    (everything,) = table["all"]
    named = everything.partition("[")[2].rstrip("]").split(",")
    assert set(named) >= {"compiler", "zoo", "examples"}
    assert {"test", "dev"} & set(named) == set()
    assert {"compiler", "zoo", "examples", "test", "dev", "all"} <= set(table)


def test_the_runtime_alone_needs_no_compiler():
    _, project = extras()
    needed = {d.split(">")[0].split("=")[0] for d in project["dependencies"]}
    assert needed == {"anyio", "cffi", "numpy"}
    assert project["scripts"]["maccel-aio"] == "maccel_aio.cli:main"
    assert project["requires-python"] == ">=3.11"


def test_importing_the_package_imports_no_extra():
    heavy = ["onnx", "onnxruntime", "onnxslim", "PIL", "av", "rich", "fastapi", "httpx", "trio"]
    code = f"import sys, maccel_aio.sync; print(sorted(set({heavy!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def test_the_version_is_that_of_the_installed_package():
    try:
        assert maccel_aio.__version__ == metadata.version("maccel-aio")
    except metadata.PackageNotFoundError:
        assert maccel_aio.__version__ == "0+unknown"


# ---- compile


def test_compile_has_the_promised_signature():
    parameters = inspect.signature(maccel_aio.compile).parameters
    assert list(parameters) == ["model", "out", "calibration", "options"]
    assert parameters["calibration"].default is None
    assert parameters["options"].kind is inspect.Parameter.VAR_KEYWORD


@pytest.mark.parametrize("model", ["path", "text", "proto"])
@pytest.mark.parametrize("calibration", ["arrays", "npz", "folder"])
def test_compile_takes_every_form_of_model_and_calibration(model, calibration, tmp_path):
    proto, samples = networks.classifier(), networks.samples(4)
    onnx.save(proto, tmp_path / "m.onnx")
    options = {}
    if calibration == "arrays":
        source = {"input": samples}
    elif calibration == "npz":
        source = tmp_path / "c.npz"
        np.savez(source, input=samples)
    else:
        source, options = tmp_path / "pictures", {"preprocess": PIXELS}
        source.mkdir()
        pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(source / "one.png")
    given = {"path": tmp_path / "m.onnx", "text": str(tmp_path / "m.onnx"), "proto": proto}[model]
    report = maccel_aio.compile(given, tmp_path / "m.mxq", calibration=source, **options)
    assert report.path == str(tmp_path / "m.mxq")
    assert report.samples >= 1
    assert report.file_bytes == (tmp_path / "m.mxq").stat().st_size
    assert "scores" in report.output_sqnr_device_db
    assert json.loads(json.dumps(report.to_json()))["layers"]


def test_the_same_compilation_gives_the_same_file(tmp_path):
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        maccel_aio.compile(
            networks.mixed(), folder / "m.mxq", calibration={"input": networks.samples(8)}
        )
    assert (tmp_path / "one/m.mxq").read_bytes() == (tmp_path / "two/m.mxq").read_bytes()


# ---- load


@pytest.mark.parametrize("load", [maccel_aio.load, maccel_aio.sync.load], ids=["async", "sync"])
def test_load_has_the_promised_signature(load):
    parameters = inspect.signature(load).parameters
    assert list(parameters) == ["path", "config", "accelerator"]
    assert parameters["config"].default is parameters["accelerator"].default is None
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters.values())


async def test_load_is_awaitable_and_an_async_context_manager(both):
    x = networks.samples(1)[0]
    async with maccel_aio.load(both / "NCHW") as model:
        inside = await model.infer(x)
    with pytest.raises(maccel_aio.ClosedError):
        await model.infer(x)
    model = await maccel_aio.load(str(both / "NCHW"), maccel_aio.ModelConfig(1))
    try:
        awaited = await model.infer(x)
    finally:
        await model.aclose()
    async with (
        maccel_aio.Accelerator("soft:0") as accelerator,
        maccel_aio.load(both / "NCHW", None, accelerator) as model,
    ):
        third = await model.infer([x])
    for other in (awaited, third):
        for one, two in zip(inside, other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_the_blocking_load_gives_the_same_model(both):
    x = networks.samples(1)[0]
    with maccel_aio.sync.load(both / "NCHW") as model:
        first = model.infer(x)
    with (
        maccel_aio.sync.Accelerator("soft:0") as accelerator,
        accelerator.load(both / "NCHW") as model,
    ):
        second = model.infer(x)
    with pytest.raises(maccel_aio.ClosedError):
        model.infer(x)
    assert [array.tobytes() for array in first] == [array.tobytes() for array in second]


# ---- arrays


@pytest.mark.parametrize("onnx_layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("hwc", [True, False], ids=["hwc", "chw"])
@pytest.mark.parametrize("batch", [None, 1, 3])
async def test_either_layout_fits_and_comes_back(both, onnx_layout, hwc, batch):
    planes = networks.samples(batch or 1, seed=8)
    x = planes.transpose(0, 2, 3, 1) if hwc else planes
    async with maccel_aio.load(both / onnx_layout) as model:
        image, scores = await model.infer(x if batch else x[0])
        one_by_one = [await model.infer(item) for item in x]
    lead = () if batch is None else (batch,)
    assert image.shape == lead + ((32, 32, 5) if hwc else (5, 32, 32))
    assert scores.shape == (*lead, 7)
    assert image.dtype == scores.dtype == np.float32
    together = (image, scores) if batch else (image[None], scores[None])
    for index, alone in enumerate(one_by_one):
        for whole, part in zip(together, alone, strict=True):
            np.testing.assert_array_equal(whole[index], part)


@pytest.mark.parametrize("onnx_layout", ["NCHW", "NHWC"])
async def test_both_layouts_agree_with_float(both, onnx_layout):
    proto = channels_first() if onnx_layout == "NCHW" else channels_last()
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    planes = networks.samples(1, seed=8)
    feed = planes if onnx_layout == "NCHW" else planes.transpose(0, 2, 3, 1)
    exact_image, exact_scores = session.run(None, {"input": np.ascontiguousarray(feed)})
    if onnx_layout == "NHWC":
        exact_image = exact_image.transpose(0, 3, 1, 2)
    async with maccel_aio.load(both / onnx_layout) as model:
        image, scores = await model.infer(planes)
    for exact, found in ((exact_image, image), (exact_scores, scores)):
        noise = np.square(exact - found).mean()
        assert noise < np.square(exact).mean() / 100, "below 20 dB"


async def test_the_outputs_are_in_the_order_of_the_model(both):
    async with maccel_aio.load(both / "NCHW") as model:
        assert [spec.name for spec in model.outputs] == ["image", "scores"]
        assert [spec.name for spec in model.inputs] == ["input"]
        assert model.inputs[0].shape == (1, 3, 32, 32)
        outputs = await model.infer(networks.samples(1)[0])
    assert isinstance(outputs, list)
    assert [array.ndim for array in outputs] == [3, 1]


# ---- devices and the environment


@pytest.mark.parametrize(
    ("name", "kind"),
    [("null", "null"), ("soft:0", "soft"), ("soft", "soft"), ("fault:soft:0?seed=1", "fault")],
)
def test_a_device_is_opened_by_its_promised_name(name, kind):
    with maccel_aio.sync.Accelerator(name) as accelerator:
        assert accelerator.info.kind == kind
        assert accelerator.info.workers >= 1
        assert accelerator.info.clusters == 2
        assert (accelerator.info.local_cores, accelerator.info.global_cores) == (4, 1)


@pytest.mark.parametrize(("arguments", "name"), [((0,), "soft:0"), (("soft", 1), "soft:1")])
def test_a_device_is_opened_by_number(arguments, name):
    with maccel_aio.sync.Accelerator(*arguments) as accelerator:
        assert accelerator.name == name


async def test_the_null_device_answers_every_model(both):
    async with (
        maccel_aio.Accelerator("null") as accelerator,
        maccel_aio.load(both / "NCHW", accelerator=accelerator) as model,
    ):
        outputs = await model.infer(networks.samples(1)[0])
    assert [array.shape for array in outputs] == [(5, 32, 32), (7,)]


async def test_the_fault_device_fails_as_it_is_told(both):
    async with (
        maccel_aio.Accelerator("fault:soft:0?fail_every=1") as accelerator,
        maccel_aio.load(both / "NCHW", accelerator=accelerator) as model,
    ):
        with pytest.raises(maccel_aio.InferenceError):
            await model.infer(networks.samples(1)[0])


def devices(**environment):
    done = subprocess.run(
        [sys.executable, "-m", "maccel_aio.cli", "devices", "--json"],
        capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, **environment},
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.parametrize("level", ["scalar", "avx2"])
def test_the_instruction_set_can_be_lowered(level):
    found = devices(MACCEL_ISA=level)
    ladder = ["scalar", "avx2", "avxvnni", "avx512vnni"]
    best = found["detected_isa"]
    assert best in (*ladder, "neon", "neondot", "neoni8mm")
    if best in ladder:
        assert found["isa"] == min(level, best, key=ladder.index)


def test_the_instruction_set_is_never_raised():
    found = devices(MACCEL_ISA="avx512vnni")
    assert found["isa"] == found["detected_isa"]


def test_threads_bound_the_cores_that_run_at_a_time():
    (one,) = devices(MACCEL_THREADS="1")["devices"]
    (most,) = devices(MACCEL_THREADS="100000")["devices"]
    assert one["workers"] == 1
    assert most["workers"] == min(os.cpu_count() or 1, len(os.sched_getaffinity(0)), 10)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [("MACCEL_ISA", "mmx", "scalar, avx2"), ("MACCEL_THREADS", "abc", "whole numbers from 1")],
)
def test_nonsense_in_the_environment_is_refused_when_a_device_is_opened(name, value, allowed):
    done = subprocess.run(
        [sys.executable, "-m", "maccel_aio.cli", "devices"],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, name: value},
    )  # fmt: skip
    assert done.returncode != 0
    assert f'{name} is "{value}"; allowed are {allowed}' in done.stdout + done.stderr


@pytest.mark.parametrize("face", ["async", "sync"])
def test_an_unknown_instruction_set_is_an_error_when_a_model_is_loaded(both, face):
    call = {
        "async": "import anyio\nasync def main():\n    await m.load(p)\nanyio.run(main)",
        "sync": "import maccel_aio.sync as s\ns.load(p)",
    }[face]
    code = f"import maccel_aio as m\np = {str(both / 'NCHW')!r}\n{call}\n"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "MACCEL_ISA": "mmx"},
    )  # fmt: skip
    assert done.returncode == 1
    assert 'MACCEL_ISA is "mmx"; allowed are scalar, avx2' in done.stderr.splitlines()[-1]
