"""Who decodes: FFmpeg itself, or a device it can reach, found by decoding something there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import av
import numpy as np
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.video.stream import VideoStream

from streamkit.errors import ConfigError, SourceConnectionError, StreamErrorCode

SOFTWARE: Final = "software"
_DEVICES: Final = ("cuda", "vaapi", "videotoolbox")
"""Reached through a device context; the decoder is FFmpeg's own, by the codec's name."""
_DECODERS: Final = ("qsv", "v4l2m2m")
"""Decoders of their own: ``h264_qsv``."""
HARDWARE: Final = ("cuda", "vaapi", "qsv", "videotoolbox", "v4l2m2m")
"""In the order in which ``auto`` tries them."""
BACKENDS: Final = ("auto", SOFTWARE, *HARDWARE)
_PROBE_SIDE: Final = 256
"""Pixels; decoders in hardware refuse small pictures."""


@dataclass(frozen=True)
class Chosen:
    """Who decodes one stream, and why."""

    context: Any
    """PyAV's ``VideoCodecContext``."""
    backend: str
    reason: str


def check(asked: str) -> None:
    """Raise ``ConfigError`` for a backend that does not exist, or that was named and is not here.

    Nothing is probed for ``auto`` and ``software``.
    """
    if asked not in BACKENDS:
        raise ConfigError(f"backend={asked!r}: choose one of {', '.join(BACKENDS)}")
    if asked in HARDWARE and (reason := unavailable(asked)):
        there = ", ".join((SOFTWARE, *(b for b in HARDWARE if not unavailable(b))))
        raise ConfigError(f"backend={asked!r} cannot be used: {reason}; usable here: {there}")


def choose(stream: VideoStream, asked: str, reference: str) -> Chosen:
    """Who decodes ``stream``.

    ``auto`` falls back to software and says why. A backend that was named does not: raises
    ``SourceConnectionError`` CODEC_UNSUPPORTED where it cannot decode this codec.
    """
    if asked == SOFTWARE:
        return Chosen(stream.codec_context, SOFTWARE, "asked for")
    reasons = {}
    for backend in HARDWARE if asked == "auto" else (asked,):
        reasons[backend] = reason = unavailable(backend, stream.codec_context.name)
        if not reason:
            why = "asked for" if asked != "auto" else "the first that works here"
            return Chosen(_context(stream, backend), backend, why)
    text = "; ".join(f"{backend}: {reason}" for backend, reason in reasons.items())
    if asked != "auto":
        raise SourceConnectionError(
            f"{reference}: backend={text}",
            StreamErrorCode.CODEC_UNSUPPORTED,
            source_reference=reference,
        )
    return Chosen(stream.codec_context, SOFTWARE, f"no other works ({text})")


@cache
def unavailable(backend: str, codec: str = "h264") -> str:
    """Why ``backend`` cannot decode ``codec`` on this machine; empty if it can.

    Found out once per process: by decoding a picture where one of this codec can be made.
    """
    if backend in _DEVICES and backend not in hwdevices_available():
        return "this FFmpeg was built without it"
    try:
        context = _made(backend, codec)
        if backend in _DEVICES and not context.is_hwaccel:
            return f"it does not decode {codec}"
        pictures = [frame for packet in _sample(codec) for frame in context.decode(packet)]
        if pictures or not _sample(codec):
            return ""
        return "it gave no picture of a test stream" if not context.decode(None) else ""
    except (av.FFmpegError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return f"its device cannot be used here ({reason})"


def _made(backend: str, codec: str) -> Any:
    if backend in _DECODERS:
        try:
            decoder = av.Codec(f"{codec}_{backend}", "r")
        except av.codec.codec.UnknownCodecError as error:
            raise ValueError(f"this FFmpeg has no decoder {codec}_{backend}") from error
        return av.CodecContext.create(decoder, "r")
    # Without this a device that fails would silently be FFmpeg itself.
    accelerator = HWAccel(backend, allow_software_fallback=False)
    return av.CodecContext.create(codec, "r", accelerator)


def _context(stream: VideoStream, backend: str) -> Any:
    """A decoder apart from the container's, which is always FFmpeg's own."""
    context, given = _made(backend, stream.codec_context.name), stream.codec_context
    if given.extradata:
        context.extradata = given.extradata
    context.width, context.height = given.width, given.height
    return context


_ENCODERS: Final = {"h264": "libx264", "hevc": "libx265", "mjpeg": "mjpeg"}


@cache
def _sample(codec: str) -> tuple[Any, ...]:
    """A few packets to try a decoder with; none where this FFmpeg cannot make them."""
    if codec not in _ENCODERS:
        return ()
    quiet = {"x265-params": "log-level=none:pools=1:frame-threads=1"} if codec == "hevc" else {}
    try:
        encoder: Any = av.CodecContext.create(_ENCODERS[codec], "w")
        encoder.width = encoder.height = _PROBE_SIDE
        encoder.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        encoder.framerate = 25
        encoder.thread_count, encoder.options = 1, quiet
        grey = np.full((_PROBE_SIDE * 3 // 2, _PROBE_SIDE), 128, np.uint8)
        frames = [av.VideoFrame.from_ndarray(grey, "yuv420p") for _ in range(4)]
        for number, frame in enumerate(frames):
            frame.pts = number
        return tuple(packet for frame in (*frames, None) for packet in encoder.encode(frame))
    except (av.FFmpegError, ValueError):
        return ()
