"""Saves pictures as JPEG: one for each event, or one every so many seconds."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2

from streamkit.errors import ConfigError, SinkError
from streamkit.frame import Image
from streamkit.predictions import Result
from streamkit.recording.archive import Archive, Limits
from streamkit.recording.naming import event_path, time_path
from streamkit.sinks.base import Sink
from streamkit.sinks.chosen import Chosen

log = logging.getLogger(__name__)


class SnapshotsSink(Sink):
    """JPEG files that appear whole or not at all.

    For each event ``{folder}/{stream}/{event id}.jpg`` (``recording.naming.event_path`` tells that
    beforehand), else ``{folder}/{stream}/{UTC}.jpg`` every ``seconds`` by the frames' own times.
    ``{folder}/snapshots.jsonl`` tells of each: ``file start end bytes stream event frame_id``.
    """

    every: ClassVar = 10.0
    harmless: ClassVar = True

    def __init__(  # noqa: PLR0913 - the options of this sink
        self,
        folder: str | Path,
        *,
        kinds: Sequence[str] = (),
        seconds: float | None = None,
        annotated: bool = True,
        quality: int = 90,
        keep_days: float | None = None,
        keep_gb: float | None = None,
        keep_free_gb: float | None = None,
    ) -> None:
        """``seconds``: one so often, instead of one for each event of these ``kinds`` (``*`` for
        anything; none: all). ``annotated``: with what stages drew on it. ``quality``: 1 to 100.
        ``keep_days``, ``keep_gb``, ``keep_free_gb`` as in ``segments``. Raises ``ConfigError``,
        ``SinkError``."""
        if seconds is not None and (kinds or not seconds > 0):
            raise ConfigError("seconds: give a number above 0, or kinds of events instead")
        if not 1 <= quality <= 100:
            raise ConfigError(f"quality={quality!r}: give a number from 1 to 100")
        self._chosen, self._seconds = Chosen(kinds), seconds
        self.takes_events = seconds is None
        """It gets only results with events, and loses none."""
        self._annotated, self._quality = annotated, quality
        limits = Limits(days=keep_days, gigabytes=keep_gb, free_gigabytes=keep_free_gb)
        self._archive = Archive(folder, "snapshots", limits)
        self.path = self._archive.folder
        self._last: dict[int, float] = {}
        for path, _ in self._archive.left_behind():
            path.with_name(f".{path.name}.part").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            self._archive.forget(path)

    def write(self, result: Result) -> None:
        """Save what is due. Raises ``SinkError``."""
        if self._seconds is not None:
            self._at_times(result, self._seconds)
            return
        for event in filter(self._chosen.has, result.events):
            stream = event.source or str(event.stream)
            path = event_path(self.path, stream, event.id, ".jpg")
            about = {"stream": stream, "event": event.id, "frame_id": event.frame_id}
            self._save(path, result, event.at.timestamp(), about)

    def tick(self) -> None:
        """Delete what is too old or too much."""
        self._archive.tidy()

    def forget(self, source_id: int) -> None:
        """This source is gone."""
        self._last.pop(source_id, None)

    def close(self) -> None:
        """Nothing is open."""
        self._archive.close()

    def stats(self) -> dict[str, Any]:
        """Files, bytes, and how many were deleted."""
        return self._archive.stats()

    def _at_times(self, result: Result, seconds: float) -> None:
        source_id, at = result.frame.source_id or 0, result.frame.timestamp.timestamp()
        last = self._last.get(source_id)
        if last is not None and 0 <= at - last < seconds:
            return
        self._last[source_id] = at
        stream = result.source or str(source_id)
        path = time_path(self.path, stream, at, ".jpg")
        self._save(path, result, at, {"stream": stream, "frame_id": result.frame.frame_id})

    def _save(self, path: Path, result: Result, at: float, about: dict[str, Any]) -> None:
        image = result.image if self._annotated else result.frame.image
        data = _jpeg(image, self._quality)
        self._archive.begin(path, at, **about)
        part = path.with_name(f".{path.name}.part")
        try:
            part.write_bytes(data)
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            self._archive.forget(path)
            raise SinkError(f"cannot write {path}: {error.strerror or error}") from error
        self._archive.finish(path, at, **about)


def _jpeg(image: Image, quality: int) -> bytes:
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise SinkError(f"a picture of {image.shape[1]}x{image.shape[0]} cannot be written as JPEG")
    return data.tobytes()
