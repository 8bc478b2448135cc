"""One destination's part of an outbox: what comes in, also while the disk takes nothing."""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from streamkit.errors import OutboxError, OutboxErrorCode
from streamkit.events import Throttle
from streamkit.outbox.archive import status
from streamkit.outbox.base import Destination, Message
from streamkit.outbox.options import OutboxOptions
from streamkit.outbox.sender import Sender
from streamkit.outbox.store import Store, tally

log = logging.getLogger(__name__)

_ROOM: Final = 0.1
"""Seconds between two looks whether there is room."""
_TELL: Final = 30.0
"""Seconds between two log lines about a disk that takes nothing, perhaps for days."""
_AGAIN: Final = 0.5
"""Seconds between two tries whether it takes something."""
_MEMORY_BYTES: Final = 64 << 20
_LAST: Final = 10.0
_IN_VAIN: Final = 3.0
"""Seconds for which the end of a run waits for a receiver, and for one that fails."""


class Queue:
    """Shared by all sinks of this process that mean this destination."""

    def __init__(
        self, store: Store, name: str, destination: Destination, options: OutboxOptions
    ) -> None:
        self.name, self.options = name, options
        self.store = store
        self.code: OutboxErrorCode | None = None
        """What is wrong with the disk, while something is."""
        self.lost = 0
        """Messages that found no place even in memory."""
        self._order = threading.RLock()
        self._shelter: deque[Message] = deque()
        self._sheltered = 0
        """Bytes of them."""
        self._throttle, self._dropping = Throttle(_TELL), Throttle()
        self._closing = threading.Event()
        self._settler: threading.Thread | None = None
        self._sender = Sender(store, name, destination, options)
        self._sender.start()

    def use(self, destination: Destination, options: OutboxOptions) -> None:
        """Send there, and by these options, from now on."""
        self.options = options
        self._sender.use(destination, options)

    def put(self, messages: Sequence[Message], hurried: threading.Event) -> None:
        """Keep them, on the disk or, while that takes none, in memory.

        Raises ``OutboxError`` (``FULL``, ``TOO_LARGE``) where they are refused. With
        ``on_full: block`` it waits for room until ``hurried``.
        """
        together = self.options.on_full == "drop_oldest"  # the others may have room for some
        for group in [messages] if together else [[message] for message in messages]:
            self._put(group, hurried)
            self._sender.nudge()

    def _put(self, messages: Sequence[Message], hurried: threading.Event) -> None:
        while True:
            try:
                self._refuse_giants(messages)
                return self._keep(messages)
            except OutboxError as error:
                waits = error.code is OutboxErrorCode.FULL and self.options.on_full == "block"
                if not waits or hurried.wait(_ROOM):
                    self._count("refused", len(messages))
                    raise

    def _refuse_giants(self, messages: Sequence[Message]) -> None:
        most = self.options.max_bytes
        if (size := max(len(message.body) for message in messages)) > most:
            text = f"{self.name}: an event of {size} bytes is more than max_bytes={most}"
            raise OutboxError(text, OutboxErrorCode.TOO_LARGE)

    def _keep(self, messages: Sequence[Message]) -> None:
        """In the order in which they come: nobody overtakes what waits in memory."""
        with self._order:
            if self.settle():
                try:
                    self._on_disk(messages, self.options)
                    return
                except OutboxError as error:
                    if error.code is OutboxErrorCode.FULL:
                        raise
                    self._tell(error)
            self._in_memory(messages)

    def _on_disk(self, messages: Sequence[Message], options: OutboxOptions) -> None:
        try:
            dropped = self.store.put(self.name, messages, options)
        except OutboxError as error:
            full = error.code is OutboxErrorCode.DISK_FULL
            if not full or not self.store.make_space():
                raise
            dropped = self.store.put(self.name, messages, options)
        self.code = None
        if dropped and (count := self._dropping.tick()):
            log.warning(
                "%s: %s: full %d times; the %d oldest messages gave way, last",
                OutboxErrorCode.FULL.value, self.name, count, dropped,
            )  # fmt: skip

    def _in_memory(self, messages: Sequence[Message]) -> None:
        count, size = len(messages), sum(len(message.body) for message in messages)
        if not self._fits(count, size) and self.options.on_full != "drop_oldest":
            text = f"{self.name}: the disk takes nothing and {len(self._shelter)} wait in memory"
            raise OutboxError(text, OutboxErrorCode.FULL)
        self._shelter.extend(messages)
        self._sheltered += size
        while self._shelter and not self._fits(0, 0):
            self._unshelter()
            self.lost += 1
        if self._settler is None:
            name = f"streamkit outbox disk {self.name}"
            self._settler = threading.Thread(target=self._settle_later, name=name, daemon=True)
            self._settler.start()

    def _fits(self, count: int, size: int) -> bool:
        room = self.options.memory - len(self._shelter)
        return count <= room and self._sheltered + size <= _MEMORY_BYTES

    def _unshelter(self) -> None:
        self._sheltered -= len(self._shelter.popleft().body)

    def settle(self) -> bool:
        """Bring what waits in memory to the disk; whether nothing waits there any more.

        It was accepted: where no older one may give way for it, the limits are for what comes next.
        """
        options = self.options
        if options.on_full != "drop_oldest":
            options = replace(options, max_messages=sys.maxsize, max_bytes=sys.maxsize)
        with self._order:
            while self._shelter:
                try:
                    self._on_disk([self._shelter[0]], options)
                except OutboxError as error:
                    self._tell(error)
                    return False
                self._unshelter()
            return True

    def _settle_later(self) -> None:
        """A thread, while something waits in memory: whoever puts and who sends may be busy."""
        while not self._closing.wait(_AGAIN):
            with self._order:
                if self.settle():
                    self._settler = None
                    break
        self._sender.nudge()

    def _tell(self, error: OutboxError) -> None:
        self.code = OutboxErrorCode(error.code)
        if count := self._throttle.tick():
            log.warning(
                "%s: %d times: %s; %d events of %s wait in memory, at most %d",
                error.code, count, error, len(self._shelter), self.name, self.options.memory,
            )  # fmt: skip

    def _count(self, what: str, count: int) -> None:
        with suppress(OutboxError), self.store.transaction() as db:
            tally(db, self.name, what, count)

    def drain(self, hurried: threading.Event) -> None:
        """Wait until everything is sent; some seconds at most, less for a receiver that fails, and
        not where another process sends."""
        steady = self.store.timeline.clock.steady
        began = steady()
        while self._unsent() and (self._sender.leading or steady() - began < 1.0):
            limit = _LAST if self._sender.reason is None else _IN_VAIN
            if steady() - began >= limit or hurried.wait(0.02):
                break

    def _unsent(self) -> int:
        try:
            return len(self._shelter) + self.store.waiting(self.name)[0]
        except OutboxError:
            return len(self._shelter)

    def close(self) -> None:
        """End the sender; what is not sent stays on the disk. Raises ``OutboxError`` where it never
        took some: those are lost."""
        self._closing.set()
        self._sender.stop()
        if not self.settle():
            self.lost += len(self._shelter)
            code = self.code or OutboxErrorCode.FAILED
            text = f"{self.name}: {self.lost} events are lost: the disk never took them"
            raise OutboxError(text, code)
        if unsent := self._unsent():
            log.warning(
                "%s: %d events wait in %s; they are sent at the next start",
                self.name, unsent, self.store.path,
            )  # fmt: skip

    def stats(self) -> dict[str, Any]:
        """See ``archive.status``; also what is only in memory, and what is wrong."""
        try:
            (found,) = status(self.store, self.name)
        except OutboxError as error:
            found = {"destination": self.name, "error": str(error)}
        return {
            **found,
            "in_memory": len(self._shelter),
            "lost": self.lost,
            "code": None if self.code is None else self.code.value,
            "reason": self._sender.reason,
        }


class Seat:
    """One sink's hold on a queue."""

    def __init__(self, queue: Queue, leave: Callable[[Queue], None]) -> None:
        self._queue, self._leave = queue, leave
        self._hurried = threading.Event()
        self._left = threading.Lock()

    def put(self, messages: Sequence[Message]) -> None:
        """See ``Queue.put``."""
        self._queue.put(messages, self._hurried)

    def drain(self) -> None:
        """See ``Queue.drain``."""
        self._queue.drain(self._hurried)

    def hurry(self) -> None:
        """``put`` and ``drain`` wait no longer, from now on."""
        self._hurried.set()

    def close(self) -> None:
        """The last one to leave ends the sender. Safe to call twice."""
        self._hurried.set()
        if self._left.acquire(blocking=False):
            self._leave(self._queue)

    def stats(self) -> dict[str, Any]:
        """See ``Queue.stats``."""
        return self._queue.stats()
