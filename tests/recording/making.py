"""Packets and recordings for tests: made up, or read back off their pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from streamkit.packets import Packet, Track
from streamkit.predictions import Result
from streamkit.recording.ring import PacketRing, RingOptions
from streamkit.sources import open_source
from streamkit.sources.base import keep_packets
from streamkit.sources.numbered import decode_number
from streamkit.stages.seen import Witness

TRACK = Track("h264", b"", Fraction(1, 90_000))


def packet(
    number: int, *, key: bool = False, at: float | None = None, size: int = 10, track: Track = TRACK
) -> Packet:
    """Packet ``number`` of a stream of ten a second."""
    ticks = number * 9000
    return Packet(track, bytes(size), ticks, ticks, key, number / 10 if at is None else at)


def stream(count: int, gop: int = 5) -> list[Packet]:
    """Packets 0 .. count - 1, a key frame first and then every ``gop``."""
    return [packet(number, key=number % gop == 0) for number in range(count)]


def packets_of(path: Path) -> Sequence[Packet]:
    """All packets of a clip, as its source keeps them."""
    ring = PacketRing(RingOptions(seconds=1e6, megabytes=1e3))
    source = open_source(str(path))
    keep_packets(source, (ring,))
    for _ in source.read():
        pass
    return ring.after(0).packets


def pictures_of(path: Path) -> list[tuple[float, int]]:
    """(seconds, number in the pixels) of every picture of a file."""
    with av.open(str(path)) as container:
        found = []
        for frame in container.decode(video=0):
            pixels: Any = frame.to_ndarray(format="bgr24")
            found.append((round(float(frame.time or 0), 3), decode_number(pixels)))
        return found


def numbers_of(paths: Iterable[Path]) -> list[int]:
    """The numbers of all pictures of some files, one file after the other."""
    return [number for path in paths for _, number in pictures_of(path)]


class Raise:
    """A stage that raises an event at each of these frames: ``{frame_id: (kind, phase, key)}``."""

    def __init__(self, at: dict[int, tuple[str, str, str]]) -> None:
        self._at = at

    def __call__(self, result: Result) -> Result:
        told = self._at.get(result.frame.frame_id)
        if told is not None:
            kind, phase, key = told
            event = Witness(result, key).event(kind, phase=phase)  # type: ignore[arg-type]
            result.events = (*result.events, event)
        return result


def instant(*frames: int, key: str = "door") -> dict[int, tuple[str, str, str]]:
    """An event of the kind ``test.seen`` at each of these frames."""
    return {frame: ("test.seen", "instant", key) for frame in frames}
