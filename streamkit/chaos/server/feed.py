"""From the reel to a media's appsrc, one picture at a time, with what is wrong just now."""

from __future__ import annotations

import threading
from typing import Any

from .gst import Gst
from .reel import Condition, Moment, Reel
from .units import Film, Unit


class Feed:
    """Plays a reel into one media until that is unprepared or the stream is ended."""

    def __init__(self, reel: Reel, condition: Condition, media: Any) -> None:
        self._reel, self._condition = reel, condition
        self._source = media.get_element().get_by_name("src")
        self._gone = threading.Event()
        self._film: Film | None = None
        self._shown = 0
        self._key: Unit | None = None
        self._whole = False  # after a loss only a key frame makes whole pictures again
        self._in_gap = False
        self._caps: Any = None
        media.connect("unprepared", lambda _: self._gone.set())
        threading.Thread(target=self._run, daemon=True).start()

    def end(self) -> None:
        """The stream is over; the connection is not."""
        self._gone.set()
        self._source.emit("end-of-stream")

    def _run(self) -> None:
        while self._source.get_clock() is None or self._source.get_base_time() == 0:
            if self._gone.wait(0.005):  # until it plays
                return
        for unit, moment in self._reel.play(self._condition, self._gone):
            chosen = self._chosen(unit)
            if chosen is not None and not self._push(chosen, moment):
                self._gone.set()

    def _chosen(self, unit: Unit) -> Unit | None:
        """What is sent in the place of ``unit``."""
        if self._condition.stalled:
            self._whole = False
            return None
        if self._condition.gap or (self._in_gap and not unit.delta):
            self._in_gap = self._in_gap or unit.delta  # it ends, too, within a group of pictures
            return None if self._in_gap else unit
        self._in_gap = False
        return self._substitute(unit) or self._own(unit)

    def _own(self, unit: Unit) -> Unit | None:
        self._whole = self._whole or not unit.delta
        if not unit.delta:
            self._key = unit
        return unit if self._whole else None

    def _substitute(self, unit: Unit) -> Unit | None:
        """A unit of another film, from its key frame on, and until a key frame of ours."""
        wanted = self._wanted()
        if wanted is None and (self._film is None or not unit.delta):
            if self._film is not None:
                self._film, self._whole = None, False
            return None
        if wanted is not None and wanted is not self._film:
            self._film, self._shown = wanted, 0
        assert self._film is not None
        self._shown += 1
        return self._film.units[(self._shown - 1) % len(self._film.units)]

    def _wanted(self) -> Film | None:
        """The film that is to be shown instead; a frozen camera's is its last key frame."""
        condition = self._condition
        if condition.frozen and condition.still is None and self._key is not None:
            condition.still = Film([self._key], self._reel.caps, self._reel.kind)
        return condition.substitute or (condition.still if condition.frozen else None)

    def _push(self, unit: Unit, moment: Moment) -> bool:
        caps = self._film.caps if self._film is not None else self._reel.caps
        if caps is not self._caps:
            self._caps = caps
            self._source.set_property("caps", caps)
        buffer = Gst.Buffer.new_wrapped(unit.data)
        buffer.pts = max(0, moment - self._source.get_base_time())
        buffer.dts = max(0, buffer.pts - unit.reorder)
        if unit.delta:
            buffer.set_flags(Gst.BufferFlags.DELTA_UNIT)
        return bool(self._source.emit("push-buffer", buffer) == Gst.FlowReturn.OK)
