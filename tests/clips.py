"""Clips made on the spot, every picture with its number: loss and order are read off the pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from streamkit.frame import Image, Picture
from streamkit.sources.base import Capture
from streamkit.sources.numbered import decode_number, encode_number

TICK = Fraction(1, 90_000)
_ENCODER_OPTIONS = {
    # One slice a picture and no scene cuts: what a camera sends, and what RTP packers cope with.
    "libx264": {"preset": "ultrafast", "x264-params": "sliced-threads=0:slices=1:scenecut=0"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1"},
    # RFC 2435 sends no Huffman tables: only the standard ones come out right.
    "mjpeg": {"huffman": "default"},
}


def clip(
    path: Path,
    *,
    frames: int = 50,
    fps: int = 25,
    size: tuple[int, int] = (320, 240),
    codec: str = "libx264",
    b_frames: int = 0,
    gop: int = 25,
    times: Sequence[float] | None = None,
    audio_seconds: float = 0.0,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write ``frames`` numbered pictures (0, 1, ...) to ``path``; its suffix chooses the container.

    ``times`` (seconds, one a picture) makes it a clip of varying rate; ``options`` are the
    muxer's. A clip of 50 pictures takes about 0.1 s.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        container.metadata.update(metadata or {})
        stream = _video_stream(container, codec, fps, size, (gop, b_frames))
        if rotation:
            stream.set_display_rotation(rotation)
        sound = container.add_stream("aac", rate=8000) if audio_seconds else None
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(encode_number(number, *size), format="bgr24")
            picture = picture.reformat(format=stream.pix_fmt)
            at = Fraction(number, fps) if times is None else Fraction(times[number])
            picture.pts, picture.time_base = round(at / TICK), TICK
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if sound is not None:
            _mux_sound(container, sound, audio_seconds)
    return path


def sound_only(path: Path, seconds: float = 1.0) -> Path:
    """A recording without any video."""
    with av.open(str(path), "w") as container:
        _mux_sound(container, container.add_stream("aac", rate=8000), seconds)
    return path


def cut(path: Path, fraction: float) -> Path:
    """A copy of ``path`` that ends after ``fraction`` of its bytes, as a full disk leaves it."""
    data = path.read_bytes()
    shorter = path.with_name(f"{path.stem}_cut{path.suffix}")
    shorter.write_bytes(data[: int(len(data) * fraction)])
    return shorter


def numbers(captures: Iterable[Capture]) -> list[int]:
    """The numbers in the pixels of ``captures``, in their order."""
    return [decode_number(pixels(capture.picture)) for capture in captures]


def pixels(picture: Picture | Image) -> Image:
    """The BGR pixels of what a source yields."""
    return picture if isinstance(picture, np.ndarray) else picture.bgr()


def _video_stream(
    container: Any, codec: str, fps: int, size: tuple[int, int], structure: tuple[int, int]
) -> Any:
    stream = container.add_stream(codec, rate=fps, options=_ENCODER_OPTIONS.get(codec, {}))
    stream.width, stream.height = size
    stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    stream.codec_context.time_base = TICK
    stream.gop_size, stream.max_b_frames = structure
    if codec == "mjpeg":
        stream.codec_context.color_range = 2
    return stream


def _mux_sound(container: Any, stream: Any, seconds: float) -> None:
    for start in range(0, int(seconds * 8000), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, start, Fraction(1, 8000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
