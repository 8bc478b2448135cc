"""One MP4 file while it is written: pictures and their times in, H.264 out, through PyAV."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
from av.video.frame import PictureType

from streamkit.errors import ConfigError, SinkError
from streamkit.frame import Image
from streamkit.imaging.layout import Size, letterbox, size_of

ENCODERS = {"h264": ("libx264", "avc1"), "hevc": ("libx265", "hvc1")}
"""Codec -> FFmpeg's encoder, and the tag that browsers and Apple's players know it by."""

PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast",
    "medium", "slow", "slower", "veryslow",
)  # fmt: skip

_TIME_BASE = Fraction(1, 1_000_000)
_KEY_EVERY = 2_000_000
"""Microseconds from one key picture to the next: how finely one can seek, what a crash may cost."""
_CONTAINER = {
    # While it grows the file is fragmented, so a crash leaves all but the last fragment playable;
    # closing turns it into a plain MP4 that every player can seek. `faststart` would instead copy
    # the whole file once more at the end: too slow for a recording of hours, and lost in a crash.
    "movflags": "hybrid_fragmented+frag_keyframe",
    "flush_packets": "1",
}
_BT601 = 6
_LIMITED_RANGE = 1


@dataclass(frozen=True, slots=True)
class Encoding:
    """How pictures are compressed. Raises ``ConfigError`` for values nobody knows."""

    codec: str = "h264"
    crf: int = 23
    """Constant quality, 0 (lossless) to 51."""
    preset: str = "veryfast"
    threads: int = 2

    def __post_init__(self) -> None:
        for value, known in ((self.codec, tuple(ENCODERS)), (self.preset, PRESETS)):
            if value not in known:
                raise ConfigError(f"{value!r} is unknown here; choose from {', '.join(known)}")
        if not 0 <= self.crf <= 51:
            raise ConfigError(f"crf={self.crf!r}: give a number from 0 to 51")
        if self.threads < 1:
            raise ConfigError(f"threads={self.threads!r}: at least one is needed")

    @property
    def options(self) -> dict[str, str]:
        return {"preset": self.preset, "crf": str(self.crf), "forced-idr": "1"}


class Recording:
    """An open file of one picture size. Every error is a ``SinkError`` that names the path."""

    def __init__(self, path: Path, size: Size, encoding: Encoding) -> None:
        """Create ``path``; ``size`` (width, height) is rounded up to even numbers for 4:2:0."""
        self._path = path
        self._size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        self._picture_size = size
        self._pts = -1
        self._next_key = 0
        self._packets = 0
        existed = path.exists()
        try:
            self._file = av.open(str(path), "w", format="mp4", options=_CONTAINER)
            self._stream = self._add_stream(encoding)
            self._file.start_encoding()
        except (av.FFmpegError, OSError) as error:
            if not existed:
                path.unlink(missing_ok=True)
            raise self._failed(error) from error

    def add(self, image: Image, position: int) -> None:
        """Write ``image`` (H x W x 3 ``uint8`` BGR) at ``position`` microseconds.

        A picture of another size is letterboxed; a position not after the last one becomes so.
        """
        self._pts = max(position, self._pts + 1)
        frame = av.VideoFrame.from_ndarray(self._planes(image), format="yuv420p")
        frame.pts, frame.time_base = self._pts, _TIME_BASE
        frame.colorspace, frame.color_range = _BT601, _LIMITED_RANGE
        if self._pts >= self._next_key:
            frame.pict_type = PictureType.I
            self._next_key = self._pts + _KEY_EVERY
        self._encode(frame)

    def finish(self) -> None:
        """Write what is left and close the file. A file without pictures is removed."""
        try:
            if self._pts >= 0:
                self._encode(None)
        finally:
            self._close()

    def abandon(self) -> None:
        """Close the file after an error as well as it goes; what was written stays playable."""
        try:
            self._close()
        except SinkError:
            return  # the error that led here has been told

    def _add_stream(self, encoding: Encoding) -> av.VideoStream:
        encoder, tag = ENCODERS[encoding.codec]
        stream = self._file.add_stream(encoder, rate=30, options=encoding.options)
        assert isinstance(stream, av.VideoStream)
        context = stream.codec_context
        context.width, context.height = self._size
        context.pix_fmt, context.codec_tag = "yuv420p", tag
        context.time_base = stream.time_base = _TIME_BASE
        context.colorspace, context.color_range = _BT601, _LIMITED_RANGE
        context.color_primaries = context.color_trc = _BT601
        context.thread_count = encoding.threads
        # Without B pictures the first one is at 0 in every player, edit list or not.
        context.max_b_frames = 0
        return stream

    def _planes(self, image: Image) -> Image:
        """The picture as I420, five times faster here than through swscale."""
        if size_of(image) != self._picture_size:
            image = letterbox(image, self._picture_size)
        wide, high = self._size[0] - image.shape[1], self._size[1] - image.shape[0]
        if wide or high:
            image = cast(Image, cv2.copyMakeBorder(image, 0, high, 0, wide, cv2.BORDER_REPLICATE))
        return cast(Image, cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420))

    def _encode(self, frame: av.VideoFrame | None) -> None:
        try:
            self._mux(self._stream.encode(frame))
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def _mux(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            self._file.mux(packet)
            self._packets += 1

    def _close(self) -> None:
        try:
            self._file.close()
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error
        finally:
            if not self._packets:
                self._path.unlink(missing_ok=True)

    def _failed(self, error: Exception) -> SinkError:
        reason = getattr(error, "strerror", None) or str(error)
        return SinkError(f"cannot write {self._path}: {reason}")
