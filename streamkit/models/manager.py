"""The models of a process: each loaded once, shared by all who lease it, kept while room lasts."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from pydantic import SecretStr

from streamkit.models.ids import ModelId, Where, locate
from streamkit.models.loading import load
from streamkit.models.preprocess import Switches
from streamkit.models.session import Execution
from streamkit.models.shared import SharedModel
from streamkit.models.store import Store
from streamkit.models.store.local import LocalFolder
from streamkit.settings import Settings

OnLoad: TypeAlias = Callable[[SharedModel, float], None]
"""Told of a load, with the seconds it took, in the thread that asked for it."""

GiveBack: TypeAlias = Callable[[float | None], None]

Key: TypeAlias = tuple[str, str | None]
"""A resolved model and the architecture asked for; devices and providers are the manager's."""


@dataclass(slots=True, eq=False)
class _Entry:
    """A model in the table, perhaps still on its way there."""

    users: int = 0
    ready: Future[SharedModel] = field(default_factory=Future)


class Lease:
    """The right to use a model; it stays loaded until ``release`` (or the end of ``with``)."""

    def __init__(
        self, shared: SharedModel, give_back: GiveBack, forget: Callable[[], None] | None = None
    ) -> None:
        self.shared = shared
        self._forget = forget
        self._once = [give_back]

    def release(self, until: float | None = None) -> None:
        """Give it back, once; more often does no harm.

        Waits for the model's threads if this was their last user, at most until ``until``
        (``time.monotonic()``).
        """
        for give_back in self._claimed():
            give_back(until)

    def forget(self) -> None:
        """Give it back without taking a lock: for finalizers, which run wherever a thread is."""
        if self._forget is not None:
            for _ in self._claimed():
                self._forget()

    def _claimed(self) -> list[GiveBack]:
        """For the first who asks, what is to be done; ``list.pop`` lets only one have it."""
        with contextlib.suppress(IndexError):
            return [self._once.pop()]
        return []

    def __enter__(self) -> SharedModel:
        return self.shared

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class ModelManager:
    """Keeps models loaded: those in use always, idle ones up to ``max_active`` in all."""

    def __init__(
        self,
        store: Store,
        execution: Execution | None = None,
        *,
        workers: int = 2,
        max_active: int = 8,
        max_batch: int | None = None,
        off: Switches | None = None,
    ) -> None:
        self.loads = 0
        """How many times a model was loaded."""
        self._store = store
        self._execution = execution or Execution()
        self._workers = workers
        self._max_active = max_active
        self._max_batch = max_batch
        self._off = off
        self._lock = threading.Lock()
        self._entries: dict[Key, _Entry] = {}
        self._given_back: deque[_Entry] = deque()
        """Users gone but not yet subtracted; the one thing that is touched without the lock."""

    @classmethod
    def of(cls, settings: Settings) -> ModelManager:
        """As the settings say; threads per run: half the cores, as two workers run at a time."""
        threads = settings.model_threads or max(1, _cores() // 2)
        return cls(
            Store([LocalFolder(settings.model_cache_dir)]),
            Execution(
                settings.onnxruntime_execution_providers, settings.required_onnx_providers, threads
            ),
            workers=settings.model_workers or 2,
            max_active=settings.max_active_models,
            off=Switches(
                auto_orient=settings.disable_preproc_auto_orient,
                static_crop=settings.disable_preproc_static_crop,
                contrast=settings.disable_preproc_contrast,
                grayscale=settings.disable_preproc_grayscale,
            ),
        )

    def lease(
        self,
        model: str | Path | ModelId,
        api_key: str | SecretStr | None = None,
        *,
        architecture: str | None = None,
        on_load: OnLoad | None = None,
    ) -> Lease:
        """The model with its threads running; loads it first if need be.

        ``on_load`` is told if it was this lease that loaded it. Raises ``ConfigError`` for what can
        be no id, ``ModelNotFoundError``, ``ModelArtefactError``.
        """
        pinned = self.pin(model, api_key, architecture=architecture, on_load=on_load)
        pinned.shared.start()

        def give_back(until: float | None) -> None:
            pinned.shared.stop(until)
            pinned.release()

        return Lease(pinned.shared, give_back)

    def pin(
        self,
        model: str | Path | ModelId,
        api_key: str | SecretStr | None = None,
        *,
        architecture: str | None = None,
        on_load: OnLoad | None = None,
    ) -> Lease:
        """The model without its threads, for who calls it directly; else like ``lease``."""
        where = locate(model)
        key = str(where), architecture
        entry, first = self._join(key)
        try:
            began = time.perf_counter()
            if first:
                self._fill(key, entry, where, api_key)
            shared = entry.ready.result()
            if first and on_load is not None:
                on_load(shared, time.perf_counter() - began)
        except BaseException:
            self._release(entry)
            raise
        forget = functools.partial(self._given_back.append, entry)
        return Lease(shared, lambda _until: self._release(entry), forget)

    def _join(self, key: Key) -> tuple[_Entry, bool]:
        """One more user of an entry, which becomes the most recently used; whether it is new."""
        with self._lock:
            found = self._entries.pop(key, None)
            entry = found or _Entry()
            entry.users += 1
            self._entries[key] = entry
        return entry, found is None

    def _fill(self, key: Key, entry: _Entry, where: Where, api_key: str | SecretStr | None) -> None:
        """Load for all who want it now: they wait for it, or meet the same error."""
        secret = SecretStr(api_key) if isinstance(api_key, str) else api_key
        try:
            package = self._store.find(where, secret)
            model = load(
                package,
                self._execution,
                off=self._off,
                max_batch=self._max_batch,
                architecture=key[1],
            )
        except BaseException as error:
            with self._lock:
                del self._entries[key]
            entry.ready.set_exception(error)
            raise
        with self._lock:
            self.loads += 1
        entry.ready.set_result(SharedModel(model, self._workers))
        self._evict()

    def _release(self, entry: _Entry) -> None:
        self._given_back.append(entry)
        self._evict()

    def _settle(self) -> None:
        while self._given_back:
            self._given_back.popleft().users -= 1

    def _evict(self) -> None:
        """Let go of what was not used for longest, until there is room; never of what is in use."""
        with self._lock:
            self._settle()
            idle = [key for key, entry in self._entries.items() if not entry.users]
            excess = max(0, len(self._entries) - self._max_active)
            gone = [self._entries.pop(key) for key in idle[:excess]]
        for entry in gone:
            entry.ready.result().model.close()

    def models(self) -> list[SharedModel]:
        """Those loaded now, the most recently used last."""
        with self._lock:
            entries = [entry.ready for entry in self._entries.values() if entry.ready.done()]
        return [ready.result() for ready in entries if ready.exception() is None]

    def close(self) -> None:
        """Let go of every idle model."""
        with self._lock:
            self._settle()
            kept = {key: entry for key, entry in self._entries.items() if entry.users}
            gone = [entry for key, entry in self._entries.items() if key not in kept]
            self._entries = kept
        for entry in gone:
            entry.ready.result().model.close()


def _cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def default_manager() -> ModelManager:
    """The process's own, by the settings in the environment."""
    return ModelManager.of(Settings.load())
