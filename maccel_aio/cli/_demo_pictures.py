"""The demo's pictures: twenty photos classified, the faces of one found."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import anyio
import numpy as np
from PIL import Image

from maccel_aio import zoo
from maccel_aio.zoo import centerface, drawing, efficientnet_lite0

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from maccel_aio import Model

TOP = 5


class Guess(NamedTuple):
    """What the network says of a photo."""

    photo: Path
    truth: int
    #: Class numbers and their probabilities, best first.
    top: list[tuple[int, float]]
    pixels: NDArray[np.uint8]

    @property
    def is_right(self) -> bool:
        """Whether the best class is the true one."""
        return self.top[0][0] == self.truth


def best_classes(logits: NDArray[np.float32]) -> list[tuple[int, float]]:
    """Return the best classes with their probabilities."""
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    return [(int(k), float(shares[k])) for k in np.argsort(-shares, kind="stable")[:TOP]]


async def classify_photos(
    model: Model, photos: list[Path], done: Callable[[int], None]
) -> list[Guess]:
    """Classify photos, each in a task of its own; the model pipelines them."""
    guesses: dict[Path, Guess] = {}

    async def one(photo: Path) -> None:
        pixels = await anyio.to_thread.run_sync(_read, photo)
        (logits,) = await model.infer(pixels)
        truth = int(photo.stem.rsplit("_", 1)[1])
        guesses[photo] = Guess(photo, truth, best_classes(logits), pixels)
        done(len(guesses))

    async with anyio.create_task_group() as tasks:
        for photo in photos:
            tasks.start_soon(one, photo)
    return [guesses[photo] for photo in photos]


def _read(photo: Path) -> NDArray[np.uint8]:
    with Image.open(photo) as image:
        return efficientnet_lite0.prepare(image)


def draw_sheet(guesses: list[Guess], labels: list[str], target: Path) -> None:
    """Write the photos with their best class as one picture."""
    tiles = [
        (guess.pixels, f"{labels[guess.top[0][0]]} {guess.top[0][1]:.0%}", guess.is_right)
        for guess in guesses
    ]
    Image.fromarray(drawing.contact_sheet(tiles)).save(target)


async def find_faces(model: Model, picture: Path, target: Path) -> list[centerface.Face]:
    """Find the faces in a picture, and write it with a box around each."""
    height, width = model.inputs[0].shape[-2:]

    def read() -> tuple[NDArray[np.uint8], NDArray[np.uint8], float]:
        with Image.open(picture) as opened:
            image = opened.convert("RGB")
        return np.asarray(image), *centerface.prepare(image, height, width)

    original, pixels, scale = await anyio.to_thread.run_sync(read)
    faces = centerface.decode(await model.infer(pixels), scale)

    drawn = Image.fromarray(drawing.draw_faces(original, faces))
    await anyio.to_thread.run_sync(drawn.save, target)
    return faces


def read_labels() -> list[str]:
    """Return the names of the classes; fetches them if needed. Blocks."""
    return zoo.labels()
