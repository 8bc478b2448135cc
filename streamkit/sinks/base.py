"""What a sink is: it writes results until it is closed. The pipeline has the threads and queues."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeAlias, runtime_checkable

from streamkit.packets import Packets
from streamkit.predictions import Result

Arrival: TypeAlias = tuple[Callable[[], str], Packets | None]
"""What a source is called by now, and its packets."""


@runtime_checkable
class Sink(Protocol):
    """Where results go. Called from one thread at a time; no threads, queues or retries in here.

    Optional attributes: ``main_thread`` (bool), it wants to be called by the thread that started
    the pipeline; ``closed`` (bool), it was closed by somebody else and the run is to end.
    ``capacity`` (int) says how many results of each live stream may wait
    while ``write`` is busy before the oldest is dropped and counted; 1 where it is absent, so
    that a slow sink always gets the freshest. Finite streams wait and lose nothing.
    ``forget(source_id)`` is called, like ``write``, when a source was removed and its state here
    may go. ``takes_events`` (bool): it gets only results that have events, also those with which
    a stream closes (``Result.closing``), and loses none: live streams wait for it, too.
    ``drain()`` is called, like ``write``, when all is written and before ``close``: to wait for
    what is still on its way to somebody else. ``hurry()`` is called from another thread when there
    is no more time: ``write`` and ``drain`` must then return at once. ``stats()`` gives a mapping,
    JSON-ready, that is added to this sink's part of ``InferencePipeline.stats``.
    ``tick()`` is called, like ``write``, at least each ``every`` (float) seconds, also when nothing
    comes. ``follow(source_id, name, packets)`` is called, like ``write``, before the first result
    of a stream, and where there is a ``tick`` soon after the stream has been started; ``name()``
    is what the stream is called by now, ``packets`` is its ring, if it keeps one; all have to where
    ``takes_packets`` (bool) is set. ``waited_for = False``: finite streams do not wait for it
    either, and lose results like live ones. ``harmless`` (bool): to make one does nothing
    outside, but at the ``path`` and ``outbox`` it is given; ``streamkit check`` makes it for a try.
    """

    def write(self, result: Result) -> None:
        """Take one result. May be slow: nobody waits for it. May raise: it is told and counted."""
        ...

    def close(self) -> None:
        """Flush and let go. Called once all results were written; must be safe to call twice."""
        ...


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a sink has beside ``write`` and ``close``, under the names it has there."""

    forget: Callable[[int], None] | None = None
    takes_events: bool = False
    drain: Callable[[], None] = lambda: None
    hurry: Callable[[], None] = lambda: None
    stats: Callable[[], Mapping[str, Any]] = dict
    every: float | None = None
    tick: Callable[[], None] = lambda: None
    follow: Callable[[int, Callable[[], str], Packets | None], None] | None = None
    waited_for: bool = True
    receiver: Any = None
    """Whom it sends to, where it is one who sends; knows whether it ``clashes`` with another."""

    @classmethod
    def of(cls, sink: Sink) -> Hooks:
        """Those that ``sink`` has."""
        names = [each.name for each in fields(cls)]
        return cls(**{name: getattr(sink, name) for name in names if hasattr(sink, name)})
