"""What decoding costs where only some pictures are wanted: the ways to decode less, side by side.

A clip is decoded as if it came from a camera, as fast as the machine can, with 5 pictures a second
wanted. Counted is the CPU time of the whole process, by the operating system.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from streamkit.bench.measure import Spread

if TYPE_CHECKING:
    from av.video.frame import VideoFrame as DecodedFrame

    from streamkit.sources.decoder import DecodeMode

WANTED: Final = 5.0
"""Pictures per second."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to decode."""

    name: str
    decode: DecodeMode = "all"
    wanted: float | None = None
    gate: bool = False
    motion_vectors: bool = False


WAYS: Final = (
    Way("everything"),
    Way("without non-reference pictures", "reference"),
    Way("key frames only", "key"),
    Way("auto, 5 fps wanted", "auto", WANTED),
    Way("everything, motion gate on luma", gate=True),
    Way("everything, motion gate on vectors", gate=True, motion_vectors=True),
)


@dataclass
class Sample:
    """The coded pictures of a clip, in memory: reading them costs nothing that is counted."""

    name: str
    path: Path

    def __post_init__(self) -> None:
        import av

        with av.open(str(self.path)) as container:
            stream = container.streams.video[0]
            packets = [packet for packet in container.demux(stream) if packet.size]
            rate = stream.average_rate or Fraction(25)
        self.seconds = float(len(packets) / rate)
        self.pictures = len(packets)
        self.keys = sum(packet.is_keyframe for packet in packets)


@dataclass
class Result:
    """One way on one sample, over all its turns."""

    sample: Sample
    way: Way
    cpu: list[float] = field(default_factory=list)
    """CPU seconds per minute of video, turn by turn."""
    ratios: list[float] = field(default_factory=list)
    """How many times as much plain decoding took, in the same turn."""
    decoded: int = 0
    passed: int = 0
    """Pictures that go on: those decoded, thinned to the wanted rate, and not held by a gate."""
    mode: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        cpu, ratio = Spread.of(self.cpu), Spread.of(self.ratios)
        return {
            "sample": self.sample.name,
            "way": self.way.name,
            "pictures": self.sample.pictures,
            "key_frames": self.sample.keys,
            "seconds": self.sample.seconds,
            "decoded": self.decoded,
            "passed": self.passed,
            "mode": self.mode,
            "cpu_seconds_per_minute": cpu.as_dict(),
            "ratio": ratio.as_dict(),
            "rounds": len(self.cpu),
        }


def run(samples: list[Sample], rounds: int, told: Callable[[Result], None]) -> None:
    """Each way takes its turn, ``rounds`` times, on each sample; ``told`` hears of each result."""
    for sample in samples:
        results = [Result(sample, way) for way in WAYS]
        for result in results:
            _turn(result)  # unmeasured
        for _ in range(rounds):
            for result in results:
                result.cpu.append(60 * _turn(result) / sample.seconds)
            plain = results[0].cpu[-1]
            for result in results:
                result.ratios.append(plain / result.cpu[-1])
        for result in results:
            told(result)


def _turn(result: Result) -> float:
    """CPU seconds for the whole sample."""
    import av

    from streamkit.sources.decoder import DecodeOptions, Decoder, Demand

    way = result.way
    options = DecodeOptions(decode=way.decode, motion_vectors=way.motion_vectors)
    demand = Demand(options, way.wanted)
    with av.open(str(result.sample.path)) as container:
        stream = container.streams.video[0]
        packets = list(container.demux(stream))
        decoder = Decoder(stream, demand)
        began = time.process_time()
        frames = (shown.frame for packet in packets for shown in decoder.pictures(packet))
        result.passed = sum(1 for _ in _used(frames, way))
        spent = time.process_time() - began
    result.decoded, result.mode = demand.decoded, demand.effort.name.lower()
    return spent


def _used(frames: Iterator[DecodedFrame], way: Way) -> Iterator[DecodedFrame]:
    """What goes on to a model, which gets pictures in the colours it wants."""
    from datetime import UTC, datetime, timedelta

    from streamkit.clock import Thinner
    from streamkit.frame import Clock, VideoFrame
    from streamkit.freshness.gate import GateOptions, MotionGate
    from streamkit.sources.decoding import DecodedPicture

    thinner = Thinner(WANTED)
    gate = MotionGate(GateOptions()) if way.gate else None
    begin = datetime.now(UTC)
    for number, frame in enumerate(frames):
        if not thinner.passes(frame.time):
            continue
        moment = begin + timedelta(seconds=frame.time)
        made = VideoFrame(DecodedPicture(frame), number + 1, moment, clock=Clock.PTS)
        if gate is None or gate(made) is None:
            assert made.image.size
            yield frame


def samples_of(clip: Path, folder: Path) -> list[Sample]:
    """``clip``, and what cameras would make of it; ``ConfigError`` where it cannot be read."""
    import av

    from streamkit.errors import ConfigError

    try:
        return [
            Sample("as it is", clip),
            Sample("camera, key frame each 1 s", camera_like(clip, folder, 0)),
            Sample("camera, and 2 B-frames", camera_like(clip, folder, 2)),
        ]
    except (av.FFmpegError, OSError, IndexError) as error:
        raise ConfigError(f"{clip}: this is no video that can be read") from error


def camera_like(source: Path, folder: Path, b_frames: int, seconds: float = 12.0) -> Path:
    """``source`` as a camera would send it: a key frame each second, one slice a picture."""
    import av

    path = folder / f"camera_{b_frames}.mp4"
    with av.open(str(source)) as given, av.open(str(path), "w") as made:
        picture = given.streams.video[0]
        rate = picture.average_rate or Fraction(25)
        stream: Any = made.add_stream("libx264", rate=rate, options=_as_a_camera(b_frames))
        stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
        stream.gop_size, stream.max_b_frames = round(rate), b_frames
        for frame in given.decode(picture):
            if frame.time >= seconds:
                break
            frame.pict_type = 0  # as its new encoder likes, not as the old one did
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    return path


def _as_a_camera(b_frames: int) -> dict[str, str]:
    x264 = f"slices=1:sliced-threads=0:scenecut=0:b-adapt=0:bframes={b_frames}"
    return {"preset": "veryfast", "x264-params": x264}
