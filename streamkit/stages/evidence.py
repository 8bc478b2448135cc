"""Puts pictures on disk that show what events tell, and says in each event where they are."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from streamkit.errors import ConfigError, SinkError
from streamkit.events import Event, Evidence, EvidenceKind, Throttle
from streamkit.frame import Image
from streamkit.imaging.jpeg import jpeg, write_whole
from streamkit.predictions import Detections, Result
from streamkit.recording.archive import Archive, Limits
from streamkit.recording.naming import event_path, plain
from streamkit.stages.base import Manifest, Needs, Stage

log = logging.getLogger(__name__)

_EVERY: Final = 30.0
"""Seconds between two looks at how much there is, and at most so many files."""


class WithEvidence(Stage):
    """A JPEG of the frame, a crop of the object, and where its clip is going to be, for each event
    that the stages before raised; put behind ``limit``, and behind ``privacy`` to show no more than
    what everybody may see.

    An event is never held up by this: what could not be written is said in its evidence as
    ``error``, and what the disk is to blame for in the log, once a second. The events of one frame
    share a snapshot. Where clips of one place run together, that of the first event shows all.
    """

    manifest: ClassVar = Manifest(
        "Evidence",
        Needs(picture=True, stream=True),
        stateful=True,
        examples=(
            {"steps": ["track", {"line": {"start": [320, 0], "end": [320, 360]}},
                       {"evidence": {"folder": "evidence", "kinds": ["line.in"]}}]},
            {"steps": ["track", {"zone": {"polygon": [[0, 0], [640, 0], [640, 360], [0, 360]]}},
                       "annotate", {"evidence": {"folder": "evidence", "annotated": True,
                                                 "crop": False, "keep_days": 7}}]},
        ),
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - each is an option of a document
        self,
        *,
        folder: str | Path,
        kinds: Sequence[str] = (),
        snapshot: bool = True,
        crop: bool = True,
        clip: str | Path | None = None,
        quality: int = 90,
        annotated: bool = False,
        padding: float = 0.2,
        keep_days: float | None = 30.0,
        keep_gb: float | None = 5.0,
        keep_free_gb: float | None = None,
    ) -> None:
        """``folder``: where pictures go, each stream has one of its own in it. ``kinds``: the
        events meant, ``*`` for anything (``zone.*``); all where empty. ``snapshot``: the whole
        frame. ``crop``: the object, where one did it. ``clip``: the folder of the clips sink.
        ``quality``: of the JPEGs, 1..100. ``annotated``: the frame with what stages before drew.
        ``padding``: around a crop, in longer sides of the box. ``keep_days``: how long pictures are
        kept. ``keep_gb``: how much of each stream is kept. ``keep_free_gb``: how much of the disk
        stays free. Raises ``ConfigError``."""
        if isinstance(kinds, str):
            raise ConfigError(f"kinds must be a list of events, like [{kinds}]")
        if not 1 <= quality <= 100 or not 0 <= padding <= 10:
            raise ConfigError("quality is from 1 to 100, padding from 0 to 10")
        if not str(folder):
            raise ConfigError("folder: name one")
        self._folder, self._kinds, self._clip = Path(folder).absolute(), tuple(kinds), clip
        self._snapshot, self._crop = snapshot, crop
        self._quality, self._annotated, self._padding = quality, annotated, padding
        self._limits = Limits(days=keep_days, gigabytes=keep_gb, free_gigabytes=keep_free_gb)
        self._archive: Archive | None = None
        self._written, self._due = 0, 0.0
        self._failures = Throttle()

    def __call__(self, result: Result) -> Result:
        if any(self._wants(event) for event in result.events):
            result.events = self._with_evidence(result)
        return result

    def end(self, result: Result) -> Result:
        """The events that the stream ends with have the last frame."""
        try:
            return self(result)
        finally:
            if self._archive is not None:
                self._archive.close()
                self._archive = None

    def _wants(self, event: Event) -> bool:
        return not self._kinds or any(fnmatchcase(event.kind, kind) for kind in self._kinds)

    def _with_evidence(self, result: Result) -> tuple[Event, ...]:
        """All events of one frame have one snapshot; it bears the id of the first."""
        snapshot: Evidence | None = None
        events: list[Event] = []
        for event in result.events:
            if self._wants(event):
                if self._snapshot and snapshot is None:
                    snapshot = self._taken(result, event, "snapshot", self._picture)
                found = [snapshot] if snapshot is not None else []
                event = replace(
                    event, evidence=(*event.evidence, *found, *self._own(result, event))
                )
            events.append(event)
        return tuple(events)

    def _own(self, result: Result, event: Event) -> list[Evidence]:
        own: list[Evidence] = []
        if self._crop and event.tracker_id is not None:
            own.append(self._taken(result, event, "crop", self._cut))
        if self._clip is not None:
            path = event_path(self._clip, result.source, event.id, ".mp4").absolute()
            own.append(Evidence("clip", str(path), "clip"))
        return own

    def _taken(
        self,
        result: Result,
        event: Event,
        kind: EvidenceKind,
        picture: Callable[[Result, Event], Image],
    ) -> Evidence:
        import cv2

        drawn = self._annotated and result.drawn is not None
        what = "object" if kind == "crop" else "annotated frame" if drawn else "frame"
        try:
            path, data = self._written_at(result, event, kind, picture(result, event))
        except (OSError, SinkError, ValueError, MemoryError, cv2.error) as error:
            said = str(error) or type(error).__name__
            disk = isinstance(error, OSError | SinkError)
            if disk and (count := self._failures.tick()):
                log.warning("evidence failed %d times, last: %s", count, said)
            return Evidence(kind, None, what, error=said)
        return Evidence(kind, str(path), what, len(data), hashlib.sha256(data).hexdigest())

    def _written_at(
        self, result: Result, event: Event, kind: EvidenceKind, image: Image
    ) -> tuple[Path, bytes]:
        data = jpeg(image, self._quality)
        archive = self._archive_of(result.source)
        self._prune(archive)
        suffix = f"{_ending(event)}{'.crop' if kind == 'crop' else ''}.jpg"
        path = event_path(self._folder, result.source, event.id, suffix)
        now = time.time()
        archive.begin(path, now, event=event.id, kind=event.kind)
        try:
            write_whole(path, data)
        except OSError as error:
            archive.forget(path)
            raise SinkError(f"cannot write {path}: {error.strerror or error}") from error
        archive.finish(path, now)
        return path, data

    def _archive_of(self, stream: str) -> Archive:
        """Of this stream; what a killed process left unfinished is cleared away."""
        folder = self._folder / plain(stream)
        if self._archive is None or self._archive.folder != folder:
            if self._archive is not None:
                self._archive.close()
            self._archive = Archive(folder, "evidence", self._limits)
            for path, _ in self._archive.left_behind():
                path.with_name(f".{path.name}.part").unlink(missing_ok=True)
                self._archive.forget(path)
        return self._archive

    def _prune(self, archive: Archive) -> None:
        self._written += 1
        now = time.monotonic()
        if now >= self._due or self._written >= _EVERY:
            self._written, self._due = 0, now + _EVERY
            archive.prune()

    def _picture(self, result: Result, _event: Event) -> Image:
        return result.image if self._annotated else result.frame.image

    def _cut(self, result: Result, event: Event) -> Image:
        """The object with something around it. ``ValueError`` where it is not in the picture."""
        found = result.prediction
        if not isinstance(found, Detections) or found.tracker_id is None:
            raise ValueError("nobody tracks objects here")
        here = np.flatnonzero(found.tracker_id == event.tracker_id)
        if not len(here):
            raise ValueError(f"track {event.tracker_id} is not in this frame")
        box = found.xyxy[here[0]]
        around = self._padding * max(box[2] - box[0], box[3] - box[1])
        image = result.frame.image
        size = np.array((image.shape[1], image.shape[0]), np.float32)
        left, top = np.clip(np.floor(box[:2] - around), 0, size).astype(int)
        right, bottom = np.clip(np.ceil(box[2:] + around), 0, size).astype(int)
        if right <= left or bottom <= top:
            raise ValueError(f"track {event.tracker_id} is outside of the picture")
        return image[top:bottom, left:right]


def _ending(event: Event) -> str:
    """What keeps the files of one happening apart."""
    if event.phase == "instant":
        return ""
    return f".update-{event.frame_id}" if event.phase == "update" else f".{event.phase}"
