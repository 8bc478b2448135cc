"""Records what cameras send, all of it, in files that are cut at key frames by the clock."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from streamkit.errors import ConfigError, SinkError
from streamkit.events import Throttle
from streamkit.packets import Packet, Packets
from streamkit.predictions import Result
from streamkit.recording.archive import Archive, Limits
from streamkit.recording.naming import time_path
from streamkit.sinks.base import Sink
from streamkit.sinks.remux import Remux, seconds_of

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Recorder:
    """One stream while it is recorded."""

    name: Callable[[], str]
    packets: Packets
    cursor: int
    """The number of the last packet that was seen."""
    file: Remux | None = None
    slot: int = 0
    """Which stretch of the clock its file is of."""


class SegmentsSink(Sink):
    """Continuous recording without encoding: MP4 files of ``every`` seconds of each stream.

    A file is cut at the first key frame after the clock (UTC) has passed a multiple of ``every``,
    and where the camera was connected anew or has changed its picture. Nothing is lost between
    files. While it grows a file is playable up to its last key frame, also after a crash. Streams
    need ``keep_packets``; they are recorded whether or not a model gets to see them.

    Files are ``{folder}/{stream}/{UTC}.mp4``; ``{folder}/segments.jsonl`` tells of each: ``file
    start end bytes stream codec packets``.
    """

    every: ClassVar = 0.5
    takes_packets: ClassVar = True
    harmless: ClassVar = True
    """Streams have to keep their packets for it."""

    def __init__(
        self,
        folder: str | Path,
        *,
        every: float = 60.0,
        keep_days: float | None = None,
        keep_gb: float | None = None,
        keep_free_gb: float | None = None,
    ) -> None:
        """``keep_days``, ``keep_gb``: older files, and those above this size together, are deleted,
        the oldest first; ``keep_free_gb`` of the disk stay free. Raises ``ConfigError`` and
        ``SinkError``."""
        if not 1 <= every <= 86_400:
            raise ConfigError(f"every={every!r}: give seconds from 1 to 86400")
        limits = Limits(days=keep_days, gigabytes=keep_gb, free_gigabytes=keep_free_gb)
        self._archive = Archive(folder, "segments", limits)
        self.path = self._archive.folder
        self._length = every
        self._recorders: dict[int, _Recorder] = {}
        self._missed = self._segments = 0
        self._throttle = Throttle(10.0)
        self._take_up()

    def follow(self, source_id: int, name: Callable[[], str], packets: Packets | None) -> None:
        """Record this stream from its oldest packet on; one that is known is gone on with."""
        known = self._recorders.get(source_id)
        if packets is None or (known is not None and known.packets is packets):
            return
        if known is not None:
            self._finish(known)
        self._recorders[source_id] = _Recorder(name, packets, packets.before(-math.inf))

    def write(self, result: Result) -> None:
        """Record what has come meanwhile. Raises ``SinkError``."""
        frame, source_id = result.frame, result.frame.source_id or 0
        if source_id not in self._recorders:
            if frame.packets is None:
                raise SinkError(f"source {source_id} keeps no packets: give it keep_packets")
            self.follow(source_id, lambda: result.source or str(source_id), frame.packets)
        self._advance(self._recorders[source_id])

    def tick(self) -> None:
        """The same of every stream, whether or not anything was seen in it."""
        errors = [error for r in self._recorders.values() if (error := self._tried(r)) is not None]
        self._archive.tidy()
        if errors:
            raise errors[0]

    def forget(self, source_id: int) -> None:
        """This source is gone."""
        recorder = self._recorders.pop(source_id, None)
        if recorder is not None:
            self._end(recorder)

    def close(self) -> None:
        """Record the rest, and close all files. Raises ``SinkError``."""
        recorders, self._recorders = self._recorders, {}
        errors = []
        for recorder in recorders.values():
            try:
                self._end(recorder)
            except SinkError as error:
                errors.append(error)
        self._archive.close()
        if errors:
            raise errors[0]

    def stats(self) -> dict[str, Any]:
        """Files, bytes, what was deleted; packets that were evicted before they were written."""
        return {**self._archive.stats(), "segments": self._segments, "missed": self._missed}

    # -- one stream ----------------------------------------------------------------------------

    def _end(self, recorder: _Recorder) -> None:
        try:
            self._advance(recorder)
        finally:
            self._finish(recorder)

    def _tried(self, recorder: _Recorder) -> SinkError | None:
        try:
            self._advance(recorder)
        except SinkError as error:
            return error
        return None

    def _advance(self, recorder: _Recorder) -> None:
        """Write everything that is new. After an error it goes on at the next key frame."""
        piece = recorder.packets.after(recorder.cursor)
        recorder.cursor = piece.last
        self._miss(recorder, piece.missed)
        failed: SinkError | None = None
        for packet in piece.packets:
            try:
                self._put(recorder, packet)
            except SinkError as error:
                failed = failed or error
                self._abandon(recorder)
                self._miss(recorder, 1)
        if failed is not None:
            raise failed

    def _put(self, recorder: _Recorder, packet: Packet) -> None:
        slot = math.floor(packet.at / self._length)
        file = recorder.file
        if packet.key and (file is None or slot != recorder.slot or packet.track is not file.track):
            self._finish(recorder)
            recorder.file, recorder.slot = self._begun(recorder, packet), slot
        if recorder.file is not None:
            recorder.file.add(packet)
        else:
            self._miss(recorder, 1)

    def _begun(self, recorder: _Recorder, first: Packet) -> Remux:
        name = recorder.name()
        path = _unused(time_path(self.path, name, first.at, ".mp4"))
        self._archive.tidy()
        self._archive.begin(path, first.at, stream=name, codec=first.track.codec)
        try:
            return Remux(path, first)
        except SinkError:
            self._archive.forget(path)
            raise

    def _finish(self, recorder: _Recorder) -> None:
        file, recorder.file = recorder.file, None
        if file is not None:
            file.finish()
            self._note(file, recorder.name())

    def _abandon(self, recorder: _Recorder) -> None:
        file, recorder.file = recorder.file, None
        if file is not None:
            file.abandon()
            if file.path.exists():
                self._note(file, recorder.name())

    def _note(self, file: Remux, name: str) -> None:
        about = {"stream": name, "codec": file.track.codec, "packets": file.packets}
        self._archive.finish(file.path, file.end, **about)
        self._segments += 1

    def _miss(self, recorder: _Recorder, count: int) -> None:
        self._missed += count
        if count and self._throttle.tick():
            log.warning("%s: %d packets were not recorded", recorder.name(), self._missed)

    def _take_up(self) -> None:
        """What a killed process left: it plays up to its last key frame."""
        for path, start in self._archive.left_behind():
            if path.exists() and (seconds := seconds_of(path)):
                self._archive.finish(path, start + seconds, cut_off=True)
            else:
                self._archive.forget(path)


def _unused(path: Path) -> Path:
    """``path``, or with a number where there is such a file: the clock may have been set back."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free
