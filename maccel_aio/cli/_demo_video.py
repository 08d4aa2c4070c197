"""The demo's video: decode, infer, draw and encode, all at the same time and in order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import anyio
import numpy as np
from PIL import Image

from maccel_aio.cli._video import VideoReader, VideoWriter
from maccel_aio.zoo import centerface, drawing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from maccel_aio import Accelerator, Model

_SHOWN = (15, 60, 105)
"""Frames that go into the still picture of the video."""


class VideoReport(NamedTuple):
    """What the frame loop did."""

    frames: int
    frames_with_faces: int
    seconds: float
    #: Share of the time in which a core of the device had work.
    busy_share: float
    codec: str

    @property
    def fps(self) -> float:
        """Frames a second: decoding, inference, drawing and encoding together."""
        return self.frames / self.seconds


async def annotate_video(
    accelerator: Accelerator,
    model: Model,
    source: Path,
    target: Path,
    done: Callable[[int, float], None],
) -> VideoReport:
    """Write `source` with a box around every face to `target`.

    Args:
        accelerator: where `model` is loaded; its counters give the utilisation.
        model: CenterFace of any shape.
        source: a video.
        target: the video to write, and beside it a PNG with a few of its frames.
        done: called with frames written and frames a second so far.
    """
    height, width = model.inputs[0].shape[-2:]
    reader = await anyio.to_thread.run_sync(VideoReader, source)
    writer = VideoWriter(target, width, height, reader.rate)
    stills: list[NDArray[np.uint8]] = []
    count = found = 0

    def prepare(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return centerface.prepare(Image.fromarray(frame), height, width)[0]

    def draw(frame: NDArray[np.uint8], faces: list[centerface.Face], number: int) -> None:
        drawn = drawing.draw_faces(prepare(frame), faces)
        if number in _SHOWN:
            stills.append(drawn)
        writer.write(drawn)

    began, before = time.perf_counter(), accelerator.stats()
    with reader, writer:
        async with model.stream(reader, prepare=prepare, order="submit") as stream:
            async for item in stream:
                faces = centerface.decode(item.outputs)
                await anyio.to_thread.run_sync(draw, item.value, faces, item.index)
                count, found = count + 1, found + bool(faces)
                done(count, count / (time.perf_counter() - began))
    seconds, after = time.perf_counter() - began, accelerator.stats()
    if stills:
        strip = Image.fromarray(np.concatenate(stills, axis=1))
        await anyio.to_thread.run_sync(strip.save, target.with_suffix(".png"))
    room = seconds * 1e9 * accelerator.info.workers
    return VideoReport(count, found, seconds, (after.busy_ns - before.busy_ns) / room, writer.codec)
