"""Reading and writing videos."""

from fractions import Fraction

import numpy as np
import pytest

from maccel_aio.cli._video import VideoReader, VideoWriter


def frames(count):
    """Frames of one brightness each, brighter from one to the next."""
    return [np.full((48, 64, 3), 10 + 8 * number, np.uint8) for number in range(count)]


def test_what_is_written_is_read_in_order(tmp_path):
    path = tmp_path / "v.mp4"
    made = frames(20)
    with VideoWriter(path, 64, 48, Fraction(30)) as writer:
        for frame in made:
            writer.write(frame)
    with VideoReader(path) as reader:
        assert (reader.count, reader.rate) == (20, Fraction(30))
        found = list(reader)
        assert reader.read() is None
    assert len(found) == 20
    for before, after in zip(made, found, strict=True):
        assert after.shape == (48, 64, 3)
        assert abs(float(after.mean()) - float(before.mean())) < 4


def test_a_failed_loop_closes_the_file_and_keeps_its_error(tmp_path):
    with (
        pytest.raises(KeyError, match=r"first"),
        VideoWriter(tmp_path / "v.mp4", 64, 48, Fraction(30)),
    ):
        raise KeyError("first")


def test_what_is_no_video_is_an_error_with_its_path(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"not a video at all")
    with pytest.raises(OSError, match=r"cannot be read as a video") as caught:
        VideoReader(path)
    assert caught.value.filename == str(path)
    with pytest.raises(OSError, match=r"v2"):
        VideoReader(tmp_path / "v2.mp4")


def test_a_file_without_pictures_is_an_error(tmp_path):
    import av

    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        track = container.add_stream("aac", rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 44100
        for _ in range(4):
            container.mux(track.encode(silence))
        container.mux(track.encode())
    with pytest.raises(ValueError, match=r"no video track"):
        VideoReader(path)
