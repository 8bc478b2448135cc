"""Pictures and their times in, H.264 or H.265 packets out, for a container being written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, cast

import av
import cv2
from av.container import OutputContainer
from av.video.frame import PictureType

from streamkit.errors import ConfigError
from streamkit.frame import Image
from streamkit.imaging.layout import Size, letterbox, size_of

ENCODERS = {"h264": ("libx264", "avc1"), "hevc": ("libx265", "hvc1")}
"""Codec -> FFmpeg's encoder, and the tag that browsers and Apple's players know it by."""

PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast",
    "medium", "slow", "slower", "veryslow",
)  # fmt: skip

_TIME_BASE = Fraction(1, 1_000_000)
_BT601 = 6
_LIMITED_RANGE = 1
KEY_EVERY: Final = 2_000_000
"""Microseconds from one key picture to the next: how finely one can seek, what a crash may cost."""


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


class Encoder:
    """One stream of pictures of one size, in ``file``. FFmpeg's errors come out untranslated."""

    def __init__(
        self, file: OutputContainer, size: Size, encoding: Encoding, *, live: bool = False
    ) -> None:
        """``size`` (width, height) is rounded up to even numbers for 4:2:0. ``live``: no picture
        is held back to compress it better."""
        self._size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        self._picture_size = size
        self._next_key = 0
        self.position = -1
        """Microseconds, of the last picture; -1 before the first."""
        self._stream = self._added(file, encoding, live=live)

    def encode(self, image: Image, position: int) -> Sequence[Any]:
        """Packets that come out with ``image`` (H x W x 3 ``uint8`` BGR) at ``position``
        microseconds.

        A picture of another size is letterboxed; a position not after the last one becomes so.
        """
        self.position = max(position, self.position + 1)
        frame = av.VideoFrame.from_ndarray(self._planes(image), format="yuv420p")
        frame.pts, frame.time_base = self.position, _TIME_BASE
        frame.colorspace, frame.color_range = _BT601, _LIMITED_RANGE
        if self.position >= self._next_key:
            frame.pict_type = PictureType.I
            self._next_key = self.position + KEY_EVERY
        return self._stream.encode(frame)

    def rest(self) -> Sequence[Any]:
        """Packets of the pictures that are still held back; nothing may follow."""
        return self._stream.encode(None) if self.position >= 0 else ()

    def _added(self, file: OutputContainer, encoding: Encoding, *, live: bool) -> av.VideoStream:
        encoder, tag = ENCODERS[encoding.codec]
        options = encoding.options | ({"tune": "zerolatency"} if live else {})
        stream = file.add_stream(encoder, rate=30, options=options)
        assert isinstance(stream, av.VideoStream)
        context = stream.codec_context
        context.width, context.height = self._size
        context.pix_fmt = "yuv420p"
        if not live:  # who streams has tags of his own
            context.codec_tag = tag
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
