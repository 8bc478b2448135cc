"""The tap: packets on their way from the demuxer to the decoder, copied for those who keep them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeAlias

import av
from av.video.stream import VideoStream

from streamkit.errors import ConfigError
from streamkit.packets import Packet, Track
from streamkit.recording.ring import PacketRing
from streamkit.sources.bitstream import nal_units

log = logging.getLogger(__name__)

KEPT: Final = ("h264", "hevc", "mjpeg")
"""Codecs whose packets can be kept, and put into an MP4 file."""
_SETS: Final = {"h264": (7, 8), "hevc": (32, 33, 34)}
"""NAL unit types of parameter sets (H.264 table 7-1, H.265 table 7-1)."""
_START: Final = b"\0\0\0\1"
_LEAP: Final = 10.0
"""Seconds by which a live stream's times may run ahead of the clock."""
_MOST_HELD: Final = 250
"""Packets at the beginning that may lack a dts; what never has any is taken as it comes."""
Moment: TypeAlias = Callable[[float | None], float]
"""Unix time of a container time (seconds; ``None``: now)."""


class Tap:
    """What one source does for those who keep its packets; outlives its connections.

    Times are made straight: ``dts`` strictly increases, whatever the container says. Packets are
    made whole: each key frame brings its parameter sets along.
    """

    def __init__(self, reference: str) -> None:
        self._reference = reference
        self.rings: Sequence[PacketRing] = ()
        """Where packets go. May be replaced from any thread."""
        self._form: _Form | None = None
        self._times = _Times(Fraction(1), live=True)
        self._track: Track | None = None
        self._held: list[_Raw] = []

    def begin(self, stream: VideoStream, moment: Moment, *, live: bool) -> None:
        """A new connection; ``moment`` tells when a picture of it was captured."""
        context = stream.codec_context
        self._codec, self._moment = context.name, moment
        self._form = _Form.of(context.name, context.extradata or b"")
        self._times = _Times(stream.time_base or Fraction(1, 90_000), live=live)
        self._track, self._held, self._settled = None, [], False

    def take(self, packet: av.Packet[Any], *, lost: bool = False) -> None:
        """Copy one packet of the video; ``lost``: something before it, or of it, is missing.
        Raises ``ConfigError`` for a codec that cannot be kept."""
        if not self.rings or not packet.size:
            return
        if self._form is None:
            raise ConfigError(
                f"{self._reference}: keep_packets: its pictures come as {self._codec}, of which "
                f"nothing can be kept as it is (only {', '.join(KEPT)}); record annotated video "
                "(the sink 'video') instead"
            )
        damaged = lost or packet.is_corrupt
        raw = _Raw(bytes(packet), packet.is_keyframe, packet.pts, packet.dts, damaged)
        if self._settled:
            self._put(raw)
            return
        self._held.append(raw)
        if raw.dts is None and len(self._held) < _MOST_HELD:
            return
        if self._held[0].pts is None and sum(held.pts is not None for held in self._held) < 2:
            return
        self._settled, held, self._held = True, self._held, []
        for timed in _timed(held):
            self._put(timed)

    def _put(self, raw: _Raw) -> None:
        assert self._form is not None
        pts, dts = self._times.of(raw.pts, raw.dts)
        data, sets = self._form.whole(raw.data, raw.key and not raw.damaged, raw.key)
        base = self._times.base
        if self._track is None or sets != self._track.parameter_sets:
            self._track = Track(self._codec, sets, base)
        at = self._moment(float(self._times.told(pts) * base))
        packet = Packet(self._track, data, pts, dts, raw.key, at)
        for ring in self.rings:
            ring.put(packet)


class _Raw(NamedTuple):
    """A packet as it came."""

    data: bytes
    key: bool
    pts: int | None
    dts: int | None
    damaged: bool = False


