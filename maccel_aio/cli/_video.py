"""Video files for the demo: decoding and encoding with PyAV. Everything here blocks."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

_CODECS = ("libx264", "libopenh264", "mpeg4")


class VideoReader:
    """Decodes the frames of a file, one after another. Used by one thread at a time.

    Raises:
        OSError: the file cannot be opened, or is no video.
        ValueError: the file has no picture track.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._container = av.open(str(path))
        except av.FFmpegError as error:
            raise OSError(
                error.errno, f"cannot be read as a video: {error.strerror}", str(path)
            ) from error
        if not self._container.streams.video:
            self._container.close()
            raise ValueError(f"{path} has no video track")
        track = self._container.streams.video[0]
        self.count: int = track.frames
        self.rate: Fraction = track.average_rate or Fraction(25)
        self._frames = self._container.decode(video=0)

    def read(self) -> NDArray[np.uint8] | None:
        """Return the next frame as ``[h, w, 3]`` RGB pixels, or None at the end."""
        frame = next(self._frames, None)
        if frame is None:
            return None
        return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        while (pixels := self.read()) is not None:
            yield pixels

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class VideoWriter:
    """Encodes frames into a file, H.264 where this PyAV has it. Used by one thread at a time.

    Args:
        path: the file to write; its suffix chooses the container.
        width: of a frame, even.
        height: of a frame, even.
        rate: frames a second.
    """

    def __init__(self, path: Path, width: int, height: int, rate: Fraction) -> None:
        codec = next(name for name in _CODECS if name in av.codecs_available)
        self._container = av.open(str(path), "w")
        options = {"crf": "20", "preset": "veryfast"} if codec == "libx264" else {}
        track = self._container.add_stream(codec, rate=rate, options=options)
        if not isinstance(track, av.VideoStream):
            raise TypeError(f"{codec} makes no video")
        track.width, track.height, track.pix_fmt = width, height, "yuv420p"
        self._track = track
        self.codec = codec

    def write(self, pixels: NDArray[np.uint8]) -> None:
        """Add one frame: ``[h, w, 3]`` RGB pixels."""
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        self._container.mux(self._track.encode(frame))

    def close(self) -> None:
        """Write what the codec holds back, and close the file."""
        self._container.mux(self._track.encode())
        self._container.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:  # an unfinished file: the first error is the one to hear of
            self._container.close()
