"""The outboxes that this process has open: one for each file, one queue for each destination."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from pathlib import Path

from streamkit.errors import ConfigError
from streamkit.outbox.base import Destination
from streamkit.outbox.options import OutboxOptions
from streamkit.outbox.queue import Queue, Seat
from streamkit.outbox.store import Store
from streamkit.outbox.timeline import Clock, Timeline


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """How one sink wants the messages of a queue to be sent."""

    destination: Destination
    options: OutboxOptions
    same: object

    def like(self, other: _Way) -> bool:
        """The same receiver, spoken to in the same manner."""
        return self.same == other.same and self.options == other.options

    @property
    def receiver(self) -> object:
        """Who it is."""
        return self.same[0] if isinstance(self.same, tuple) and self.same else self.same


@dataclass(slots=True)
class _Used:
    """A queue, and the ways of those who use it; the last is the one that is used."""

    queue: Queue
    ways: list[_Way]


class Outboxes:
    """Opened when the first sink needs one, closed when the last has left."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._lock = threading.Lock()
        self._locks: dict[Path, threading.Lock] = {}
        """One for each file: one that takes long to open holds up no other."""
        self._stores: dict[Path, Store] = {}
        self._used: dict[tuple[Path, str], _Used] = {}

    def join(
        self, destination: Destination, name: str, options: OutboxOptions, *, same: object = None
    ) -> Seat:
        """A place at the queue of the destination called ``name``.

        ``same``: a tuple, first who the receiver is, then how it is spoken to. Where only the
        latter (or an option) differs from those who are there, the newest way is used from now
        on, until it leaves: that is how the options of a sink change in a running pipeline.
        Raises ``ConfigError`` where it is another receiver, ``OutboxError`` where the file cannot
        be used.
        """
        path, way = options.file, _Way(destination, options, same)
        with self._lock_of(path):
            used = self._used.get((path, name))
            if used is None:
                queue = Queue(self._store(path, options), name, destination, options)
                used = self._used[path, name] = _Used(queue, [way])
            elif used.ways[-1].receiver != way.receiver:
                raise ConfigError(f"{name!r} is another receiver already: give each sink a name")
            elif used.ways[-1].like(way):
                used.ways.insert(0, way)
            else:
                self._store(path, options)
                used.ways.append(way)
                used.queue.use(destination, options)
            return Seat(used.queue, functools.partial(self._leave, path, way))

    def _lock_of(self, path: Path) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(path, threading.Lock())

    def _store(self, path: Path, options: OutboxOptions) -> Store:
        store = self._stores.get(path)
        if store is None:
            timeline = Timeline(self._clock)
            store = self._stores[path] = Store(path, durable=options.durable, timeline=timeline)
        elif store.durable is not options.durable:
            raise ConfigError(f"the outbox {path} is open with durable: {store.durable}")
        return store

    def _leave(self, path: Path, way: _Way, queue: Queue) -> None:
        with self._lock_of(path):
            used = self._used[path, queue.name]
            used.ways.remove(way)
            if used.ways:
                queue.use(used.ways[-1].destination, used.ways[-1].options)
            else:
                del self._used[path, queue.name]
        if used.ways:
            way.destination.close()
            return
        try:
            queue.close()  # and the destination, once it is known that what fails was cancelled
        finally:
            with self._lock_of(path):
                used_paths = {place for place, _ in list(self._used)}
                if path not in used_paths and path in self._stores:
                    self._stores.pop(path).close()


@functools.cache
def default_outboxes() -> Outboxes:
    """The process's own."""
    return Outboxes()


def join(
    destination: Destination, name: str, options: OutboxOptions, *, same: object = None
) -> Seat:
    """``Outboxes.join`` of the process's own."""
    return default_outboxes().join(destination, name, options, same=same)
