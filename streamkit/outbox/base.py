"""What travels through an outbox, and what a destination is: it sends, or says why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Message:
    """One event on its way to one destination."""

    id: str
    """The idempotency key: the same at every attempt, also after a restart, and of no other."""
    stream: str
    """Name of the stream. What belongs to one stream arrives in the order in which it was put."""
    at: datetime
    """When it happened, aware UTC."""
    kind: str
    """Of the event: ``line.in``."""
    body: bytes
    """The event in its wire form, UTF-8 JSON."""
    attempt: int = 1
    """Which attempt this is, counted through restarts."""


@runtime_checkable
class Destination(Protocol):
    """Where messages go: one receiver, spoken to in its own protocol.

    The outbox has the thread, the queue, the retries, the backoff and the dead letters; nothing of
    that belongs in here. ``send`` is called from one thread at a time. Optional attribute:
    ``linger`` (float), seconds which a batch may wait to become full.
    """

    batch: int
    """The most messages that one ``send`` takes."""

    def send(self, messages: Sequence[Message]) -> None:
        """Return once the receiver has taken all of them, with limits on every wait.

        Raises ``DeliveryFailedError`` for what may pass (no connection, overloaded, a timeout),
        ``DeliveryRefusedError`` for what never will: of several messages each is then tried alone,
        to find which one it is. How many were taken before that goes into ``delivered`` of either.
        Anything else that is raised counts as what may pass. No text may hold a secret.
        """
        ...

    def close(self) -> None:
        """Let go of the connection. May be called while another thread is inside ``send``, which
        then has to end at once, with an error; nothing is sent afterwards. Safe to call twice."""
        ...
