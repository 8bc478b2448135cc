"""The latest encoded packets of one stream in memory, bounded by time and bytes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamkit import plugins
from streamkit.errors import ConfigError
from streamkit.packets import Packet, Piece, Track

_BACK = 1.0
"""Seconds by which times may go back from key frame to key frame before it is taken for a clock
that was set: nothing before that is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RingOptions:
    """How much of a stream is kept in memory. ``ConfigError`` for what makes no sense."""

    seconds: float = 30.0
    """The last so many seconds, and up to one key frame interval more."""
    megabytes: float = 64.0
    """At most so much, even if that is less time."""

    def __post_init__(self) -> None:
        for name in ("seconds", "megabytes"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(
                    f"keep_packets: {name}={getattr(self, name)!r}: give a number above 0"
                )

    @classmethod
    def of(cls, given: bool | Mapping[str, Any]) -> RingOptions | None:
        """``True``, or some of the options by name; ``None``: nothing is kept."""
        return plugins.switched(cls, "keep_packets", given)


@dataclass(slots=True, eq=False)
class _Group:
    """A key frame and what follows it up to the next."""

    first: int
    """The number of the key frame."""
    packets: list[Packet] = field(default_factory=list)
    size: int = 0

    @property
    def at(self) -> float:
        """When its key frame was captured."""
        return self.packets[0].at

    @property
    def last(self) -> int:
        return self.first + len(self.packets) - 1


class PacketRing:
    """Whole groups of pictures, the oldest evicted first. One thread puts, any may ask.

    Packets are numbered from 1, without gaps. What cannot be decoded because its key frame is not
    there is not kept, and counted as ``headless``.
    """

    def __init__(self, options: RingOptions) -> None:
        self._lock = threading.Lock()
        self._groups: deque[_Group] = deque()
        self._track: Track | None = None
        self._newest = 0
        self._size = self._evicted = self._headless = self._tracks = 0
        self.limit(options)

    def limit(self, options: RingOptions) -> None:
        """Keep so much from now on."""
        with self._lock:
            self._seconds = options.seconds
            self._most = int(options.megabytes * 1e6)
            self._evict()

    def put(self, packet: Packet) -> None:
        """One more."""
        with self._lock:
            if packet.key:
                self._tracks += packet.track is not self._track
                self._track = packet.track
                self._groups.append(_Group(self._newest + 1))
            elif not self._groups or packet.track is not self._track:
                self._headless += 1
                return
            group = self._groups[-1]
            group.packets.append(packet)
            group.size += len(packet.data)
            self._size += len(packet.data)
            self._newest += 1
            self._evict()

    def before(self, at: float) -> int:
        """See ``Packets``."""
        with self._lock:
            later: _Group | None = None
            for group in reversed(self._groups):
                if later is not None and (group.at > later.at + _BACK or _over(group, later, at)):
                    break
                later = group
                if group.at <= at:
                    break
            return self._newest if later is None else later.first - 1

    def after(self, number: int) -> Piece:
        """See ``Packets``."""
        with self._lock:
            packets: list[Packet] = []
            for group in reversed(self._groups):
                if group.last <= number:
                    break
                packets[:0] = group.packets[max(0, number + 1 - group.first) :]
            return Piece(packets, self._newest, self._newest - number - len(packets))

    def clear(self) -> None:
        """Let everything go, uncounted."""
        with self._lock:
            self._groups.clear()
            self._size, self._track = 0, None

    def stats(self) -> dict[str, Any]:
        """What is there, JSON-ready: packets, bytes, seconds; and what is not there any more."""
        with self._lock:
            groups = self._groups
            return {
                "packets": self._newest - groups[0].first + 1 if groups else 0,
                "bytes": self._size,
                "seconds": groups[-1].packets[-1].at - groups[0].at if groups else 0.0,
                "evicted": self._evicted,
                "headless": self._headless,
                "tracks": self._tracks,
            }

    def _evict(self) -> None:
        """Groups that are too old as a whole; then whatever is too much. The lock is held."""
        groups = self._groups
        while len(groups) > 1 and groups[-1].packets[-1].at - groups[1].at >= self._seconds:
            self._drop()
        while groups and self._size > self._most:
            self._drop()

    def _drop(self) -> None:
        group = self._groups.popleft()
        self._size -= group.size
        self._evicted += len(group.packets)


def _over(group: _Group, later: _Group, at: float) -> bool:
    """The connection ended before ``at``: its last pictures show nothing of that time."""
    ended = group.packets[-1].track is not later.packets[0].track
    return ended and group.packets[-1].at < at
