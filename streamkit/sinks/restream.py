"""Sends the picture on, with all that was drawn on it: to an RTSP or RTMP server, or as HLS."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from streamkit.errors import ConfigError, SinkError
from streamkit.frame import Image
from streamkit.imaging.card import card
from streamkit.imaging.layout import Size, mosaic, size_of
from streamkit.packets import Packets
from streamkit.predictions import Result
from streamkit.sinks.base import Sink
from streamkit.sinks.encoder import Encoding
from streamkit.sinks.outlet import Outlet, Target
from streamkit.sinks.timeline import Timeline

log = logging.getLogger(__name__)

_HD: Size = (1280, 720)
_CARDS_EVERY = 1.0
"""Seconds from card to card."""


@dataclass(slots=True)
class _View:
    """The newest picture of one stream."""

    name: Callable[[], str]
    image: Image | None = None
    at: datetime | None = None
    seen: float = 0.0
    """Monotonic seconds at which it came."""
    live: bool = True


class RestreamSink(Sink):
    """H.264 at the pictures' own times, to ``url`` (``rtsp://``, ``rtmp://``, ``udp://``,
    ``tcp://``) or as HLS in ``path`` (``live/index.m3u8``, which browsers play).

    One source: every picture. Several: a mosaic of the newest of each, ``fps`` times a second at
    most. A live source of which nothing came for ``patience`` seconds is shown as a card, ``no
    picture since hh:mm:ss``, once a second. When the other side goes away, pictures are dropped and
    it is tried again each ``retry`` seconds; nobody waits for that.
    """

    every: ClassVar = 0.5
    waited_for: ClassVar = False
    harmless: ClassVar = True
    """Finite streams lose pictures rather than wait for a network."""
    capacity: ClassVar = 2

    def __init__(  # noqa: PLR0913 - the options of this sink
        self,
        url: str | None = None,
        *,
        path: Path | None = None,
        username: str | None = None,
        password: str | None = None,
        size: Size | None = None,
        fps: float = 25.0,
        crf: int = 23,
        preset: str = "veryfast",
        threads: int = 2,
        patience: float = 3.0,
        retry: float = 5.0,
    ) -> None:
        """``size`` (width, height): that of the first picture unless given; with it, cards are sent
        before the first picture came, too. ``url``, ``username`` and ``password`` may be
        ``env:NAME``, ``file:PATH`` or ``keyring:SERVICE/USER``. Raises ``ConfigError``; nothing is
        opened before the first picture."""
        if fps <= 0 or patience <= 0 or retry <= 0 or (size is not None and min(size) < 16):
            raise ConfigError("fps, patience and retry must be above 0, a size at least 16 x 16")
        place = None if path is None else Path(path).absolute()
        self._target = Target(url, place, username, password)
        self._size = None if size is None else (size[0], size[1])
        self._encoding = Encoding(crf=crf, preset=preset, threads=threads)
        self._interval = round(750_000 / fps)
        self._patience, self._retry = patience, retry
        self._timeline = Timeline(fps)
        self._views: dict[int, _View] = {}
        self._outlet: Outlet | None = None
        self._zero = 0
        """The position at which the present connection began."""
        self._sent_at, self._sent = 0.0, -self._interval
        self._shift = 0
        """How much later than by the timeline pictures are: cards came before the first."""
        self._next_try = 0.0
        self._connections = self._lost = self._cards = 0
        self._ended = False

    def follow(self, source_id: int, name: Callable[[], str], packets: Packets | None) -> None:
        """This stream is to be seen."""
        del packets  # what is drawn is sent, not what came
        self._views.setdefault(source_id, _View(name)).name = name

    def write(self, result: Result) -> None:
        """Send a picture. Raises ``SinkError``."""
        frame, source_id = result.frame, result.frame.source_id or 0
        if (view := self._views.get(source_id)) is None:
            view = self._views[source_id] = _View(lambda: result.source or str(source_id))
        view.image, view.at, view.seen = result.image, frame.timestamp, time.monotonic()
        view.live = not frame.comes_from_video_file
        position = self._caught_up(self._timeline.place(source_id, frame.timestamp))
        if len(self._views) == 1 or position - self._sent >= self._interval:
            self._send(position)

    def tick(self) -> None:
        """Send a card where pictures stay away. Raises ``SinkError``."""
        now = time.monotonic()
        if not any(self._away(view, now) for view in self._views.values()):
            return
        passed = now - self._sent_at
        if self._size is not None and passed >= _CARDS_EVERY:
            self._cards += 1
            self._send(self._sent + (round(passed * 1e6) if self._sent_at else self._interval))

    def forget(self, source_id: int) -> None:
        """This source is gone, and its place in the picture."""
        self._views.pop(source_id, None)
        self._timeline.forget(source_id)

    def close(self) -> None:
        """Hang up. Raises ``SinkError``."""
        self._ended = True
        outlet, self._outlet = self._outlet, None
        if outlet is not None:
            outlet.close()

    def stats(self) -> dict[str, Any]:
        """Is somebody there; how often was it connected, how many pictures found nobody."""
        return {
            "connected": self._outlet is not None,
            "connections": self._connections,
            "pictures_lost": self._lost,
            "cards": self._cards,
        }

    # -- pictures ------------------------------------------------------------------------------

    def _away(self, view: _View, now: float) -> bool:
        if view.image is None:
            return self._size is not None
        return view.live and now - view.seen > self._patience

    def _shown(self, view: _View, size: Size) -> Image:
        if view.image is None or self._away(view, time.monotonic()):
            return card(size, view.name(), view.at)
        return view.image

    def _picture(self) -> Image:
        views = [self._views[source_id] for source_id in sorted(self._views)]
        if self._size is None:
            first = next(view.image for view in views if view.image is not None)
            self._size = size_of(first) if len(views) == 1 else _HD
        if len(views) == 1:
            return self._shown(views[0], self._size)
        return mosaic([self._shown(view, self._size) for view in views], self._size)

    def _caught_up(self, position: int) -> int:
        """``position``, not before what was sent already."""
        if position + self._shift < self._sent - 1_000_000:
            passed = round((time.monotonic() - self._sent_at) * 1e6)
            self._shift = self._sent + passed - position
        return position + self._shift

    def _send(self, position: int) -> None:
        """Where nobody is there, nothing is even drawn until it is time to try again."""
        now = time.monotonic()
        if self._ended or (self._outlet is None and now < self._next_try):
            self._lost += 1
            return
        picture = self._picture()
        try:
            outlet = self._connected(position)
            outlet.send(picture, position - self._zero)
        except SinkError:
            self._lost += 1
            self._hang_up()
            raise
        self._sent_at, self._sent = now, max(position, self._sent + 1)

    def _connected(self, position: int) -> Outlet:
        if self._outlet is None:
            assert self._size is not None
            self._outlet = Outlet(self._target, self._size, self._encoding)
            self._zero = position
            self._connections += 1
            log.info("sending to %s", self._target)
        return self._outlet

    def _hang_up(self) -> None:
        self._next_try = time.monotonic() + self._retry
        outlet, self._outlet = self._outlet, None
        if outlet is not None:
            outlet.drop()
