"""Writes one JSON record per frame to a file that can be followed while it grows."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from streamkit.errors import SinkError
from streamkit.predictions import Result, Wire
from streamkit.sinks.base import Sink
from streamkit.sinks.record import encode, record
from streamkit.sinks.writers import done, refuse_written, writes


class JsonLinesSink(Sink):
    """One line per frame, handed to the system whole: ``tail -f`` sees it at once.

    A killed process loses at most the line it was writing; the next run starts a line of its own.
    A full disk leaves no half line behind. Keys: ``source_id frame_id timestamp`` (ISO 8601, UTC)
    ``clock image{width,height} prediction``, in a pipeline also ``source``: what the stream is
    called.
    """

    capacity = 16

    def __init__(self, path: str | Path, *, append: bool = True) -> None:
        """Open ``path``, with the directories it needs; ``append=False`` starts it anew.

        Raises ``SinkError`` where it cannot be written, and ``ConfigError`` where it is to start
        anew while another sink writes it.
        """
        self.path = Path(path)
        if not append:
            refuse_written(self.path)
        self._names: dict[int, Callable[[], str]] = {}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = cast(BinaryIO, self.path.open("ab", buffering=0))
            if not append:
                self._file.truncate(0)
            self._end_broken_line()
        except OSError as error:
            raise SinkError(f"cannot write {self.path}: {error.strerror}") from error
        writes(self, self.path)

    def write(self, result: Result) -> None:
        if self._file.closed:
            raise SinkError(f"{self.path} is closed")
        try:
            self._put(encode(self._record(result)) + b"\n")
        except OSError as error:
            raise SinkError(f"cannot write {self.path}: {error.strerror}") from error

    def _record(self, result: Result) -> Wire:
        told, name = record(result), self._names.get(result.frame.source_id or 0)
        return told if name is None else {"source": name(), **told}

    def follow(self, source_id: int, name: Callable[[], str], _packets: object) -> None:
        """Its records say what the stream is called."""
        self._names[source_id] = name

    def forget(self, source_id: int) -> None:
        """This source is gone."""
        self._names.pop(source_id, None)

    def close(self) -> None:
        done(self)
        self._file.close()

    def _put(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._take_back(len(line) - len(rest))
            raise

    def _take_back(self, count: int) -> None:
        """Cut off the last ``count`` bytes, wherever the file ends now: others may rotate it."""
        if count and self.path.is_file():
            self._file.truncate(os.fstat(self._file.fileno()).st_size - count)

    def _end_broken_line(self) -> None:
        """A process killed in the middle of a line must not spoil the first one of this run."""
        if not self.path.is_file() or not self.path.stat().st_size:
            return
        with self.path.open("rb") as written:
            written.seek(-1, 2)
            if written.read(1) != b"\n":
                self._put(b"\n")
