"""Text of pictures: our pipeline of three int8 networks beside onnxruntime's of three float ones.

    python benchmarks/ocr.py FOLDER [PICTURE ...] [--rounds N]

FOLDER keeps the compiled networks. Both sides prepare pictures and find boxes with the same code,
keep the same number of pictures on their way, and get both cores; they take turns. Without
pictures, pages are drawn.
"""

import argparse
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import anyio
import numpy as np
import onnxruntime as ort
from anyio.to_thread import run_sync
from numpy.typing import NDArray
from PIL import Image

import maccel_aio
from maccel_aio import zoo
from maccel_aio.zoo import ocr

NAMES = ("ppocr_det", "ppocr_cls", "ppocr_rec")
AT_A_TIME = 3
Pixels = NDArray[np.uint8]
Infer = Callable[[str, Pixels], Awaitable[NDArray[np.float32]]]


def drawn(count: int) -> list[Image.Image]:
    """Return pages of text that did not calibrate anything."""
    from open_set.writing import pages

    return [Image.fromarray(page) for page in pages(count, 5000)]


async def read(image: Image.Image, infer: Infer, alphabet: str) -> list[str]:
    """Return the texts of one picture."""
    page, scale = await run_sync(ocr.fit, image, ocr.PAGE)
    boxes = await run_sync(ocr.find, await infer(NAMES[0], page), scale, image.size)
    if not boxes:
        return []
    cuts = await run_sync(ocr.cut, image, boxes)
    small = await run_sync(lambda: np.stack([ocr.stretch(cut, ocr.TURN) for cut in cuts]))
    cuts = ocr.turned(cuts, (await infer(NAMES[1], small)).reshape(len(cuts), 2))
    wide = await run_sync(lambda: np.stack([ocr.stretch(cut, ocr.LINE) for cut in cuts]))
    return [text for text, _ in ocr.read(await infer(NAMES[2], wide), alphabet)]


async def read_all(images: list[Image.Image], infer: Infer, alphabet: str) -> list[list[str]]:
    """Return the texts of all pictures, several on their way at a time."""
    places, found = anyio.CapacityLimiter(AT_A_TIME), [list[str]() for _ in images]

    async def one(index: int) -> None:
        async with places:
            found[index] = await read(images[index], infer, alphabet)

    async with anyio.create_task_group() as tasks:
        for index in range(len(images)):
            tasks.start_soon(one, index)
    return found


def float_infer() -> Infer:
    """Return onnxruntime's side: float networks, lines of a picture as one batch."""
    sessions = {
        name: ort.InferenceSession(zoo.get(name), providers=["CPUExecutionProvider"])
        for name in NAMES
    }

    def run(name: str, pixels: Pixels) -> NDArray[np.float32]:
        batch = pixels if pixels.ndim == 4 else pixels[None]
        reals = (batch[..., ::-1].astype(np.float32) - np.float32(127.5)) / np.float32(127.5)
        feed = {"x": np.ascontiguousarray(reals.transpose(0, 3, 1, 2))}
        found: NDArray[np.float32] = sessions[name].run(None, feed)[0]
        return found

    async def infer(name: str, pixels: Pixels) -> NDArray[np.float32]:
        return await run_sync(run, name, pixels)

    return infer


def our_infer(models: dict[str, maccel_aio.Model]) -> Infer:
    """Return our side: uint8 pixels as they are."""

    async def infer(name: str, pixels: Pixels) -> NDArray[np.float32]:
        (found,) = await models[name].infer(pixels)
        return found

    return infer


def _same(ours: list[list[str]], exact: list[list[str]]) -> str:
    lines = [text for page in exact for text in page]
    pairs = [
        p
        for a, b in zip(ours, exact, strict=True)
        if len(a) == len(b)
        for p in zip(a, b, strict=True)
    ]
    same = sum(a == b for a, b in pairs)
    return f"{same} of {len(lines)} lines read alike, {len(pairs)} in pages with the same boxes"


async def main(options: argparse.Namespace) -> None:
    """Print times and ratios."""
    paths = await run_sync(zoo.compile_ocr, options.folder)
    alphabet, given = await run_sync(zoo.alphabet), options.pictures
    images = [Image.open(path).convert("RGB") for path in given] or drawn(6)
    seconds: dict[str, list[float]] = {"ours": [], "onnxruntime": []}
    texts: dict[str, Any] = {}
    async with maccel_aio.Accelerator() as accelerator:
        models = {name: await accelerator.load(path) for name, path in paths.items()}
        sides = {"ours": our_infer(models), "onnxruntime": float_infer()}
        for turn in range(options.rounds + 1):
            for name, infer in sides.items():
                began = time.perf_counter()
                texts[name] = await read_all(images, infer, alphabet)
                if turn:
                    seconds[name].append(time.perf_counter() - began)
    for name, values in seconds.items():
        print(f"{name}: {1e3 * float(np.median(values)) / len(images):.1f} ms a picture")
    ratios = np.divide(seconds["onnxruntime"], seconds["ours"])
    print(f"onnxruntime / ours: {np.median(ratios):.2f} [{ratios.min():.2f} .. {ratios.max():.2f}]")
    print(_same(texts["ours"], texts["onnxruntime"]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("pictures", type=Path, nargs="*")
    parser.add_argument("--rounds", type=int, default=3)
    anyio.run(main, parser.parse_args())
