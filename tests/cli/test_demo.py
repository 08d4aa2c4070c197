"""``maccel-aio demo``: the main job from end to end, with real models."""

import json

import numpy as np
import pytest
from PIL import Image

from maccel_aio.cli import main
from maccel_aio.cli._video import VideoReader


@pytest.mark.models
@pytest.mark.timeout(400)
def test_the_demo_does_the_main_job(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["demo", "--output", str(out), "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["photos"]["right"] >= 18
    assert len(done["photos"]["photos"]) == 20
    assert all(len(photo["top"]) == 5 for photo in done["photos"]["photos"])
    (face,) = done["faces"]["faces"]
    assert face["score"] > 0.85
    assert done["video"]["frames"] == 120
    assert done["video"]["frames_with_faces"] >= 110
    assert 0 < done["video"]["busy_share"] <= 1
    with Image.open(out / "faces.png") as drawn:
        assert drawn.size == (512, 512)
    with Image.open(out / "photos.png") as sheet:
        assert sheet.width > 5 * 150
    with VideoReader(out / "video.mp4") as video:
        frames = list(video)
    assert len(frames) == 120
    assert frames[0].shape == (288, 352, 3)
    green = np.array([0, 229, 160])
    marked = [np.abs(frame.astype(int) - green).sum(axis=2).min() < 90 for frame in frames]
    assert sum(marked) >= 110
