"""A webcam: V4L2 through PyAV on Linux, OpenCV on other systems."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import av
import numpy as np

from streamkit.errors import ConfigError, StreamErrorCode
from streamkit.sources.base import Capture, Captures, Source, SourceProperties
from streamkit.sources.connection import failure
from streamkit.sources.decoding import broadcast, introduced, lost, opened, translated, video_of
from streamkit.sources.tap import Tap, Tapped
from streamkit.sources.timing import CaptureClock

# V4L2 knows its formats by four characters, FFmpeg's v4l2 input by these names.
_FORMATS = {"MJPG": "mjpeg", "YUYV": "yuyv422", "H264": "h264", "NV12": "nv12", "UYVY": "uyvy422"}


class WebcamSource(Tapped, Source):
    """A camera of this machine, by index or ``/dev/video*``.

    Size, rate and ``fourcc`` (``MJPG``, ``YUYV``, ...) are wishes: the device takes the nearest
    it has or refuses. ``form`` is FFmpeg's input format (``lavfi`` makes test pictures). Reads are
    not interruptible while a device keeps silent: V4L2 waits in the kernel.
    """

    def __init__(
        self,
        reference: int | str = 0,
        *,
        width: int | None = None,
        height: int | None = None,
        fps: float | None = None,
        fourcc: str | None = None,
        form: str = "v4l2",
    ) -> None:
        if (width is None) != (height is None):
            raise ConfigError("a webcam's width and height go together")
        if fourcc is not None and fourcc.upper() not in _FORMATS:
            raise ConfigError(f"fourcc is one of {', '.join(_FORMATS)}, not {fourcc!r}")
        text = str(reference)
        self.live = True
        self.reference = f"/dev/video{text}" if text.isdecimal() and form == "v4l2" else text
        self.properties: SourceProperties | None = None
        self._form = form
        self._size = (width, height) if width and height else None
        self._fps, self._fourcc = fps, fourcc.upper() if fourcc else None
        self._index = int(text) if text.isdecimal() else 0
        self._stopped = threading.Event()
        self._tap = Tap(self.reference)
        # V4L2 stamps pictures with the kernel's monotonic clock, and FFmpeg passes that on.
        self._clock = CaptureClock(self.reference, kernel=form == "v4l2")

    def interrupt(self) -> None:
        """Stop at the next picture."""
        self._stopped.set()

    def read(self) -> Captures:
        """Pictures until it is unplugged (raises) or interrupted (returns)."""
        native = sys.platform == "linux" or self._form != "v4l2"
        if self._stopped.is_set():
            return
        self._clock.begin()
        yield from self._through_ffmpeg() if native else self._through_opencv()
        if not self._stopped.is_set():
            raise lost(self.reference, "the camera gives no more pictures")

    def _through_ffmpeg(self) -> Iterator[Capture]:
        with opened(
            self.reference, self.reference, form=self._form, options=self._options()
        ) as container:
            stream = video_of(container, self.reference)
            try:
                captures = broadcast(
                    container.demux(), stream, self._stopped, clock=self._clock, tap=self._tap
                )
                yield from introduced(captures, stream, self)
            except (av.FFmpegError, OSError) as error:
                raise translated(error, self.reference, opening=False) from error

    def _options(self) -> dict[str, str]:
        wishes = {
            "video_size": "{}x{}".format(*self._size) if self._size else None,
            "framerate": f"{self._fps:g}" if self._fps else None,
            "input_format": _FORMATS[self._fourcc] if self._fourcc else None,
        }
        return {name: wish for name, wish in wishes.items() if wish}

    def _through_opencv(self) -> Iterator[Capture]:
        import cv2

        device = cv2.VideoCapture(self._index)
        try:
            if not device.isOpened():
                raise failure(self.reference, "no such camera", StreamErrorCode.NOT_FOUND)
            for name, wish in self._opencv_wishes():
                device.set(getattr(cv2, f"CAP_PROP_{name}"), wish)
            while not self._stopped.is_set():
                there, image = device.read()
                if not there:
                    return
                height, width = image.shape[:2]
                rate = float(device.get(cv2.CAP_PROP_FPS))
                self.properties = SourceProperties(width, height, -1, False, rate, True)
                self._clock.heard(None)
                at = self._clock.at(None)
                pixels = np.asarray(image, np.uint8)
                yield Capture(pixels, at.timestamp, at.clock, at.uncertainty)
        finally:
            device.release()

    def _opencv_wishes(self) -> Iterator[tuple[str, float]]:
        if self._fourcc:
            yield "FOURCC", float(int.from_bytes(self._fourcc.encode(), "little"))
        if self._size:
            yield "FRAME_WIDTH", float(self._size[0])
            yield "FRAME_HEIGHT", float(self._size[1])
        if self._fps:
            yield "FPS", self._fps
