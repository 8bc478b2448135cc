"""The models the server keeps ready: loaded on demand, the one used longest ago makes room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import SecretStr

from streamkit.models.ids import ModelId
from streamkit.models.lease import Lease
from streamkit.models.manager import ModelManager
from streamkit.models.shared import SharedModel


@dataclass(slots=True, eq=False)
class _Place:
    lease: Lease
    users: int = 0
    """Requests that use it at the moment."""
    gone: bool = False
    """It is to be let go when the last of them is done."""


class Shelf:
    """Leases of models, so that their threads go on between two requests.

    Access is asked for with every request, whoever made it load.
    """

    def __init__(self, manager: ModelManager, room: int) -> None:
        self._manager, self._room = manager, room
        self._lock = threading.Lock()
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self.evictions = 0
        """Models that made room for others."""

    @contextmanager
    def using(self, model: ModelId, key: SecretStr | None) -> Iterator[SharedModel]:
        """The model, for one request. Raises as ``ModelManager.lease``."""
        with self._manager.pin(model, key):  # asks whether this key may; loads it if need be
            place = self._taken(model, key)
            try:
                yield place.lease.shared
            finally:
                over = self._done(place)
        if over:
            self._manager.unload(model)
        self._make_room()

    def _done(self, place: _Place) -> bool:
        """One user less; whether it went with the last of those who had it when it was removed."""
        with self._lock:
            place.users -= 1
            over = place.gone and not place.users
        if over:
            place.lease.release()
        return over

    def _taken(self, model: ModelId, key: SecretStr | None) -> _Place:
        name = str(model)
        with self._lock:
            place = self._places.get(name)
            if place is not None:
                self._places.move_to_end(name)
                place.users += 1
                return place
        lease = self._manager.lease(model, key)
        with self._lock:
            place = self._places.setdefault(name, _Place(lease))
            self._places.move_to_end(name)
            place.users += 1
        if place.lease is not lease:  # somebody was faster
            lease.release()
        return place

    def add(self, model: ModelId, key: SecretStr | None) -> None:
        """Load it, or find it loaded. Raises as ``ModelManager.lease``."""
        with self.using(model, key):
            pass

    def remove(self, model: ModelId) -> bool:
        """Let it go; requests under way finish. ``False`` where it was not here."""
        with self._lock:
            place = self._places.pop(str(model), None)
            if place is None:
                return False
            place.gone = True
            idle = not place.users
        if idle:
            place.lease.release()
            self._manager.unload(model)
        return True

    def clear(self) -> None:
        """Let all go."""
        for name in self.names():
            self.remove(ModelId(*name.split("/", 1)))

    def has(self, model: ModelId) -> bool:
        """Whether it is ready."""
        with self._lock:
            return str(model) in self._places

    def names(self) -> list[str]:
        """Those that are ready, the most recently used last."""
        with self._lock:
            return list(self._places)

    def models(self) -> dict[str, SharedModel]:
        """The same, by name."""
        with self._lock:
            return {name: place.lease.shared for name, place in self._places.items()}

    def _make_room(self) -> None:
        with self._lock:
            idle = [name for name, place in self._places.items() if not place.users]
            extra = idle[: max(0, len(self._places) - self._room)]
            gone = [self._places.pop(name) for name in extra]
            self.evictions += len(gone)
        for place in gone:
            place.lease.release()
