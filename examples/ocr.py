"""Find and read the text of pictures: three networks, several pictures on their way at a time.

python examples/ocr.py FOLDER PICTURE [PICTURE ...]

FOLDER keeps the compiled networks, and gets an annotated copy of every picture.
"""

import argparse
import time
from pathlib import Path

import anyio
import numpy as np
from anyio.to_thread import run_sync
from PIL import Image

import maccel_aio
from maccel_aio import zoo
from maccel_aio.zoo import drawing, ocr

AT_A_TIME = 3


async def read_lines(
    image: Image.Image, models: dict[str, maccel_aio.Model], alphabet: str
) -> list[ocr.Line]:
    """Return the lines of text of one picture."""
    page, scale = await run_sync(ocr.fit, image, ocr.PAGE)
    (marks,) = await models["ppocr_det"].infer(page)
    boxes = await run_sync(ocr.find, marks, scale, image.size)
    if not boxes:
        return []
    cuts = await run_sync(ocr.cut, image, boxes)
    small = await run_sync(lambda: np.stack([ocr.stretch(cut, ocr.TURN) for cut in cuts]))
    (shares,) = await models["ppocr_cls"].infer(small)
    cuts = ocr.turned(cuts, shares)
    wide = await run_sync(lambda: np.stack([ocr.stretch(cut, ocr.LINE) for cut in cuts]))
    (letters,) = await models["ppocr_rec"].infer(wide)
    texts = await run_sync(ocr.read, letters, alphabet)
    return [ocr.Line(box, text, score) for box, (text, score) in zip(boxes, texts, strict=True)]


async def main(folder: Path, pictures: list[Path]) -> None:
    paths = await run_sync(zoo.compile_ocr, folder)
    alphabet = await run_sync(zoo.alphabet)
    places = anyio.CapacityLimiter(AT_A_TIME)
    async with maccel_aio.Accelerator() as accelerator:
        models = {name: await accelerator.load(path) for name, path in paths.items()}

        async def annotate(path: Path) -> None:
            async with places:
                image = await run_sync(lambda: Image.open(path).convert("RGB"))
                lines = await read_lines(image, models, alphabet)
                drawn = await run_sync(drawing.draw_lines, np.asarray(image), lines)
                await run_sync(Image.fromarray(drawn).save, folder / f"{path.stem}-read.png")
            for line in lines:
                print(f"{path.name} {line.box}: {line.text} ({line.score:.2f})")

        began = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for path in pictures:
                tasks.start_soon(annotate, path)
        print(f"{len(pictures)} pictures in {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    show = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=show)
    parser.add_argument("folder", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    args = parser.parse_args()
    anyio.run(main, args.folder, args.pictures)
