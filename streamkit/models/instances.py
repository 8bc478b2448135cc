"""The table of loaded models: who uses which, and which goes when there is no room."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeAlias

from streamkit.models.ids import Where
from streamkit.models.shared import SharedModel

Key: TypeAlias = tuple[str, str | None]
"""A resolved model and the architecture asked for; devices and providers are the manager's."""

OnGone: TypeAlias = Callable[[Where], None]


@dataclass(slots=True, eq=False)
class Instance:
    """A model in the table, perhaps still on its way there."""

    where: Where
    users: int = 0
    ready: Future[SharedModel] = field(default_factory=Future)

    @property
    def loaded(self) -> bool:
        """It is there, and not an error in its place."""
        return self.ready.done() and self.ready.exception() is None


class Instances:
    """Keeps those in use always, idle ones up to ``max_active`` in all and while memory lasts."""

    def __init__(
        self, max_active: int, short_of_memory: Callable[[], bool], on_gone: OnGone
    ) -> None:
        """``on_gone`` is told of those that went for want of room, without the lock."""
        self.lock = threading.Lock()
        self._max_active = max_active
        self._short_of_memory = short_of_memory
        self._on_gone = on_gone
        self._table: dict[Key, Instance] = {}
        self._given_back: deque[Instance] = deque()
        """Users gone but not yet subtracted; the one thing that is touched without the lock."""

    def join(self, key: Key, where: Where) -> tuple[Instance, bool]:
        """One more user of an entry, which becomes the most recently used; whether it is new."""
        with self.lock:
            found = self._table.pop(key, None)
            instance = found or Instance(where)
            instance.users += 1
            self._table[key] = instance
        return instance, found is None

    def find(self, key: Key) -> Instance | None:
        """One more user of an entry that is there; ``None`` where there is none."""
        with self.lock:
            instance = self._table.get(key)
            if instance is not None:
                instance.users += 1
        return instance

    def leave(self, instance: Instance) -> None:
        """One user less."""
        self.forget(instance)
        self.make_room()

    def forget(self, instance: Instance) -> None:
        """As ``leave``, without taking the lock; counted when somebody else takes it."""
        self._given_back.append(instance)

    def fail(self, key: Key, instance: Instance, error: BaseException) -> None:
        """It could not be loaded: all who wait for it meet ``error``; the next may try again."""
        with self.lock:
            if self._table.get(key) is instance:
                del self._table[key]
        instance.ready.set_exception(error)

    def rename(self, old: Key, new: Key, where: Where) -> None:
        """Who asks for ``new`` gets it from now on, unless somebody else answers to that."""
        with self.lock:
            instance = self._table.pop(old)
            instance.where = where
            if new in self._table:
                new = f"{new[0]} {id(instance)}", new[1]
            self._table[new] = instance

    def make_room(self) -> None:
        """Let go of what was not used for longest, while there are too many; never what is used."""
        with self.lock:
            idle = self._idle()
            gone = idle[: max(0, len(self._table) - self._max_active)]
            dropped = [self._table.pop(key) for key in gone]
        self._close(dropped)

    def make_memory(self) -> None:
        """Let go of idle ones, one by one, while memory is short."""
        while self._short_of_memory():
            with self.lock:
                idle = self._idle()
                dropped = [self._table.pop(key) for key in idle[:1]]
            if not dropped:
                return
            self._close(dropped)

    def unload(self, key: Key) -> bool:
        """Let go of this one if it is idle; whether it is gone."""
        with self.lock:
            self._settle()
            instance = self._table.get(key)
            if instance is not None and instance.users:
                return False
            self._table.pop(key, None)
        if instance is not None and instance.loaded:
            instance.ready.result().model.close()
        return True

    def close(self) -> None:
        """Let go of every idle one."""
        with self.lock:
            dropped = [self._table.pop(key) for key in self._idle()]
        for instance in dropped:
            instance.ready.result().model.close()

    def loaded(self) -> list[SharedModel]:
        """Those which are there now, the most recently used last."""
        with self.lock:
            there = [instance for instance in self._table.values() if instance.loaded]
        return [instance.ready.result() for instance in there]

    def __contains__(self, where: Where) -> bool:
        with self.lock:
            return any(instance.where == where for instance in self._table.values())

    def _settle(self) -> None:
        while self._given_back:
            self._given_back.popleft().users -= 1

    def _idle(self) -> list[Key]:
        self._settle()
        return [key for key, instance in self._table.items() if not instance.users]

    def _close(self, dropped: list[Instance]) -> None:
        for instance in dropped:
            instance.ready.result().model.close()
            self._on_gone(instance.where)
