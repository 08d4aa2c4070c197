"""Decode, infer and annotate a video: frames overlap in the pipeline and come out in order.

maccel-aio zoo compile centerface --shape 288x352 -o centerface.mxq
python examples/video_pipeline.py centerface.mxq VIDEO annotated.mp4
"""

import sys
import time
from collections.abc import AsyncIterator

import anyio
import av
from PIL import Image

import maccel_aio
from maccel_aio.zoo import centerface, drawing


async def read(container: av.container.InputContainer) -> AsyncIterator[Image.Image]:
    """Decode in a worker thread: the event loop never waits for the codec."""
    frames = container.decode(video=0)
    while (frame := await anyio.to_thread.run_sync(next, frames, None)) is not None:
        yield Image.fromarray(frame.to_ndarray(format="rgb24"))


async def main(model_path: str, source: str, target: str) -> None:
    async with maccel_aio.load(model_path) as model:
        height, width = model.inputs[0].shape[-2:]

        def prepare(image: Image.Image) -> object:
            return centerface.prepare(image, height, width)[0]

        with av.open(source) as reader, av.open(target, "w") as writer:
            video = writer.add_stream("libx264", rate=reader.streams.video[0].average_rate)
            video.width, video.height, video.pix_fmt = width, height, "yuv420p"

            def draw(image: Image.Image, faces: list[centerface.Face]) -> None:
                marked = drawing.draw_faces(centerface.prepare(image, height, width)[0], faces)
                writer.mux(video.encode(av.VideoFrame.from_ndarray(marked, format="rgb24")))

            began, count = time.perf_counter(), 0
            async with model.stream(read(reader), prepare=prepare, order="submit") as stream:
                async for item in stream:
                    faces = centerface.decode(item.outputs)
                    await anyio.to_thread.run_sync(draw, item.value, faces)
                    count += 1
            writer.mux(video.encode())
            print(f"{count} frames, {count / (time.perf_counter() - began):.1f} per second")


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:4])
