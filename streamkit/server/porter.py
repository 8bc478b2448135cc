"""Models brought for questions before these take their turn: who waits for one holds up nobody."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

import cachetools
from pydantic import SecretStr

from streamkit.models.ids import ModelId
from streamkit.models.keys import fingerprint
from streamkit.server.failures import busy
from streamkit.server.shelf import Shelf

_AT_ONCE: Final = 8
"""Loads at a time; and as many questions whether a key may use a model that is there."""
_OF_ONE: Final = 2
"""Loads of one model at a time, each with another key: the first may be no good."""
_KNOWN: Final = 10_000
_KNOWN_SECONDS: Final = 600.0

Wish: TypeAlias = tuple[str, str]
"""A model, and the fingerprint of a key."""


class Porter:
    """Has models brought to a shelf, once for all who wish the same. What was begun goes on when
    nobody waits for it any more; to be called in one loop."""

    def __init__(self, shelf: Shelf, room: int) -> None:
        """``room``: wishes at a time."""
        self._shelf, self._room = shelf, room
        self._brings: dict[Wish, asyncio.Task[None]] = {}
        self._met: cachetools.TTLCache[Wish, bool]
        self._met = cachetools.TTLCache(_KNOWN, _KNOWN_SECONDS)
        """Wishes that were granted: no reason to wait. Whether they still are is asked again."""
        self._loads, self._checks = asyncio.Semaphore(_AT_ONCE), asyncio.Semaphore(_AT_ONCE)
        self._of_one: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._pool = ThreadPoolExecutor(2 * _AT_ONCE, "streamkit model")

    async def bring(self, model: ModelId, key: SecretStr | None) -> None:
        """Return when the model is there and the key may use it. Raises as ``Shelf.using``, and 503
        where too much is wished for."""
        wish = str(model), fingerprint(key)
        if wish in self._met and self._shelf.has(model):
            return
        bringing = self._brings.get(wish)
        if bringing is None:
            if len(self._brings) >= self._room:
                raise busy(f"{self._room} models are waited for; try again")
            bringing = asyncio.ensure_future(self._brought(wish, model, key))
            self._brings[wish] = bringing
            bringing.add_done_callback(lambda task: self._done(wish, task))
        await asyncio.shield(bringing)

    def _done(self, wish: Wish, task: asyncio.Task[None]) -> None:
        del self._brings[wish]
        if not task.cancelled() and task.exception() is None:  # else perhaps nobody has heard it
            self._met[wish] = True

    async def _brought(self, wish: Wish, model: ModelId, key: SecretStr | None) -> None:
        if self._shelf.has(model):
            async with self._checks:
                await self._add(model, key)
            return
        async with self._of_one.setdefault(wish[0], asyncio.Semaphore(_OF_ONE)), self._loads:
            await self._add(model, key)

    async def _add(self, model: ModelId, key: SecretStr | None) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, self._shelf.add, model, key)

    def close(self) -> None:
        """Wait for nobody."""
        self._pool.shutdown(wait=False, cancel_futures=True)
