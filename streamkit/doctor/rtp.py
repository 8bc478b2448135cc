"""What arrives, judged without decoding: loss, order, jitter, rates, key frames, the clock.

RTP and RTCP sender reports as in RFC 3550; NAL unit types from RFC 6184 (H.264), 7798 (H.265).
"""

from __future__ import annotations

import statistics
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

_BURST = 0.8
_JUMP = 1.0
"""Seconds by which RTP time steps otherwise than ours, from one picture to the next, in a jump."""
_LATEST = 8
"""Of the last so many pictures late packets may be."""
_NTP_EPOCH = 2208988800
"""Seconds from 1900, where NTP begins, to 1970."""


@dataclass(slots=True)
class Picture:
    """The packets that share one RTP time."""

    timestamp: int
    first_at: float
    size: int = 0
    key: bool = False
    reference: bool = True
    """Others are predicted from it, or nobody can say."""


@dataclass
class Reception:
    """Everything learnt from one stream of RTP; feed it each datagram as it arrives."""

    encoding: str
    clock_rate: int
    pictures: list[Picture] = field(default_factory=list)
    packets: int = 0
    received_bytes: int = 0
    late: int = 0
    """Packets that came after a later one."""
    jitter: float = 0.0
    """RFC 3550's running estimate, seconds."""
    jumps: int = 0
    """So often the camera's RTP time did not go on from where it was."""
    skews: list[float] = field(default_factory=list)
    """Our clock minus the camera's at each sender report, seconds; the way's delay is in it."""
    _first: int | None = None
    _highest: int = 0
    _last: tuple[int, float] | None = None
    """RTP time and arrival of the picture before."""

    def rtp(self, data: bytes, at: float) -> None:
        """One RTP packet that arrived at ``at`` (monotonic seconds)."""
        if len(data) < 12 or data[0] >> 6 != 2:
            return
        sequence, timestamp = struct.unpack_from("!HI", data, 2)
        self.packets += 1
        self.received_bytes += len(data)
        self._count(sequence)
        picture, payload = self._picture(timestamp, at), _payload(data)
        picture.size += len(payload)
        for key, reference in kinds(self.encoding, payload):
            picture.key |= key
            picture.reference |= reference

    def rtcp(self, data: bytes, now: float) -> None:
        """One RTCP datagram; ``now`` is our wall clock (Unix seconds) when it arrived."""
        while len(data) >= 4:
            length = 4 * (1 + struct.unpack_from("!H", data, 2)[0])
            if data[1] == 200 and len(data) >= 20:
                seconds, fraction = struct.unpack_from("!II", data, 8)
                if seconds:
                    self.skews.append(now - (seconds - _NTP_EPOCH + fraction / 2**32))
            data = data[length:]

    def _picture(self, timestamp: int, at: float) -> Picture:
        """The one with this time: a late packet belongs to one that was begun before."""
        for known in reversed(self.pictures[-_LATEST:]):
            if known.timestamp == timestamp:
                return known
        self._measure(timestamp, at)
        self.pictures.append(Picture(timestamp, at, reference=False))
        return self.pictures[-1]

    def _count(self, sequence: int) -> None:
        if self._first is None:
            self._first = self._highest = sequence
            return
        step = (sequence - self._highest + 0x8000) % 0x10000 - 0x8000
        if step > 0:
            self._highest += step
        elif step < 0:
            self.late += 1

    def _measure(self, timestamp: int, at: float) -> None:
        last, self._last = self._last, (timestamp, at)
        if last is None:
            return
        step = ((timestamp - last[0] + 2**31) % 2**32 - 2**31) / self.clock_rate
        change = at - last[1] - step
        if abs(step) > _JUMP and abs(change) > _JUMP:  # late packets alone make no such step
            self.jumps += 1
        else:
            self.jitter += (abs(change) - self.jitter) / 16

    # -- what it comes to --------------------------------------------------------------------

    @property
    def lost(self) -> int:
        """Packets that were sent and did not come."""
        if self._first is None:
            return 0
        return max(0, self._highest - self._first + 1 - self.packets)

    @property
    def loss(self) -> float:
        """Lost packets as a share of those sent."""
        return self.lost / max(1, self.lost + self.packets)

    @property
    def seconds(self) -> float:
        """From the first picture to the last."""
        return self.pictures[-1].first_at - self.pictures[0].first_at if self.pictures else 0.0

    @property
    def fps(self) -> float:
        """Pictures per second as they came, after the burst a connection may begin with; 0.0 where
        there are too few to tell."""
        begun = self.pictures[0].first_at + _BURST if self.pictures else 0.0
        steady = [p.first_at for p in self.pictures if p.first_at >= begun]
        span = steady[-1] - steady[0] if steady else 0.0
        return (len(steady) - 1) / span if span > 0 else 0.0

    @property
    def clock_fps(self) -> float:
        """Pictures per second by the camera's own times."""
        steps = [(b.timestamp - a.timestamp) % 2**32 for a, b in pairwise(self.pictures)]
        middle = statistics.median(steps) if steps else 0
        return self.clock_rate / middle if middle else 0.0

    @property
    def bitrate(self) -> float:
        """Bits per second of the video."""
        return 8 * self.received_bytes / self.seconds if self.seconds > 0 else 0.0

    @property
    def gop(self) -> float | None:
        """Pictures from key frame to key frame; ``None`` where two have not been seen."""
        keys = [number for number, picture in enumerate(self.pictures) if picture.key]
        spans = [b - a for a, b in pairwise(keys)]
        return statistics.median(spans) if spans else None

    @property
    def first_key(self) -> float | None:
        """Seconds until the first key frame; nothing can be shown before it."""
        began = self.pictures[0].first_at if self.pictures else 0.0
        return next((p.first_at - began for p in self.pictures if p.key), None)

    @property
    def disposable(self) -> float:
        """The share of pictures that no other is predicted from."""
        return sum(not p.reference for p in self.pictures) / max(1, len(self.pictures))

    @property
    def skew(self) -> float | None:
        """Our clock minus the camera's, seconds; ``None`` without sender reports. The least of all:
        what is late on its way adds to it, and nothing takes from it."""
        return min(self.skews, default=None)


