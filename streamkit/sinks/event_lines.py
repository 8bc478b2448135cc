"""Writes events as JSON, one per line, to a file that is begun anew by size and by day."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import orjson

from streamkit.predictions import Result
from streamkit.sinks.base import Sink
from streamkit.sinks.chosen import Chosen
from streamkit.sinks.lines import LineFile, Period, Rotation
from streamkit.sinks.record import encode


class EventLinesSink(Sink):
    """One line per event, in the wire form of all sinks (``Event.dict``).

    What was written survives a crash, and with ``sync`` a power cut; the events of one frame are
    there together or not at all.
    """

    takes_events: ClassVar = True

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

        Raises ``ConfigError``; ``SinkError`` where ``path`` cannot be written.
        """
        self._chosen = Chosen(kinds)
        rotation = Rotation(rotate, rotate_bytes, keep_files)
        self._lines = LineFile(path, _is_json, rotation=rotation, sync=sync)
        self.path = self._lines.path

    def write(self, result: Result) -> None:
        """Append the events of ``result``. Raises ``SinkError``."""
        if events := list(filter(self._chosen.of_kind, result.events)):
            self._lines.put(b"".join(encode(event.dict()) + b"\n" for event in events))

    def close(self) -> None:
        self._lines.close()


def _is_json(line: bytes) -> bool:
    """Whether a line without an end is all there."""
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True
