"""Encoded pictures as their source gave them: packets with their times, nothing decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """What the packets of one file have in common: a connection, a codec, its parameter sets.

    Compared by identity: a camera that was connected anew, or has changed its picture, begins
    another one.
    """

    codec: str
    """By FFmpeg's name: ``h264``, ``hevc`` or ``mjpeg``."""
    parameter_sets: bytes
    """SPS, PPS (and VPS) as a byte stream (ITU-T H.264 and H.265, Annex B); else empty."""
    time_base: Fraction
    """Seconds of one tick."""


@dataclass(frozen=True, slots=True, eq=False)
class Packet:
    """One encoded picture. ``dts`` strictly increases within a track and is never after ``pts``."""

    track: Track
    data: bytes
    """As a byte stream (Annex B) where the codec has one; a key frame has its parameter sets."""
    pts: int
    """When it is shown, in ticks of its track."""
    dts: int
    """When it is decoded."""
    key: bool
    """A decoder can begin here."""
    at: float
    """Unix time at which it was captured, by the clock of the stream's frames."""


class Piece(NamedTuple):
    """Consecutive packets out of a ring."""

    packets: Sequence[Packet]
    last: int
    """The number of the last of them: where to go on."""
    missed: int
    """Packets before them that were evicted before anybody asked for them."""


class Packets(Protocol):
    """The latest packets of one stream, for whoever records it without decoding or encoding."""

    def before(self, at: float) -> int:
        """Where to begin so that a picture of Unix time ``at`` can be shown: the number of the
        packet before the last key frame at or before it, but not of a connection that had ended by
        then; before the oldest there is otherwise."""
        ...

    def after(self, number: int) -> Piece:
        """Everything after packet ``number``; 0: everything there is."""
        ...
