"""The demo's frame loop."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

import maccel_aio
from maccel_aio import zoo
from maccel_aio.cli._demo_video import VideoReport, annotate_video
from maccel_aio.cli._video import VideoReader, VideoWriter


def test_frames_a_second():
    assert VideoReport(60, 3, 2.0, 0.5, "libx264").fps == 30


@pytest.mark.models
@pytest.mark.timeout(300)
async def test_every_frame_is_written_in_order(zoo_model, tmp_path):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    with Image.open(zoo.get("astronaut")) as image:
        face = np.asarray(image.convert("RGB").crop((100, 0, 388, 288)).resize((144, 144)))
    with VideoWriter(source, 176, 144, Fraction(25)) as writer:
        for number in range(18):
            frame = np.full((144, 176, 3), 10 * number, np.uint8)
            if number >= 9:
                frame[:, :144] = face
            writer.write(frame)
    seen = []
    async with maccel_aio.Accelerator() as accelerator:
        model = await accelerator.load(zoo_model("centerface", (288, 352)))
        report = await annotate_video(
            accelerator, model, source, target, lambda count, fps: seen.append((count, fps > 0))
        )
    assert report.frames == 18
    assert report.frames_with_faces == 9
    assert 0 < report.busy_share <= 1
    assert seen == [(count, True) for count in range(1, 19)]
    with VideoReader(target) as video:
        frames = list(video)
    grey = [float(frame[:, 320:].mean()) for frame in frames]
    assert len(frames) == 18
    assert grey == pytest.approx([10 * number for number in range(18)], abs=6)
    with Image.open(tmp_path / "out.png") as stills:
        assert stills.size == (352, 288)
