"""Events, results that carry them, and messages on their way, for tests of what takes events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from streamkit.events import Event, Evidence, Phase
from streamkit.outbox.base import Message
from streamkit.predictions import Result
from streamkit.sinks.networked import message_of
from tests.sinks.making import START, result


def event(
    number: int = 1,
    *,
    kind: str = "line.in",
    source: str = "entrance",
    key: str = "door",
    phase: Phase = "instant",
    evidence: tuple[Evidence, ...] = (),
    **more: Any,
) -> Event:
    """The ``number``-th of its stream, that many seconds after the start."""
    return Event(
        kind,
        0,
        key,
        START + timedelta(seconds=number),
        number,
        tracker_id=more.pop("tracker_id", 7),
        data={"number": number, **more.pop("data", {})},
        phase=phase,
        source=source,
        model="street/1",
        sequence=number,
        evidence=evidence,
        **more,
    )


def seen(*events: Event) -> Result:
    """A result at which these happened."""
    found = result(events[0].frame_id if events else 1)
    found.events = events
    return found


def message(one: Event) -> Message:
    """As the outbox keeps it."""
    from streamkit.sinks.record import encode

    return message_of(one, seen(one), encode(one.dict()))
