"""A source that can be exchanged for another one while it is read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from streamkit.errors import SourceError
from streamkit.recording.ring import PacketRing
from streamkit.sources.base import Captures, Source, SourceProperties, Thrifty, keep_packets


class ExchangeableSource:
    """``source``, until ``exchange`` puts another one in its place.

    Whoever reads it sees one source, whose pictures come from elsewhere from some moment on.
    """

    def __init__(self, source: Source) -> None:
        self._lock = threading.Lock()
        self._stopped = False
        self._next: Callable[[], Source] | None = None
        self._wanted: float | None = None
        self._rings: Sequence[PacketRing] = ()
        self.on_exchange: Callable[[Source], None] = lambda _: None
        """Told, in the thread that reads, when another source has taken the place."""
        self.live: bool
        self.reference: str
        self.properties: SourceProperties | None
        self._show(source)

    def _show(self, source: Source) -> None:
        self.source = source
        self.live, self.reference = source.live, source.reference
        self.properties = source.properties

    def read(self) -> Captures:
        """Pictures of the present source, and of those that come after it."""
        while not self._stopped:
            self._follow()
            try:
                yield from self._reading(self.source)
            except SourceError:
                if self._next is None:
                    raise
            if self._next is None:
                return

    def _reading(self, source: Source) -> Captures:
        known: SourceProperties | None = None
        with closing(source.read()) as captures:
            for capture in captures:
                if self._next is not None:
                    return
                if source.properties is not known:
                    self.properties = known = source.properties
                yield capture

    def _follow(self) -> None:
        """Open what is to take the place; where that fails, it is tried at the next ``read``."""
        if (wanted := self._next) is None:
            return
        source = wanted()
        with self._lock:
            self._show(source)
            if self._next is wanted:
                self._next = None
            stopped = self._stopped
        if stopped:
            source.interrupt()
        self.want(self._wanted)
        self.keep(self._rings)
        self.on_exchange(self)

    def exchange(self, open_source: Callable[[], Source]) -> None:
        """Let go of the present source and go on with another, from any thread; returns at once."""
        with self._lock:
            self._next = open_source
            source = self.source
        source.interrupt()

    def interrupt(self) -> None:
        """Stop for good, from any thread."""
        with self._lock:
            self._stopped = True
            source = self.source
        source.interrupt()

    def want(self, fps: float | None) -> None:
        """Passed on to a source that cares."""
        self._wanted = fps
        if isinstance(self.source, Thrifty):
            self.source.want(fps)

    def keep(self, rings: Sequence[PacketRing]) -> None:
        """Passed on. Raises ``ConfigError`` where the source has no packets."""
        self._rings = rings
        keep_packets(self.source, rings)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "source":
            raise AttributeError(name)
        return getattr(self.source, name)


class Exchange:
    """How a stream opens its source; another way to do so may take its place at any time."""

    def __init__(self, open_source: Callable[[], Source]) -> None:
        self._lock = threading.Lock()
        self._open = open_source
        self._current: ExchangeableSource | None = None

    def begin(self) -> None:
        """A new run: what was interrupted in the last one is no more."""
        self._current = None

    def open(self) -> ExchangeableSource:
        """The source to read; the same one again where it was given ready-made."""
        opened = self._open
        source = opened()
        with self._lock:
            current = self._current
            if current is None or current.source is not source:
                self._current = current = ExchangeableSource(source)
            replaced = self._open is not opened
        if replaced:  # meanwhile
            current.exchange(self._open)
        return current

    def replace(self, open_source: Callable[[], Source]) -> None:
        """From now on like this; what is being read is let go of."""
        with self._lock:
            self._open, current = open_source, self._current
        if current is not None:
            current.exchange(open_source)
