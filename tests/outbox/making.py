"""Messages, a destination that obeys the test, and clocks that can be set."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from streamkit.errors import DeliveryFailedError
from streamkit.outbox.base import Message
from streamkit.outbox.opened import Outboxes
from streamkit.outbox.options import OutboxOptions
from streamkit.outbox.queue import Seat
from streamkit.outbox.timeline import Clock

START = datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)


def message(number: int, stream: str = "entrance", size: int = 40) -> Message:
    """The ``number``-th of a stream."""
    at = START + timedelta(seconds=number)
    body = f'{{"n":{number},"fill":"{"x" * max(0, size - 20)}"}}'.encode()
    return Message(f"{stream}-{number}.instant", stream, at, "line.in", body)


def several(count: int, stream: str = "entrance", first: int = 0) -> list[Message]:
    """In a row."""
    return [message(number, stream) for number in range(first, first + count)]


class Recorder:
    """A destination that remembers what it was sent, and fails as told."""

    def __init__(self, *, batch: int = 1, linger: float = 0.0) -> None:
        self.batch, self.linger = batch, linger
        self.sent: list[Message] = []
        """Taken."""
        self.tried: list[tuple[str, int]] = []
        """(id, attempt) of every message of every send."""
        self.sizes: list[int] = []
        self.faults: dict[str, deque[Exception]] = defaultdict(deque)
        """By id: each is raised by one send that has it."""
        self.always: Callable[[Message], Exception | None] = lambda _message: None
        self.gate = threading.Event()
        """While it is not set, ``send`` waits in vain."""
        self.gate.set()
        self.closed = threading.Event()
        self.changed = threading.Condition()

    def send(self, messages: Sequence[Message]) -> None:
        with self.changed:
            self.tried += [(each.id, each.attempt) for each in messages]
            self.sizes.append(len(messages))
            self.changed.notify_all()
        while not self.gate.wait(0.01):
            if self.closed.is_set():
                raise DeliveryFailedError("cancelled")
        for each in messages:
            fault = self.faults[each.id].popleft() if self.faults[each.id] else self.always(each)
            if fault is not None:
                raise fault
        with self.changed:
            self.sent += messages
            self.changed.notify_all()

    def close(self) -> None:
        self.closed.set()

    def ids(self, stream: str | None = None) -> list[str]:
        """Of what was taken, in order."""
        return [each.id for each in self.sent if stream in (None, each.stream)]

    def await_sent(self, count: int, timeout: float = 20.0) -> None:
        """Until so many were taken."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.sent) >= count, timeout), len(self.sent)

    def await_tries(self, count: int, timeout: float = 20.0) -> None:
        """Until so many messages were tried."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.tried) >= count, timeout), self.tried


class Settable:
    """A wall clock that somebody sets, beside a steady one that nobody can."""

    def __init__(self) -> None:
        self.offset = 0.0
        self.ahead = 0.0

    @property
    def clock(self) -> Clock:
        return Clock(
            wall=lambda: time.time() + self.offset, steady=lambda: time.monotonic() + self.ahead
        )


QUICK: dict[str, Any] = {"first_wait": 0.001, "longest_wait": 0.02}


def options(path: Path, **more: Any) -> OutboxOptions:
    """An outbox at ``path`` that tries again soon."""
    return OutboxOptions(path=path, **{**QUICK, **more})


def joined(
    path: Path,
    destination: Recorder,
    *,
    name: str = "there",
    clock: Clock | None = None,
    boxes: Outboxes | None = None,
    **more: Any,
) -> AbstractContextManager[Seat]:
    """A seat at the queue of ``destination``, left at the end of the block."""
    boxes = boxes or Outboxes(clock)
    return closing(boxes.join(destination, name, options(path, **more)))
