"""Coded pictures in memory: those of a clip, or of a test picture that is encoded once."""

from __future__ import annotations

import queue
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from .gst import Gst

UNITS = {
    "video/x-h264": "h264parse ! video/x-h264,stream-format=byte-stream,alignment=au",
    "video/x-h265": "h265parse ! video/x-h265,stream-format=byte-stream,alignment=au",
    "image/jpeg": "jpegparse",
}
KINDS = {"h264": "video/x-h264", "h265": "video/x-h265", "mjpeg": "image/jpeg"}
PACKAGES = {"x264enc": "gstreamer1.0-plugins-ugly", "x265enc": "gstreamer1.0-plugins-bad"}


class Unit(NamedTuple):
    """One coded picture."""

    data: bytes
    delta: bool
    """It needs pictures before it."""
    reorder: int = 0
    """Nanoseconds between decoding and showing it (B-frames)."""


@dataclass
class Film:
    """Coded pictures that may be played round and round: the first is a key frame."""

    units: list[Unit]
    caps: Any
    kind: str

    @property
    def declared_fps(self) -> float:
        """What it says of itself."""
        known, upper, lower = self.caps.get_structure(0).get_fraction("framerate")
        return upper / lower if known and upper else 25.0

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        head = self.caps.get_structure(0)
        return head.get_int("width")[1], head.get_int("height")[1]

    @property
    def key(self) -> Unit:
        """Its first key frame."""
        return next(unit for unit in self.units if not unit.delta)


def clip(path: str) -> Film:
    """The video of a file, not transcoded. ``ValueError`` where there is none that is served."""
    pipeline = Gst.parse_launch("filesrc name=file ! parsebin name=parse")
    pipeline.get_by_name("file").set_property("location", path)
    found: queue.Queue[Any] = queue.Queue()
    pipeline.get_by_name("parse").connect("pad-added", _linked, pipeline, found)
    pipeline.set_state(Gst.State.PLAYING)
    try:
        return _drained(*_first_video(pipeline, found, path))
    finally:
        pipeline.set_state(Gst.State.NULL)


def _first_video(pipeline: Any, found: Any, path: str) -> tuple[str, Any]:
    ends = Gst.MessageType.ERROR | Gst.MessageType.EOS
    for _ in range(100):
        try:
            kind, output = found.get(timeout=0.1)
            return str(kind), output
        except queue.Empty:
            if pipeline.get_bus().pop_filtered(ends):
                break
    raise ValueError(f"{path}: no H.264, H.265 or MJPEG video in it")


def _linked(_: Any, pad: Any, pipeline: Any, found: Any) -> None:
    """The first video goes to an appsink; what else there is goes nowhere."""
    kind = pad.query_caps(None).get_structure(0).get_name()
    wanted = kind in UNITS and pipeline.get_by_name("o") is None
    form = f"{UNITS[kind]} ! appsink name=o sync=false" if wanted else "fakesink"
    part = Gst.parse_bin_from_description(form, True)
    pipeline.add(part)
    part.sync_state_with_parent()
    pad.link(part.get_static_pad("sink"))
    if wanted:
        found.put((kind, part.get_by_name("o")))


def _drained(kind: str, output: Any) -> Film:
    units, caps = [], None
    while (sample := output.pull_sample()) is not None:
        caps = sample.get_caps()
        units.append(unit_of(sample.get_buffer()))
    while units and units[0].delta:
        units.pop(0)
    if not units:
        raise ValueError("the video has no key frame")
    return Film(units, caps, kind)


def unit_of(buffer: Any) -> Unit:
    """What an appsink gave, copied out."""
    delta = bool(buffer.has_flags(Gst.BufferFlags.DELTA_UNIT))
    ordered = Gst.CLOCK_TIME_NONE not in (buffer.pts, buffer.dts)
    reorder = max(0, buffer.pts - buffer.dts) if ordered else 0
    return Unit(bytes(buffer.extract_dup(0, buffer.get_size())), delta, reorder)


def encoder(kind: str, gop: int, b_frames: int = 0) -> str:
    """The part of a launch line that codes raw pictures as a camera does: one slice a picture."""
    name, line = {
        "video/x-h264": (
            "x264enc",
            "x264enc tune=zerolatency speed-preset=ultrafast threads=1 pass=qual quantizer=21 "
            f'key-int-max={gop} bframes={b_frames} b-adapt=false option-string="scenecut=0"',
        ),
        "video/x-h265": (
            "x265enc",
            f"x265enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} "
            'option-string="log-level=none:pools=1:frame-threads=1:scenecut=0:bframes=0"',
        ),
        "image/jpeg": ("jpegenc", "jpegenc quality=80"),
    }[kind]
    if Gst.ElementFactory.find(name) is None:
        package = PACKAGES.get(name, "gstreamer1.0-plugins-good")
        raise ValueError(f"GStreamer has no {name}: install {package}")
    return f"{line} ! {UNITS[kind]}"


@lru_cache(32)
def painted(kind: str, size: tuple[int, int], fps: float, what: str) -> Film:
    """Two seconds of a test picture (ball, bars), or half a second (black, covered)."""
    width, height = size
    count = max(2, round(fps * (0.5 if what in _NOISE else 2)))
    rate = f"{round(fps * 1000)}/1000"
    raw = f"video/x-raw,format=I420,width={width},height={height},framerate={rate}"
    head = (
        f"appsrc name=i format=time max-bytes=0 caps={raw}"
        if what in _NOISE
        else f"videotestsrc num-buffers={count} pattern={_PATTERNS[what]} ! {raw}"
    )
    pipeline = Gst.parse_launch(f"{head} ! {encoder(kind, count)} ! appsink name=o sync=false")
    if what in _NOISE:
        _fill(pipeline.get_by_name("i"), _noise(what, size), count, fps)
    pipeline.set_state(Gst.State.PLAYING)
    try:
        return _drained(kind, pipeline.get_by_name("o"))
    finally:
        pipeline.set_state(Gst.State.NULL)


_PATTERNS = {"ball": "ball", "bars": "smpte"}
_NOISE = {"black": (16, 2), "covered": (44, 4)}
"""Luma, and how far noise goes above it: a sensor in the dark is never quite still."""


def _noise(what: str, size: tuple[int, int]) -> Callable[[], bytes]:
    base, spread = _NOISE[what]
    table = bytes(base + value * spread // 256 for value in range(256))
    width, height = size
    source = random.Random(0)
    chroma = b"\x80" * (2 * ((width + 1) // 2) * ((height + 1) // 2))
    return lambda: source.randbytes(width * height).translate(table) + chroma


def _fill(source: Any, draw: Callable[[], bytes], count: int, fps: float) -> None:
    for number in range(count):
        buffer = Gst.Buffer.new_wrapped(draw())
        buffer.pts = int(number * 1e9 / fps)
        buffer.duration = int(1e9 / fps)
        source.emit("push-buffer", buffer)
    source.emit("end-of-stream")
