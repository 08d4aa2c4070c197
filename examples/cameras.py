"""Several cameras, one model: each shows its newest frame, and what is too much is dropped.

maccel-aio zoo compile centerface --shape 288x352 -o centerface.mxq
python examples/cameras.py centerface.mxq VIDEO VIDEO ...

A video stands in for a camera: its frames come in real time, whether somebody is ready or not.
"""

import argparse
import time
from collections.abc import Iterator

import anyio
import av
from PIL import Image

import maccel_aio
from maccel_aio.zoo import centerface


def camera(path: str) -> Iterator[av.VideoFrame]:
    """Frames as a camera delivers them; runs in a worker thread."""
    with av.open(path) as reader:
        period = float(1 / (reader.streams.video[0].average_rate or 25))
        began = time.monotonic()
        for number, frame in enumerate(reader.decode(video=0)):
            time.sleep(max(began + number * period - time.monotonic(), 0))
            yield frame


async def watch(model: maccel_aio.Model, path: str) -> None:
    height, width = model.inputs[0].shape[-2:]

    def prepare(frame: av.VideoFrame) -> object:
        image = Image.fromarray(frame.to_ndarray(format="rgb24"))
        return centerface.prepare(image, height, width)[0]

    faces = 0
    async with model.stream(
        camera(path), prepare=prepare, finish=centerface.decode, depth=2, overflow="latest"
    ) as results:
        async for item in results:
            faces += len(item.outputs)
        stats = results.stats()
    print(f"{path}: {stats.delivered} frames, {stats.dropped} dropped, {faces} faces")


async def main(model_path: str, paths: list[str]) -> None:
    async with maccel_aio.load(model_path) as model, anyio.create_task_group() as tasks:
        for path in paths:
            tasks.start_soon(watch, model, path)


if __name__ == "__main__":
    show = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=show)
    parser.add_argument("model")
    parser.add_argument("videos", nargs="+")
    args = parser.parse_args()
    anyio.run(main, args.model, args.videos)