def _timed(held: Sequence[_Raw]) -> Iterator[_Raw]:
    """The first packets of a connection, with the times that FFmpeg's RTSP does not know yet: the
    very first has none, and with B-frames those after it have no ``dts``. The first is a key frame,
    which is shown before all others."""
    known = sorted(raw.pts for raw in held if raw.pts is not None)
    steps = sorted(after - before for before, after in pairwise(known))
    step = steps[len(steps) // 2] if steps else 1
    last = held[-1].dts
    for back, raw in zip(range(len(held) - 1, -1, -1), held, strict=True):
        pts = known[0] - step if raw.pts is None and known else raw.pts
        yield raw._replace(pts=pts, dts=None if last is None else last - back * step)


class _Times:
    """Timestamps made straight: in decoding order they strictly increase."""

    def __init__(self, base: Fraction, *, live: bool) -> None:
        self.base = base
        self._step = 1
        self._live = live
        self._shift = 0
        self._last: int | None = None
        self._heard = time.monotonic()

    def told(self, pts: int) -> int:
        """What the container calls ``pts``."""
        return pts - self._shift

    def of(self, pts: int | None, dts: int | None) -> tuple[int, int]:
        """pts and dts of the next packet, of which the container told these."""
        now = time.monotonic()
        passed, self._heard = now - self._heard, now
        last, told = self._last, dts if dts is not None else pts
        if told is None:
            told = 0 if last is None else last + self._step - self._shift
        new, shown = told + self._shift, (told if pts is None else pts) + self._shift
        if last is not None:
            if self._leaps(new - last, passed):
                shift = last + self._after(passed) - new
                self._shift, new, shown = self._shift + shift, new + shift, shown + shift
            new = max(new, last + 1)
            self._step = new - last
        self._last = new
        return max(shown, new), new

    def _after(self, passed: float) -> int:
        """Ticks to the next packet where its own time says nothing."""
        return max(1, round(passed / self.base)) if self._live else self._step

    def _leaps(self, ticks: int, passed: float) -> bool:
        """Has the clock of the stream been set since the last packet?"""
        seconds = float(ticks * self.base)
        return seconds < -1.0 or (self._live and seconds - passed > _LEAP)


class _Form:
    """Packets of one codec as a byte stream in which key frames are complete."""

    def __init__(self, codec: str, extradata: bytes) -> None:
        self._types = _SETS.get(codec, ())
        self._hevc = codec == "hevc"
        self._length = _prefix(extradata, hevc=self._hevc) if self._types else 0
        stored = _stored(extradata, hevc=self._hevc) if self._length else nal_units(extradata, 0)
        self._sets = b""
        with suppress(IndexError):  # a header that is cut short: the first key frame will tell
            self._sets = self._joined(stored) if self._types else b""

    @classmethod
    def of(cls, codec: str, extradata: bytes) -> _Form | None:
        """``None`` for a codec whose packets cannot be kept."""
        return cls(codec, extradata) if codec in KEPT else None

    def whole(self, data: bytes, believed: bool, key: bool) -> tuple[bytes, bytes]:
        """The packet, and the parameter sets it is decoded with: its own where they are all there,
        and it is ``believed``."""
        if not self._types:
            return data, b""
        units = list(self._before_slices(data)) if key else []
        if key and not {self._kind(unit) for unit in units}.issuperset(self._types):
            return self._sets + self._stream(data), self._sets
        if believed:
            self._sets = self._joined(units)
        return self._stream(data), self._sets

    def _stream(self, data: bytes) -> bytes:
        if not self._length:
            return data
        return b"".join(_START + unit for unit in nal_units(data, self._length))

    def _kind(self, unit: bytes) -> int:
        return unit[0] >> 1 & 63 if self._hevc else unit[0] & 31

    def _before_slices(self, data: bytes) -> Iterator[bytes]:
        for unit in nal_units(data, self._length):
            kind = self._kind(unit)
            if kind < 32 if self._hevc else 1 <= kind <= 5:
                return
            yield unit

    def _joined(self, units: Iterable[bytes]) -> bytes:
        found = (unit.rstrip(b"\0") for unit in units if self._kind(unit) in self._types)
        return b"".join(_START + unit for unit in found)


def _prefix(extradata: bytes, *, hevc: bool) -> int:
    """Bytes of the size before each NAL unit; 0: start codes (ISO/IEC 14496-15, avcC and hvcC)."""
    if hevc:
        stored = extradata[22:] and not extradata.startswith((b"\0\0\1", b"\0\0\0\1"))
        return (extradata[21] & 3) + 1 if stored else 0
    return (extradata[4] & 3) + 1 if extradata[:1] == b"\x01" and extradata[5:] else 0


def _stored(extradata: bytes, *, hevc: bool) -> Iterator[bytes]:
    """The parameter sets of an ``avcC`` or ``hvcC`` box."""
    if hevc:
        at, arrays = 23, extradata[22]
    else:
        at, arrays = 5, 2
    for number in range(arrays):
        if hevc:
            count, at = int.from_bytes(extradata[at + 1 : at + 3], "big"), at + 3
        else:
            count, at = extradata[at] & (31 if number == 0 else 255), at + 1
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            yield extradata[at + 2 : at + 2 + size]
            at += 2 + size


class Tapped:
    """What the sources have in common whose packets can be kept."""

    _tap: Tap

    def keep(self, rings: Sequence[PacketRing]) -> None:
        """From now on every packet goes into these. From any thread."""
        self._tap.rings = tuple(rings)
