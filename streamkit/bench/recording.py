"""What recording without encoding costs, beside decoding the same packets, in one run.

The clip is first encoded anew as a camera would send it: 1920 x 1080, a key frame each second. Its
packets are in memory, so that reading them costs nothing that is counted. Counted is the CPU time
of the whole process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from streamkit.bench.measure import Spread

SIZE: Final = (1920, 1080)
WAYS: Final = ("the ring alone", "segments", "a clip of 6 s each 12 s")
_TICKS: Final = 6
"""Packets after which a sink is called, at least."""


@dataclass
class Result:
    """One way to record, over all its turns."""

    name: str
    milliseconds: list[float] = field(default_factory=list)
    """Of CPU, per second of video, turn by turn."""
    percent: list[float] = field(default_factory=list)
    """Of what decoding took in the same turn."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        spent, part = Spread.of(self.milliseconds), Spread.of(self.percent)
        return {
            "way": self.name,
            "cpu_ms_per_second": spent.as_dict(),
            "percent_of_decoding": part.as_dict(),
        }


class Sample:
    """The packets of a clip as a camera would send them."""

    def __init__(self, clip: Path, folder: Path) -> None:
        import av

        self.path = _as_a_camera_sends(clip, folder / "camera.mp4")
        self.container = av.open(str(self.path))
        self.stream = self.container.streams.video[0]
        self.packets = [packet for packet in self.container.demux(self.stream) if packet.size]
        self.seconds = len(self.packets) / float(self.stream.average_rate or 25)

    def decode(self) -> None:
        """Every picture, by FFmpeg on one thread; nothing is converted."""
        import av

        given = self.stream.codec_context
        decoder: Any = av.CodecContext.create(given.name, "r")
        decoder.extradata, decoder.thread_count = given.extradata, 1
        for packet in self.packets:
            decoder.decode(packet)
        decoder.decode(None)

    def keep(self, more: Callable[[], None]) -> Any:
        """Every packet into a new ring; ``more`` is called in between, as a sink is."""
        from streamkit.recording.ring import PacketRing, RingOptions
        from streamkit.sources.tap import Tap

        ring, tap, base = PacketRing(RingOptions()), Tap("camera"), time.time()
        tap.rings = (ring,)
        tap.begin(self.stream, lambda pts: base + (pts or 0.0), live=False)

        def take() -> None:
            for number, packet in enumerate(self.packets):
                tap.take(packet)
                if number % _TICKS == 0:
                    more()

        return ring, take


def run(clip: Path, rounds: int, told: Callable[[Result], None]) -> dict[str, Any]:
    """Decode and record in turn; what the sample is like."""
    results = [Result(name) for name in WAYS]
    with TemporaryDirectory() as text:
        folder = Path(text)
        sample = Sample(clip, folder)
        sample.decode()
        for number in range(rounds):
            decoding = _spent(sample.decode)
            for way, result in enumerate(results):
                with _recording(sample, way, folder / f"{way}-{number}") as record:
                    spent = _spent(record)
                result.milliseconds.append(1e3 * spent / sample.seconds)
                result.percent.append(100 * spent / decoding)
        size = sum(packet.size for packet in sample.packets)
        about = {
            "seconds": sample.seconds,
            "pictures": len(sample.packets),
            "megabits_per_second": 8e-6 * size / sample.seconds,
            "decoding_cpu_ms_per_second": 1e3 * decoding / sample.seconds,
        }
        sample.container.close()
    for result in results:
        told(result)
    return about


@contextmanager
def _recording(sample: Sample, way: int, folder: Path) -> Iterator[Callable[[], None]]:
    if way == 0:
        yield sample.keep(lambda: None)[1]
    elif way == 1:
        yield _segments(sample, folder)
    else:
        yield _clips(sample, folder)


def _segments(sample: Sample, folder: Path) -> Callable[[], None]:
    from streamkit.sinks import SegmentsSink

    sink = SegmentsSink(folder, every=60)
    ring, take = sample.keep(sink.tick)
    sink.follow(0, lambda: "camera", ring)

    def work() -> None:
        take()
        sink.close()

    return work


def _clips(sample: Sample, folder: Path) -> Callable[[], None]:
    """An event each twelve seconds, with two before and four after it."""
    from datetime import UTC, datetime

    import numpy as np

    from streamkit.events import Event
    from streamkit.frame import VideoFrame
    from streamkit.predictions import Result as Seen
    from streamkit.sinks import ClipsSink

    sink, last = ClipsSink(folder, before=2, after=4), 0.0
    black = np.zeros((8, 8, 3), np.uint8)

    def step() -> None:
        nonlocal last
        sink.tick()
        kept: Sequence[Any] = ring.after(max(0, ring.stats()["packets"] - 1)).packets
        if kept and kept[-1].at - last > 12:
            last = kept[-1].at
            at = datetime.fromtimestamp(last, UTC)
            seen = Seen(VideoFrame(black, 1, at, source_id=0, packets=ring), None)
            seen.events = (Event("bench.seen", 0, "door", at, 1, source="camera"),)
            sink.write(seen)

    ring, take = sample.keep(step)

    def work() -> None:
        take()
        sink.close()

    return work


def _spent(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _as_a_camera_sends(clip: Path, path: Path) -> Path:
    """Encoded anew at 1080p, a key frame each second, no B-frames."""
    import av

    with av.open(str(clip)) as given, av.open(str(path), "w") as out:
        source = given.streams.video[0]
        rate = Fraction(source.average_rate or 25)
        made: Any = out.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
        made.width, made.height, made.pix_fmt = *SIZE, "yuv420p"
        made.gop_size, made.max_b_frames = round(rate), 0
        for number, frame in enumerate(given.decode(source)):
            picture = frame.reformat(*SIZE, format="yuv420p")
            picture.pts, picture.time_base = number, 1 / rate
            out.mux(made.encode(picture))
        out.mux(made.encode(None))
    return path
