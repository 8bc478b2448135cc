"""The sources of a pipeline: who is there, who has gone, and what is wanted of each."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from streamkit.buffering import Buffering
from streamkit.errors import ConfigError
from streamkit.events import EventType, Reporter
from streamkit.meters import Tally
from streamkit.options import StreamPlan
from streamkit.streams.state import CONTEXT
from streamkit.streams.steps import Stage
from streamkit.streams.stream import Stream

_REMEMBERED = 64
"""Accounts of removed sources which are kept."""


class Roster:
    """The streams of a pipeline, in the order of their ids, which are never used twice."""

    def __init__(
        self,
        plans: Sequence[StreamPlan],
        buffering: Buffering,
        reporter: Reporter,
        register: Callable[[list[Stream]], None],
    ) -> None:
        """``register`` is told who is there, now and after every change."""
        self._buffering, self._reporter, self._register = buffering, reporter, register
        self._lock = threading.Lock()
        self._ids = itertools.count()
        self._plans: dict[int, StreamPlan] = {}
        self._removed: deque[tuple[dict[str, Any], Tally]] = deque(maxlen=_REMEMBERED)
        self.streams: list[Stream] = []
        """Replaced, never changed."""
        for plan in plans:
            self.enter(plan)
        register(self.streams)

    def enter(self, plan: StreamPlan) -> Stream:
        """One more, which has still to be told of by ``welcome``."""
        with self._lock:
            number = next(self._ids)
            stream = Stream(number, plan.open, self._reporter, plan.options, self._buffering)
            stream.key = plan.key
            self._plans[number] = plan
            self.streams = [*self.streams, stream]
            return stream

    def plans(self) -> dict[int, StreamPlan]:
        """What is wanted of each."""
        with self._lock:
            return dict(self._plans)

    def restage(self, source_id: int, stages: Sequence[Callable[[], Stage]]) -> None:
        """What makes its stages, from its next run on."""
        with self._lock:
            if (plan := self._plans.get(source_id)) is not None:
                self._plans[source_id] = replace(plan, stages=stages)

    @property
    def ids(self) -> list[int]:
        """Of the sources there are."""
        return [stream.source_id for stream in self.streams]

    def find(self, source_id: int | None) -> list[Stream]:
        """That stream, or all for ``None``. ``ConfigError`` names the choices."""
        chosen = [s for s in self.streams if source_id in (None, s.source_id)]
        if not chosen:
            raise self._unknown(source_id)
        return chosen

    def _unknown(self, source_id: object) -> ConfigError:
        known = ", ".join(map(str, self.ids)) or "none is there"
        return ConfigError(f"source_id={source_id!r}: choose one of {known}")

    def welcome(self, stream: Stream) -> None:
        """Tell of one more."""
        self._register(self.streams)
        self._reporter.info(
            EventType.SOURCE_ADDED, CONTEXT, source_id=stream.source_id, source=stream.name
        )

    def take_out(self, source_id: int) -> Stream:
        """One less; it has still to be ended, and then told of by ``bury``."""
        with self._lock:
            if type(source_id) is not int or source_id not in self._plans:
                raise self._unknown(source_id)
            stream = next(s for s in self.streams if s.source_id == source_id)
            self.streams = [s for s in self.streams if s is not stream]
            del self._plans[source_id]
            stream.gone = True
            return stream

    def bury(self, stream: Stream) -> dict[str, Any]:
        """Keep the account of one that was taken out, and tell of it."""
        final = {**stream.stats(), "removed": True}
        self._removed.append((final, stream.tally))
        self._register(self.streams)
        shown = ("captured", "delivered", "dropped", "in_flight")
        self._reporter.info(
            EventType.SOURCE_REMOVED,
            CONTEXT,
            source_id=stream.source_id,
            source=stream.name,
            **{name: final[name] for name in shown},
        )
        return final

    def reconfigure(self, source_id: int, changes: Mapping[str, Any]) -> None:
        """Other options for one stream; the rest as ``InferencePipeline.reconfigure_source``."""
        with self._lock:
            before = self._plans.get(source_id)
            stream = next((s for s in self.streams if s.source_id == source_id), None)
            if before is None or stream is None:
                raise self._unknown(source_id)
            after = before.but(changes)
            stream.adjust(after.options)
            self._plans[source_id] = after
            if not before.same_source(after):
                stream.exchange(after.open)

    def removed(self) -> list[dict[str, Any]]:
        """The accounts of the last ones that were removed; what came back late is in them."""
        return [{**final, **tally.account()} for final, tally in list(self._removed)]
