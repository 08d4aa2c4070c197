"""Decode, infer and annotate a video: frames overlap in the pipeline and come out in order.

maccel-aio zoo compile centerface --shape 288x352 -o centerface.mxq
python examples/video_pipeline.py centerface.mxq VIDEO annotated.mp4
"""

import argparse
import time
from typing import Any

import anyio
import av
import numpy as np
from PIL import Image

import maccel_aio
from maccel_aio.zoo import centerface, drawing

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


async def main(model_path: str, source: str, target: str) -> None:
    async with maccel_aio.load(model_path) as model:
        height, width = model.inputs[0].shape[-2:]

        def prepare(frame: av.VideoFrame) -> Pixels:
            """Decoded frame to model input: runs in worker threads, several at a time."""
            image = Image.fromarray(frame.to_ndarray(format="rgb24"))
            return centerface.prepare(image, height, width)[0]

        with av.open(source) as reader, av.open(target, "w") as writer:
            track = writer.add_stream("libx264", rate=reader.streams.video[0].average_rate)
            track.width, track.height, track.pix_fmt = width, height, "yuv420p"

            def write(frame: av.VideoFrame, faces: list[centerface.Face]) -> None:
                drawn = drawing.draw_faces(prepare(frame), faces)
                writer.mux(track.encode(av.VideoFrame.from_ndarray(drawn, format="rgb24")))

            began, count = time.perf_counter(), 0
            async with model.stream(reader.decode(video=0), prepare=prepare) as results:
                async for item in results:
                    faces = centerface.decode(item.outputs)
                    await anyio.to_thread.run_sync(write, item.value, faces)
                    count += 1
            writer.mux(track.encode())
            print(f"{count} frames, {count / (time.perf_counter() - began):.1f} a second")


if __name__ == "__main__":
    show = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=show)
    parser.add_argument("model")
    parser.add_argument("source")
    parser.add_argument("target")
    args = parser.parse_args()
    anyio.run(main, args.model, args.source, args.target)
