"""Saves what a camera sent around each event, from some seconds before it to some after it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from streamkit.errors import ConfigError, SinkError
from streamkit.events import Event
from streamkit.packets import Packet, Packets
from streamkit.predictions import Result
from streamkit.recording.archive import Archive, Limits
from streamkit.recording.naming import event_path
from streamkit.sinks.base import Sink
from streamkit.sinks.chosen import Chosen
from streamkit.sinks.remux import Remux, put_in_front

log = logging.getLogger(__name__)

Place: TypeAlias = tuple[int | None, str]
"""A stream, and the key of its event: where one clip is made at a time."""

_PATIENCE = 10.0
"""Seconds after which the end of a clip is no longer waited for: the camera is away."""
_LATE = 2.0
"""Seconds that an event may come after its picture."""
_AT_ONCE = 64
"""Clips that may be open at a time."""


@dataclass(slots=True, eq=False)
class _Clip:
    """One clip while it is made."""

    event: Event
    """The first."""
    packets: Packets
    cursor: int
    until: float
    """Unix time of its end."""
    latest: float
    """Unix time beyond which it is not prolonged."""
    deadline: float | None
    """Monotonic seconds at which it ends in any case."""
    events: list[Event] = field(default_factory=list)
    """All that it shows."""
    file: Remux | None = None
    parts: int = 0
    over: bool = False

    def reaches(self, at: float, before: float) -> bool:
        """Would a clip of Unix time ``at`` overlap it, and can it go on for so long?"""
        return self.event.at.timestamp() - before <= at <= self.latest and at - before <= self.until


class ClipsSink(Sink):
    """An MP4 file for each event, without encoding: browsers play it where they know the codec.

    It begins with the key frame at or before ``before`` seconds ahead of the event, and ends
    ``after`` seconds past it. What happens at the same place (stream and key) while clips of it
    would overlap prolongs it, up to ``longest``; within ``cool_down`` seconds of its end no other
    is begun there. Streams need ``keep_packets`` for more than ``before`` seconds.

    The first event's clip is ``{folder}/{stream}/{event id}.mp4``: ``recording.naming.event_path``
    tells that beforehand. It appears when it is whole; until then it is ``.{name}.part`` beside it,
    which is playable, also after a crash. Where the camera was connected anew in the middle, what
    came then is in ``...-2.mp4``. Events that prolonged a clip find it under their names, too, as
    further links to one file. ``{folder}/clips.jsonl`` tells of each: ``file start end bytes
    stream events codec packets``.
    """

    every: ClassVar = 0.5
    takes_events: ClassVar = True
    takes_packets: ClassVar = True
    harmless: ClassVar = True

    def __init__(  # noqa: PLR0913 - the options of this sink
        self,
        folder: str | Path,
        *,
        kinds: Sequence[str] = (),
        before: float = 5.0,
        after: float = 5.0,
        longest: float = 120.0,
        cool_down: float = 0.0,
        keep_days: float | None = None,
        keep_gb: float | None = None,
        keep_free_gb: float | None = None,
    ) -> None:
        """``kinds`` of events, ``*`` for anything (``["zone.*"]``); none: all. ``keep_days``,
        ``keep_gb``, ``keep_free_gb`` as in ``segments``. Raises ``ConfigError``, ``SinkError``."""
        if min(before, after, cool_down) < 0 or before + after <= 0:
            raise ConfigError("before, after and cool_down: seconds from 0, and a clip above 0")
        if longest < before + after:
            raise ConfigError(f"longest={longest!r}: give at least before + after")
        self._chosen = Chosen(kinds)
        limits = Limits(days=keep_days, gigabytes=keep_gb, free_gigabytes=keep_free_gb)
        self._archive = Archive(folder, "clips", limits)
        self.path = self._archive.folder
        self._before, self._after = before, after
        self._longest, self._cool_down = longest, cool_down
        self._open: dict[Place, _Clip] = {}
        self._ended: dict[Place, tuple[float, float]] = {}
        """Of the last clip: Unix time of its beginning and its end. What is before that comes after
        it all the same: the clock was set back."""
        self._clips = self._merged = self._passed_over = 0
        self._take_up()

    def follow(self, source_id: int, name: Callable[[], str], packets: Packets | None) -> None:
        """Nothing to do before an event; it says that streams are to have packets."""

    def write(self, result: Result) -> None:
        """Begin clips, or prolong them. Raises ``SinkError``."""
        errors = []
        for event in result.events:
            try:
                self._see(event, result)
            except SinkError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def tick(self) -> None:
        """Go on with what is open."""
        errors = self._all(self._advance)
        self._archive.tidy()
        if errors:
            raise errors[0]

    def forget(self, source_id: int) -> None:
        """This source is gone: its clips end with what there is."""
        self._all(self._end, source_id)

    def close(self) -> None:
        """End all clips with what there is. Raises ``SinkError``."""
        errors = self._all(self._end)
        self._archive.close()
        if errors:
            raise errors[0]

    def stats(self) -> dict[str, Any]:
        """Clips; events that were merged into one, or passed over by ``cool_down``; files, bytes,
        what was deleted."""
        return {
            **self._archive.stats(),
            "clips": self._clips,
            "merged": self._merged,
            "passed_over": self._passed_over,
        }

    # -- events --------------------------------------------------------------------------------

    def _see(self, event: Event, result: Result) -> None:
        place, at = (event.stream, event.key), event.at.timestamp()
        clip = self._open.get(place)
        if clip is not None:
            self._advance(clip)
        if clip is not None and not clip.over and clip.reaches(at, self._before):
            if self._chosen.of_kind(event):
                self._prolong(clip, event, at, result)
            return
        if not self._chosen.has(event):
            return
        if clip is not None:
            self._end(clip)
        ended = self._ended.get(place)
        if ended is not None and ended[0] <= at < ended[1] + self._cool_down:
            self._passed_over += 1
            return
        self._begin(place, event, at, result)

    def _begin(self, place: Place, event: Event, at: float, result: Result) -> None:
        packets = result.frame.packets
        if packets is None:
            raise SinkError(f"source {event.stream} keeps no packets: give it keep_packets")
        if len(self._open) >= _AT_ONCE:
            raise SinkError(f"no clip of {event.id}: {_AT_ONCE} are being written already")
        cursor = packets.before(at - self._before)
        until, latest = at + self._after, at - self._before + self._longest
        clip = _Clip(event, packets, cursor, until, latest, self._deadline(result, self._after))
        clip.events.append(event)
        self._open[place] = clip
        self._advance(clip)

    def _prolong(self, clip: _Clip, event: Event, at: float, result: Result) -> None:
        until = min(max(clip.until, at + self._after), clip.latest)
        clip.deadline = self._deadline(result, until - at)
        clip.until = until
        if event.id not in [known.id for known in clip.events]:
            clip.events.append(event)
            self._merged += 1

    def _deadline(self, result: Result, seconds: float) -> float | None:
        """A file may be read at any speed."""
        finite = result.frame.comes_from_video_file
        return None if finite else time.monotonic() + seconds + _PATIENCE

    # -- clips ---------------------------------------------------------------------------------

    def _all(self, act: Callable[[_Clip], None], source_id: int | None = None) -> list[SinkError]:
        errors = []
        for (stream, _), clip in list(self._open.items()):
            if source_id is not None and stream != source_id:
                continue
            try:
                act(clip)
            except SinkError as error:
                errors.append(error)
        return errors

    def _advance(self, clip: _Clip) -> None:
        """Write what is new, up to its end. An error ends it."""
        piece = clip.packets.after(clip.cursor)
        clip.cursor = piece.last - len(piece.packets)
        try:
            for packet in piece.packets:
                if _decoded_at(packet) > clip.until:
                    break
                self._put(clip, packet)
                clip.cursor += 1
        except SinkError:
            self._leave(clip)
            raise
        late = clip.deadline is not None and time.monotonic() > clip.deadline
        if late or self._is_past(clip, piece.packets):
            self._leave(clip)

    def _is_past(self, clip: _Clip, packets: Sequence[Packet]) -> bool:
        """Will no event that would prolong it come any more?"""
        return bool(packets) and packets[-1].at > clip.until + self._before + _LATE

    def _put(self, clip: _Clip, packet: Packet) -> None:
        if clip.file is not None and packet.track is not clip.file.track:
            self._finish(clip)
        if clip.file is None and packet.key:
            clip.file = self._begun(clip, packet)
        if clip.file is not None:
            clip.file.add(packet)

    def _begun(self, clip: _Clip, first: Packet) -> Remux:
        event, clip.parts = clip.event, clip.parts + 1
        path = event_path(self.path, _stream(event), event.id, ".mp4")
        if clip.parts > 1 or path.exists():
            path = _unused(path)
        part = _part(path)
        self._archive.begin(part, first.at, stream=_stream(event), events=[event.id])
        try:
            return Remux(part, first)
        except SinkError:
            self._archive.forget(part)
            raise

    def _end(self, clip: _Clip) -> None:
        """Nothing more will come."""
        if not clip.over:
            self._advance(clip)
        self._leave(clip)

    def _leave(self, clip: _Clip) -> None:
        """It is over."""
        clip.over = True
        place = clip.event.stream, clip.event.key
        if self._open.get(place) is clip:
            del self._open[place]
            self._ended[place] = clip.event.at.timestamp() - self._before, clip.until
            while len(self._ended) > 10_000:
                del self._ended[next(iter(self._ended))]
        self._finish(clip)

    def _finish(self, clip: _Clip) -> None:
        file, clip.file = clip.file, None
        if file is None:
            return
        whole = file.path.with_name(file.path.name.removeprefix(".").removesuffix(".part"))
        try:
            file.finish()
        finally:
            self._show(file.path, whole, clip, file)

    def _show(self, part: Path, whole: Path, clip: _Clip, file: Remux) -> None:
        """Let a file appear under its name; where there is no room to put its index in front, as it
        is."""
        start = file.start
        self._archive.forget(part)
        if not part.exists():
            return
        ids = [event.id for event in clip.events]
        about = {"stream": _stream(clip.event), "events": ids, "codec": file.track.codec}
        self._archive.begin(whole, start, **about)
        try:
            put_in_front(part, whole)
        except SinkError as error:
            log.warning("%s; it is left as it was written", error)
            part.replace(whole)
        self._archive.finish(whole, file.end, packets=file.packets, **about)
        self._clips += 1
        self._link(whole, clip, file)
        log.info("clip %s: %.1f s, events %s", whole, file.end - start, ", ".join(ids))

    def _link(self, whole: Path, clip: _Clip, file: Remux) -> None:
        """Events that were merged into it find it under their own names, too."""
        for event in clip.events[1:]:
            path = event_path(self.path, _stream(event), event.id, ".mp4")
            if path.exists() or not file.start <= event.at.timestamp() <= file.end:
                continue
            about = {"stream": _stream(event), "events": [event.id], "same_as": whole.name}
            self._archive.begin(path, file.start, **about)
            try:
                path.hardlink_to(whole)
            except OSError as error:  # a disk that has none
                log.debug("%s: %s", path, error)
                self._archive.forget(path)
            else:
                self._archive.finish(path, file.end, **about)

    def _take_up(self) -> None:
        """What a killed process left plays up to its last key frame: let it appear."""
        for path, start in self._archive.left_behind():
            whole = path.with_name(path.name.removeprefix(".").removesuffix(".part"))
            self._archive.forget(path)
            if path.exists() and not (whole != path and whole.exists()):
                self._archive.begin(whole, start)
                path.replace(whole)
                self._archive.finish(whole, whole.stat().st_mtime, cut_off=True)


def _decoded_at(packet: Packet) -> float:
    """When it is decoded, on the clock of ``at``: pictures that are shown before others which come
    ahead of them are not cut off."""
    return packet.at - float((packet.pts - packet.dts) * packet.track.time_base)


def _stream(event: Event) -> str:
    return event.source or str(event.stream)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _unused(path: Path) -> Path:
    number = 2
    while (free := path.with_name(f"{path.stem}-{number}{path.suffix}")).exists():
        number += 1
    return free
