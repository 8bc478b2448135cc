"""What all sinks that send have in common: events go into the outbox, which sees to the rest."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from streamkit.errors import ConfigError, SinkError
from streamkit.events import Event
from streamkit.outbox.base import Destination, Message
from streamkit.outbox.opened import join
from streamkit.outbox.options import OutboxGiven, OutboxOptions
from streamkit.predictions import Result
from streamkit.sinks.base import Sink
from streamkit.sinks.record import encode


@dataclass(frozen=True, slots=True)
class Receiver:
    """Whom a sink sends to: two of one pipeline that share a queue have to mean the same."""

    outbox: Path
    name: str
    same: object = field(repr=False)
    """May hold secrets."""

    def clashes(self, other: Receiver) -> bool:
        """One queue, two meanings."""
        one_queue = (self.outbox, self.name) == (other.outbox, other.name)
        return one_queue and self.same != other.same


class Networked(Sink):
    """A sink whose events are on this machine's disk before anything is sent.

    ``write`` is one short transaction; threads, retries, order and dead letters are in
    ``streamkit.outbox``. A subclass makes its ``Destination`` and hands it to this constructor.
    Options that all of them have: ``name``, ``kinds``, ``outbox``.
    """

    takes_events: ClassVar[bool] = True
    harmless: ClassVar[bool] = True

    def __init__(
        self,
        destination: Destination,
        *,
        name: str,
        same: object = None,
        kinds: Sequence[str] = (),
        outbox: OutboxGiven = None,
    ) -> None:
        """``name`` is what the outbox knows the destination by, also after a restart; it may not
        hold a secret. ``same``: a tuple, first who the receiver is, then how it is spoken to.
        Sinks of one name share one queue: another receiver is a ``ConfigError``, another manner
        the way of all from then on. ``kinds``: the events meant, patterns allowed (``zone.*``);
        all where empty.

        Raises ``ConfigError`` for options, ``OutboxError`` where there is no outbox to be had.
        """
        if isinstance(kinds, str):
            raise ConfigError(f"kinds must be a list of events, like [{kinds}]")
        self.name, self._kinds = name, tuple(kinds)
        options = OutboxOptions.of(outbox)
        self.receiver = Receiver(options.file, name, same)
        self._queue = join(destination, name, options, same=same)

    def write(self, result: Result) -> None:
        """Keep the events of ``result``. Returns when they are on the disk, or in memory while the
        disk takes none. Raises ``OutboxError`` where they are refused."""
        messages: list[Message] = []
        broken: SinkError | None = None
        for event in result.events:
            try:
                messages += self.messages(event, result) if self._meant(event) else []
            except SinkError as error:  # the others are not to suffer
                broken = broken or error
        if messages:
            self._queue.put(messages)
        if broken is not None:
            raise broken

    def messages(self, event: Event, result: Result) -> list[Message]:
        """All that is kept because of ``event``: all of it, or nothing."""
        return [self.message(event, result)]

    def message(self, event: Event, result: Result) -> Message:
        """What is kept of ``event``; a subclass that sends more than its wire form adds it here."""
        return message_of(event, result, encoded(event.dict()))

    def drain(self) -> None:
        """Give the receiver some seconds to take what waits; the rest goes on at the next start."""
        self._queue.drain()

    def hurry(self) -> None:
        """No more waiting, in whatever thread that is."""
        self._queue.hurry()

    def close(self) -> None:
        """Let go. What is not sent stays on the disk."""
        self._queue.close()

    def stats(self) -> dict[str, Any]:
        """``outbox``: what became of the messages of this destination."""
        return {"outbox": self._queue.stats()}

    def _meant(self, event: Event) -> bool:
        return not self._kinds or any(fnmatch.fnmatchcase(event.kind, one) for one in self._kinds)


def message_of(event: Event, result: Result, body: bytes) -> Message:
    """The event in terms of the outbox: what has one source keeps its order."""
    stream = _clean(event.source or result.source or str(event.stream))
    return Message(event.idempotency_key, stream, event.at, event.kind, body)


def encoded(wire: Mapping[str, Any]) -> bytes:
    """UTF-8 JSON. What is no text (half a surrogate pair, out of the name of a file) becomes ``?``:
    for that no event is lost. Raises ``SinkError`` for what JSON cannot say."""
    try:
        return encode(wire)
    except SinkError:
        return encode(_clean(wire))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_clean(key): _clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    return value
