"""Every example runs as its docstring says, and is short."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

import maccel_aio
from maccel_aio import zoo
from maccel_aio.cli._video import VideoReader

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.py"))

models = [pytest.mark.models, pytest.mark.timeout(300)]


def example(name, *arguments):
    """Run an example in a process of its own and return what it prints."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_is_an_example_for_every_kind_of_user():
    assert [
        *("cameras.py", "chain_on_device.py", "classic_sync.py", "classify.py", "detect_faces.py"),
        *("detect_then_classify.py", "ocr.py", "test_my_handler.py", "video_pipeline.py"),
        "web_handler.py",
    ] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_and_says_how_to_run_it(name):
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert text.count("\n") < 80
    assert f"examples/{name}" in text or "--app-dir examples web_handler:app" in text


@pytest.mark.parametrize("name", NAMES)
def test_an_example_uses_only_public_names(name):
    for node in ast.walk(ast.parse((EXAMPLES / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            names = [node.attr]
        else:
            continue
        private = [n for n in names if any(part.startswith("_") for part in n.split("."))]
        assert private == [], f"{name}:{node.lineno}"


@pytest.mark.parametrize("name", [n for n in NAMES if "handler" not in n])
def test_an_example_that_is_asked_for_help_says_what_it_takes(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = example(name, "--help")
    assert "usage:" in out
    assert ast.get_docstring(ast.parse((EXAMPLES / name).read_text(encoding="utf-8"))) in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.models
@pytest.mark.timeout(300)
def test_classify(zoo_model):
    photos = sorted(zoo.get("photos").iterdir())[:3]
    out = example("classify.py", zoo_model("efficientnet_lite0"), *photos)
    assert all(str(photo) in out for photo in photos)
    assert len(out.splitlines()) == 3 * 6
    assert "Bullmastiff" in out
    assert "%" in out


@pytest.mark.models
@pytest.mark.timeout(300)
def test_ocr(tmp_path):
    from PIL import ImageDraw, ImageFont

    picture = tmp_path / "sign.png"
    image = Image.new("RGB", (400, 300), (250, 250, 245))
    draw = ImageDraw.Draw(image)
    draw.text((30, 120), "WINDOW SEAT 42", fill=(20, 20, 20), font=ImageFont.load_default(34))
    image.save(picture)
    out = example("ocr.py", tmp_path, picture)
    assert "WINDOW" in out.splitlines()[0]
    assert "1 pictures in" in out
    with Image.open(tmp_path / "sign-read.png") as read:
        assert read.size == image.size
        assert read.tobytes() != image.tobytes()


@pytest.mark.models
@pytest.mark.timeout(300)
def test_detect_faces(zoo_model, tmp_path):
    target = tmp_path / "faces.png"
    picture = zoo.get("astronaut")
    out = example("detect_faces.py", zoo_model("centerface", (512, 512)), picture, target)
    assert len(out.splitlines()) == 1
    assert float(out.split()[0]) > 0.85
    with Image.open(target) as drawn:
        assert drawn.size == (512, 512)


@pytest.mark.models
@pytest.mark.timeout(300)
def test_video_pipeline(zoo_model, tmp_path):
    target = tmp_path / "annotated.mp4"
    model = zoo_model("centerface", (288, 352))
    out = example("video_pipeline.py", model, zoo.get("carphone"), target)
    assert out.startswith("120 frames, ")
    with VideoReader(target) as video:
        assert len(list(video)) == 120


@pytest.mark.models
@pytest.mark.timeout(300)
def test_classic_sync(zoo_model):
    photos = sorted(zoo.get("photos").iterdir())[:2]
    out = example("classic_sync.py", zoo_model("efficientnet_lite0"), *photos)
    lines = out.splitlines()
    assert [line.rpartition(": ")[0] for line in lines] == [str(photo) for photo in photos]
    assert [line.rpartition(": ")[2] for line in lines] == ["Bullmastiff", "folding chair"]


@pytest.mark.models
@pytest.mark.timeout(300)
def test_cameras(zoo_model):
    video = zoo.get("carphone")
    out = example("cameras.py", zoo_model("centerface", (288, 352)), video, video)
    lines = out.splitlines()
    assert len(lines) == 2
    for line in lines:
        delivered, dropped = (
            int(part.split()[0]) for part in line.rpartition(": ")[2].split(", ")[:2]
        )
        assert delivered + dropped == 120
        assert delivered > 0


@pytest.mark.models
@pytest.mark.timeout(300)
def test_detect_then_classify(zoo_model):
    detector = zoo_model("centerface", (512, 512))
    classifier = zoo_model("efficientnet_lite0")
    out = example("detect_then_classify.py", detector, classifier, zoo.get("astronaut"))
    assert len(out.splitlines()) == 1
    assert float(out.split()[0]) > 0.85


@pytest.mark.models
@pytest.mark.timeout(300)
async def test_chain_on_device(zoo_model, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    module = importlib.import_module("chain_on_device")
    first, second = tmp_path / "faceless.mxq", zoo_model("efficientnet_lite0")
    out = example("chain_on_device.py", first, second, zoo.get("astronaut"))
    assert out.startswith("without faces: ")
    with Image.open(zoo.get("astronaut")) as image:
        pixels = np.asarray(image.convert("RGB").resize((module.SIDE, module.SIDE)))
    async with maccel_aio.Accelerator() as acc, acc.load(first) as hide, acc.load(second) as name:
        job = hide.try_submit(pixels)
        chained = await name.try_submit(job)  # try_submit refuses what the device cannot follow
        (hidden,) = await job
        np.testing.assert_array_equal(chained[0], (await name.infer(hidden))[0])
    assert hidden.shape == (224, 224, 3)
    assert hidden[30:70, 80:120].max() < 2  # the face
    halves = pixels.reshape(224, 2, 224, 2, 3).mean((1, 3))
    np.testing.assert_allclose(hidden[:, 150:], halves[:, 150:], atol=3)  # no face there


def test_the_tests_of_a_handler_pass():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "examples/test_my_handler.py"],
        capture_output=True, text=True, check=False, cwd=EXAMPLES.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


@pytest.fixture
async def client(zoo_model, monkeypatch):
    """A client of the web service, which runs in this process."""
    from examples import web_handler

    monkeypatch.setenv("MODEL", str(zoo_model("efficientnet_lite0")))
    async with (
        web_handler.lifespan(web_handler.app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(web_handler.app), base_url="http://test"
        ) as made,
    ):
        yield made


@pytest.mark.models
@pytest.mark.timeout(300)
async def test_web_handler_answers_many_at_a_time(client):
    photos = sorted(zoo.get("photos").iterdir())[:6]
    answers = {}

    async def ask(photo):
        answers[photo] = await client.post("/classify", content=photo.read_bytes())

    import anyio

    async with anyio.create_task_group() as tasks:
        for photo in photos:
            tasks.start_soon(ask, photo)
    assert {answer.status_code for answer in answers.values()} == {200}
    first = answers[photos[0]].json()
    assert first[0]["label"] == "Bullmastiff"
    assert len(first) == 5
    assert [entry["logit"] for entry in first] == sorted(
        (entry["logit"] for entry in first), reverse=True
    )


@pytest.mark.models
@pytest.mark.timeout(300)
async def test_web_handler_refuses_what_is_no_picture(client):
    answer = await client.post("/classify", content=b"text")
    assert answer.status_code == 415
    assert answer.json() == {"detail": "the body is not a picture"}


@pytest.mark.models
@pytest.mark.timeout(300)
async def test_web_handler_forgets_a_client_that_went_away(client, monkeypatch):
    import anyio

    from examples import web_handler

    ends, answers = [], []

    async def hang(*_args, **_options):
        try:
            await anyio.sleep(60)
        finally:
            ends.append("cancelled")

    monkeypatch.setattr(web_handler.app.state.model, "infer", hang)
    photo = next(zoo.get("photos").iterdir())
    messages = [{"type": "http.request", "body": photo.read_bytes(), "more_body": False}]

    async def receive():
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message):
        answers.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/classify", "headers": [], "query_string": b"",
        "http_version": "1.1", "asgi": {"version": "3.0"}, "scheme": "http", "root_path": "",
    }  # fmt: skip
    with anyio.fail_after(30):
        await web_handler.app(scope, receive, send)
    assert ends == ["cancelled"]
    assert answers[0]["status"] == 503


@pytest.mark.models
@pytest.mark.timeout(300)
async def test_web_handler_says_when_it_is_busy(client, monkeypatch):
    from examples import web_handler

    async def full(*_args, **_options):
        raise maccel_aio.QueueFullError("the queue is full")

    monkeypatch.setattr(web_handler.app.state.model, "infer", full)
    photo = next(zoo.get("photos").iterdir())
    answer = await client.post("/classify", content=photo.read_bytes())
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
