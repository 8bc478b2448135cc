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


@dataclass(slots=True)
class _Used:
    """A queue, and by how many sinks."""

    queue: Queue
    same: object
    seats: int = 0


class Outboxes:
    """Opened when the first sink needs one, closed when the last has left."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._lock = threading.Lock()
        self._stores: dict[Path, Store] = {}
        self._used: dict[tuple[Path, str], _Used] = {}

    def join(
        self, destination: Destination, name: str, options: OutboxOptions, *, same: object = None
    ) -> Seat:
        """A place at the queue of the destination called ``name``; if there is one already, the
        ``destination`` that is given is closed again, for it is the ``same``.

        Raises ``ConfigError`` where it is not, ``OutboxError`` where the file cannot be used.
        """
        path = options.file
        with self._lock:
            used = self._used.get((path, name))
            if used is None:
                queue = Queue(self._store(path, options), name, destination, options)
                used = self._used[path, name] = _Used(queue, same)
            elif used.same != same or used.queue.options != options:
                raise ConfigError(f"{name!r} is another receiver already: give each sink a name")
            else:
                destination.close()
            used.seats += 1
            return Seat(used.queue, functools.partial(self._leave, path))

    def _store(self, path: Path, options: OutboxOptions) -> Store:
        store = self._stores.get(path)
        if store is None:
            timeline = Timeline(self._clock)
            store = self._stores[path] = Store(path, durable=options.durable, timeline=timeline)
        elif store.durable is not options.durable:
            raise ConfigError(f"the outbox {path} is open with durable: {store.durable}")
        return store

    def _leave(self, path: Path, queue: Queue) -> None:
        with self._lock:
            used = self._used[path, queue.name]
            used.seats -= 1
            if used.seats:
                return
            del self._used[path, queue.name]
        queue.close()
        with self._lock:
            if not any(place == path for place, _ in self._used) and path in self._stores:
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
