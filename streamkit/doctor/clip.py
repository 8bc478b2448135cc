"""The clip that stands for a camera in a plan: made here, or kept from a source that exists."""

from __future__ import annotations

import time
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from streamkit.doctor.pictures import watch
from streamkit.errors import SourceError, StreamErrorCode
from streamkit.sources.decoding import opened, translated, video_of
from streamkit.sources.reference import Locator

_WIDTH, _HEIGHT, _FPS, _SECONDS = 1280, 720, 25, 6


def made(path: Path) -> Path:
    """A clip as cameras send it: 720p, 25 a second, H.264 at about 2 Mbit/s, a key frame a second.

    A noisy background with things that move: neither the cheapest nor the dearest to decode.
    """
    import av

    random = np.random.default_rng(1)
    coarse = random.integers(60, 200, (_HEIGHT // 8, _WIDTH // 8, 3), dtype=np.uint8)
    background = np.repeat(np.repeat(coarse, 8, axis=0), 8, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=_FPS)
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        stream.bit_rate, stream.time_base = 2_000_000, Fraction(1, _FPS)
        stream.options = {"preset": "veryfast", "bf": "0", "g": str(_FPS)}
        for number in range(_FPS * _SECONDS):
            picture = background.copy()
            for thing in range(6):
                left = (number * (3 + 2 * thing) + 200 * thing) % (_WIDTH - 120)
                top = 40 + 105 * thing
                picture[top : top + 90, left : left + 60] = 30 + 35 * thing
            noise = random.integers(0, 6, (_HEIGHT, _WIDTH, 1), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(picture + noise, "bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def kept(reference: str, options: Mapping[str, Any], path: Path, seconds: float = 8.0) -> Path:
    """``reference`` itself where it is a file, else ``seconds`` of it, as they came (not encoded
    again). Raises ``SourceError``."""
    import av

    if Path(reference).is_file():
        return Path(reference)
    watch(reference, 0.1, **options)  # whatever is wrong with it is said here, in our words
    address = Locator(reference, options.get("username"), options.get("password")).resolved()
    flags = {"rtsp_transport": str(options.get("transport", "tcp")), "timeout": "10000000"}
    with opened(address.url, address.printable, options=flags, timeout=(10.0, 10.0)) as source:
        stream = video_of(source, address.printable)
        try:
            with av.open(str(path), "w", format="matroska") as container:
                copy = container.add_stream_from_template(stream)
                begun, first = time.monotonic(), None
                for packet in source.demux(stream):
                    if first is None and not packet.is_keyframe:
                        continue
                    first = packet.dts or 0 if first is None else first
                    packet.pts = packet.dts = (packet.dts or 0) - first
                    packet.stream = copy
                    container.mux(packet)
                    if time.monotonic() - begun > seconds:
                        break
        except (av.FFmpegError, OSError) as error:
            raise translated(error, address.printable, opening=False) from error
    if path.stat().st_size < 1000:
        text = f"{address.printable}: too little came to make a clip of"
        raise SourceError(text, StreamErrorCode.TIMEOUT, source_reference=address.printable)
    return path