def _payload(data: bytes) -> bytes:
    """Behind the header, its contributors and extension, before the padding."""
    begin = 12 + 4 * (data[0] & 15)
    if data[0] & 0x10 and len(data) >= begin + 4:
        begin += 4 + 4 * int(struct.unpack_from("!H", data, begin + 2)[0])
    end = len(data) - (data[-1] if data[0] & 0x20 else 0)
    return data[begin:end]


def kinds(encoding: str, payload: bytes) -> Iterator[tuple[bool, bool]]:
    """(is of a key frame, is predicted from) of each coded slice in an RTP payload."""
    if encoding == "H264":
        return _h264(payload)
    if encoding == "H265":
        return _h265(payload)
    return iter([(encoding == "JPEG", True)])


def _h264(payload: bytes) -> Iterator[tuple[bool, bool]]:
    kind = payload[0] & 31 if payload else 0
    if kind == 24:
        units: Iterator[bytes] = _aggregated(payload, 1)
    elif kind == 28 and len(payload) > 1:
        units = iter([bytes([payload[0] & 0x60 | payload[1] & 31])])
    else:
        units = iter([payload[:1]])
    for unit in units:
        if unit and unit[0] & 31 in (1, 2, 5):
            yield unit[0] & 31 == 5, bool(unit[0] & 0x60)


def _h265(payload: bytes) -> Iterator[tuple[bool, bool]]:
    kind = payload[0] >> 1 & 63 if payload else 64
    if kind == 48:
        found = [unit[0] >> 1 & 63 for unit in _aggregated(payload, 2) if unit]
    elif kind == 49 and len(payload) > 2:
        found = [payload[2] & 63]
    else:
        found = [kind]
    for unit in found:
        if unit < 32:
            yield 16 <= unit <= 23, unit > 14 or bool(unit & 1)


def _aggregated(payload: bytes, begin: int) -> Iterator[bytes]:
    while begin + 2 < len(payload):
        (size,) = struct.unpack_from("!H", payload, begin)
        yield payload[begin + 2 : begin + 2 + size]
        begin += 2 + size
