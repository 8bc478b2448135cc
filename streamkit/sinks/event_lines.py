"""Writes events as JSON, one per line, to a file that is begun anew by size and by day."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import orjson

from streamkit.events import Event
from streamkit.predictions import Result
from streamkit.sinks.base import Sink
from streamkit.sinks.chosen import Chosen
from streamkit.sinks.lines import LineFile, Period, Rotation
from streamkit.sinks.record import encode


class EventFile(Sink):
    """Events, a line each, in a file that is begun anew now and then. A kind of file gives
    ``header``, ``line`` and ``is_whole``."""

    takes_events: ClassVar = True
    harmless: ClassVar = True
    header: ClassVar[bytes] = b""
    """The first line of each file."""

    def __init__(
        self,
        path: str | Path,
        *,
        kinds: Sequence[str] = (),
        rotate: Period = "never",
        rotate_bytes: int | None = None,
        keep_files: int | None = None,
        sync: bool = True,
    ) -> None:
        """``kinds``: the events meant (``zone.*``); none: all. ``rotate`` (by hour or day, UTC) and
        ``rotate_bytes`` put the file aside as ``name.<when it was written last>.ending``; of those,
        the newest ``keep_files`` are kept.

        Raises ``ConfigError``; ``SinkError`` where ``path`` cannot be written, or begins otherwise.
        """
        self._chosen = Chosen(kinds)
        rotation = Rotation(rotate, rotate_bytes, keep_files)
        whole, header = self.is_whole, self.header
        self._lines = LineFile(path, whole, header=header, rotation=rotation, sync=sync)
        self.path = self._lines.path

    def write(self, result: Result) -> None:
        """Append the events of ``result``. Raises ``SinkError``."""
        if events := list(filter(self._chosen.of_kind, result.events)):
            self._lines.put(b"".join(map(self.line, events)))

    def close(self) -> None:
        self._lines.close()

    @abstractmethod
    def line(self, event: Event) -> bytes:
        """With its end."""

    @staticmethod
    @abstractmethod
    def is_whole(line: bytes) -> bool:
        """Whether a line without an end is all there."""


class EventLinesSink(EventFile):
    """One line per event, in the wire form of all sinks (``Event.dict``).

    What was written survives a crash, and with ``sync`` a power cut; the events of one frame are
    there together or not at all.
    """

    def line(self, event: Event) -> bytes:
        return encode(event.dict()) + b"\n"

    @staticmethod
    def is_whole(line: bytes) -> bool:
        try:
            orjson.loads(line)
        except orjson.JSONDecodeError:
            return False
        return True
