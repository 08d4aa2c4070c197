"""``maccel-aio demo``: real models on real pictures and a real video, from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from maccel_aio.cli._console import Column, bar_text, size_text
from maccel_aio.cli.zoo import compile_with_progress, fetch

if TYPE_CHECKING:
    import argparse

    from maccel_aio import Accelerator
    from maccel_aio.cli._console import Cell, Console
    from maccel_aio.cli._demo_pictures import Guess
    from maccel_aio.cli._demo_video import VideoReport

_ENTRIES = (
    "efficientnet_lite0",
    "centerface",
    "photos",
    "astronaut",
    "carphone",
    "imagenet_labels",
)
_PICTURE, _VIDEO = (512, 512), (288, 352)
"""Heights and widths of the two face detectors: a .mxq file has one shape."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the program's parser."""
    parser = commands.add_parser(
        "demo",
        help="fetch, compile and run real models: start here",
        description="Fetches an image classifier, a face detector, photos and a video; compiles "
        "the models for the NPU; classifies the photos, finds the faces, annotates the video.",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("out"), help="folder for the results (out)"
    )
    parser.add_argument("--device", default="auto", help="as for Accelerator (default: auto)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, console: Console) -> int:
    folder: Path = args.output
    folder.mkdir(parents=True, exist_ok=True)
    console.heading("fetch")
    paths = {name: fetch(name, console) for name in _ENTRIES}
    console.line(f"  {len(paths)} entries of the zoo are here", "dim")
    console.heading("compile")
    models = {
        "classifier": folder / "efficientnet_lite0.mxq",
        "faces": folder / "centerface-512x512.mxq",
        "video": folder / "centerface-288x352.mxq",
    }
    compile_with_progress("efficientnet_lite0", models["classifier"], None, console)
    compile_with_progress("centerface", models["faces"], _PICTURE, console)
    compile_with_progress("centerface", models["video"], _VIDEO, console)
    plain = anyio.run(_show_all, args.device, paths, models, folder, console)
    console.line()
    console.line(f"  results are in {folder}/", "good")
    console.result(plain)
    return 0


async def _show_all(
    device: str, paths: dict[str, Path], models: dict[str, Path], folder: Path, console: Console
) -> dict[str, Any]:
    import maccel_aio

    async with maccel_aio.Accelerator(device) as accelerator:
        photos = await _photos(accelerator, models["classifier"], paths["photos"], folder, console)
        faces = await _faces(accelerator, models["faces"], paths["astronaut"], folder, console)
        video = await _video(accelerator, models["video"], paths["carphone"], folder, console)
    return {"photos": photos, "faces": faces, "video": video}


async def _photos(
    accelerator: Accelerator, path: Path, folder: Path, out: Path, console: Console
) -> dict[str, Any]:
    import maccel_aio
    from maccel_aio.cli import _demo_pictures

    labels = await anyio.to_thread.run_sync(_demo_pictures.read_labels)
    console.heading("classify photos")
    async with maccel_aio.load(path, accelerator=accelerator) as model:
        photos = await anyio.to_thread.run_sync(lambda: sorted(folder.iterdir()))
        with console.progress("await model.infer(photo)", len(photos)) as task:
            guesses = await _demo_pictures.classify_photos(model, photos, task.update)
    show_guesses(console, guesses, labels)
    sheet = out / "photos.png"
    await anyio.to_thread.run_sync(_demo_pictures.draw_sheet, guesses, labels, sheet)
    right = sum(guess.is_right for guess in guesses)
    console.line(f"  {right} of {len(guesses)} right at the first guess; wrote {sheet}", "good")
    return {
        "right": right,
        "photos": [
            {"file": guess.photo.name, "truth": guess.truth, "top": guess.top} for guess in guesses
        ],
        "picture": str(sheet),
    }


def show_guesses(console: Console, guesses: list[Guess], labels: list[str]) -> None:
    """Print the five best classes of every photo beside the true one."""
    rows: list[list[Cell]] = []
    for guess in guesses:
        mark: Cell = ("✓", "good") if guess.is_right else ("✗", "bad")
        names = [_guess_text(short_name(labels[number]), share) for number, share in guess.top]
        rows.append([mark, (short_name(labels[guess.truth]), "accent"), ", ".join(names)])
    console.table([Column(""), Column("photo of"), Column("the five best guesses")], rows)


def _guess_text(name: str, share: float) -> str:
    return f"{name} {share:.0%}" if share >= 0.005 else name


def short_name(label: str) -> str:
    """Return a class name without the explanation that some carry."""
    return label.partition(" (")[0].partition(" for gymnastics")[0]


async def _faces(
    accelerator: Accelerator, path: Path, picture: Path, out: Path, console: Console
) -> dict[str, Any]:
    import maccel_aio
    from maccel_aio.cli import _demo_pictures

    target = out / "faces.png"
    console.heading("find faces")
    async with maccel_aio.load(path, accelerator=accelerator) as model:
        faces = await _demo_pictures.find_faces(model, picture, target)
    for face in faces:
        left, top, right, bottom = (round(edge) for edge in face.box)
        console.line(f"  score {face.score:.2f} at {left},{top} - {right},{bottom}")
    console.line(f"  {len(faces)} found; wrote {target}", "good")
    return {
        "faces": [{"score": face.score, "box": list(face.box)} for face in faces],
        "picture": str(target),
    }


async def _video(
    accelerator: Accelerator, path: Path, source: Path, out: Path, console: Console
) -> dict[str, Any]:
    import maccel_aio
    from maccel_aio.cli._demo_video import annotate_video

    target = out / "video.mp4"
    console.heading("annotate a video")
    async with maccel_aio.load(path, accelerator=accelerator) as model:
        with console.progress("model.stream(frames)", 120) as task:
            report = await annotate_video(
                accelerator,
                model,
                source,
                target,
                lambda count, fps: task.update(count, note=f"frame {count}, {fps:.0f} fps"),
            )
    show_video(console, report)
    size = size_text(target.stat().st_size)
    stills = target.with_suffix(".png")
    console.line(f"  wrote {target} ({size}, {report.codec}); three frames in {stills}", "good")
    return {**report._asdict(), "fps": report.fps, "path": str(target)}


def show_video(console: Console, report: VideoReport) -> None:
    """Print what the frame loop did."""
    console.fields(
        {
            "frames": f"{report.frames}, with a face in {report.frames_with_faces}",
            "speed": (f"{report.fps:.1f} frames a second", "accent"),
            "device busy": f"{bar_text(report.busy_share)} {report.busy_share:.0%}",
        }
    )
