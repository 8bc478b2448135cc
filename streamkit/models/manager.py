"""The models of a process: each loaded once, shared by all who lease it, kept while room lasts."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from pydantic import SecretStr

from streamkit.errors import ModelAccessError, ModelArtefactError, ModelNotFoundError
from streamkit.models.access import AccessControl
from streamkit.models.assembly import (
    access_of,
    api_of,
    cleanup_of,
    execution_of,
    store_of,
    switches_of,
    workers_of,
)
from streamkit.models.base import InferenceOptions, Model
from streamkit.models.devices import CUDA, TENSORRT
from streamkit.models.ids import ModelId, Where, locate
from streamkit.models.instances import Instance, Instances, Key, OnGone
from streamkit.models.keys import secret
from streamkit.models.lease import Lease
from streamkit.models.loading import load
from streamkit.models.memory import FreeMemory
from streamkit.models.preprocess import Switches
from streamkit.models.session import Execution
from streamkit.models.shared import SharedModel
from streamkit.models.store import Store
from streamkit.models.store.fetch import OnProgress
from streamkit.models.store.package import Package
from streamkit.models.tuning import Tunings, Way
from streamkit.settings import Settings

__all__ = ["Lease", "ModelManager", "default_manager"]

log = logging.getLogger(__name__)

OnLoad: TypeAlias = Callable[[SharedModel, float], None]
"""Told of a load, with the seconds it took, in the thread that asked for it."""

ApiKey: TypeAlias = str | SecretStr | None


class ModelManager:
    """Keeps models loaded: those in use always, idle ones up to ``max_active`` in all.

    With ``access``, every caller's key is checked each time, also for a model that is loaded, and
    no key means no access; without it, ``own_key`` serves callers who give none.
    """

    def __init__(  # noqa: PLR0913 - a keyword for each decision about the whole process
        self,
        store: Store,
        execution: Execution | None = None,
        *,
        workers: int = 2,
        max_active: int = 8,
        max_batch: int | None = None,
        off: Switches | None = None,
        access: AccessControl | None = None,
        own_key: SecretStr | None = None,
        memory: FreeMemory | None = None,
        cleanup: OnGone | None = None,
        tunings: Tunings | None = None,
    ) -> None:
        """``cleanup`` is told which model went for want of room, to delete its files."""
        self.loads = 0
        """How many times a model was loaded."""
        self.own_key = own_key
        self._store = store
        self._execution = execution or Execution()
        self._workers = workers
        self._max_batch = max_batch
        self._off = off
        self._access = access
        self._cleanup = cleanup
        self._tunings = tunings
        self._lock = threading.Lock()
        self._held: dict[Key, Lease] = {}
        short = (memory or FreeMemory(0)).short
        self._instances = Instances(max_active, short, self._gone)

    @classmethod
    def of(cls, settings: Settings, progress: OnProgress | None = None) -> ModelManager:
        """As the settings say."""
        api = api_of(settings)
        access = access_of(settings, api)
        return cls(
            store_of(settings, api, access, progress),
            execution_of(settings),
            workers=workers_of(settings),
            max_active=settings.max_active_models,
            off=switches_of(settings),
            access=access,
            own_key=settings.api_key,
            memory=FreeMemory(settings.memory_free_threshold),
            cleanup=cleanup_of(settings),
            tunings=Tunings.of(settings),
        )

    def lease(
        self,
        model: str | Path | ModelId,
        api_key: ApiKey = None,
        *,
        architecture: str | None = None,
        on_load: OnLoad | None = None,
    ) -> Lease:
        """The model with its threads running; loads it first if need be.

        ``on_load`` is told if it was this lease that loaded it. Raises ``ConfigError`` for what can
        be no id, ``ModelNotFoundError``, ``ModelAccessError``, ``ModelUnavailableError``,
        ``ModelCacheError``, ``ModelArtefactError``.
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
        api_key: ApiKey = None,
        *,
        architecture: str | None = None,
        on_load: OnLoad | None = None,
    ) -> Lease:
        """The model without its threads, for who calls it directly; else like ``lease``."""
        where = locate(model)
        key = self._allowed(where, api_key)
        instance = self._obtain((str(where), architecture), where, key, on_load)
        forget = functools.partial(self._instances.forget, instance)
        return Lease(
            instance.ready.result(), lambda _until: self._instances.leave(instance), forget
        )

    def _allowed(self, where: Where, api_key: ApiKey) -> SecretStr | None:
        """The key to go on with. Raises ``ModelAccessError`` where it gives no access."""
        key = secret(api_key)
        if self._access is None:
            return key or self.own_key
        if isinstance(where, ModelId):
            self._access.require(where, key)
        return key

    def _obtain(
        self, name: Key, where: Where, api_key: SecretStr | None, on_load: OnLoad | None
    ) -> Instance:
        """The instance, with one more user; loaded by the first who wants it, awaited by others."""
        while True:
            instance, first = self._instances.join(name, where)
            try:
                if first:
                    self._fill(name, instance, api_key, on_load)
                instance.ready.result()
            except BaseException as error:
                self._instances.leave(instance)
                if first or not isinstance(error, ModelAccessError):
                    raise
                continue  # the key of somebody else was refused; ours may be good
            return instance

    def _fill(
        self, name: Key, instance: Instance, api_key: SecretStr | None, on_load: OnLoad | None
    ) -> None:
        """Load for all who want it now: they wait for it, or meet the same error."""
        began = time.perf_counter()
        try:
            model, way = self._load(instance.where, api_key, name[1])
        except BaseException as error:
            self._instances.fail(name, instance, error)
            raise
        shared = SharedModel(model, way.workers, way.name)
        instance.ready.set_result(shared)
        self._instances.make_room()
        if on_load is not None:
            on_load(shared, time.perf_counter() - began)

    def _load(
        self, where: Where, api_key: SecretStr | None, architecture: str | None
    ) -> tuple[Model, Way]:
        """The model, and how it runs."""
        package = self._store.find(where, api_key)
        self._instances.make_memory()
        way = self._tuned(package)
        open_it = functools.partial(
            load,
            execution=way.execution,
            off=self._off,
            max_batch=self._max_batch or way.batch,
            architecture=architecture,
        )
        try:
            model = open_it(package)
        except ModelArtefactError as error:
            again = self._store.again(where, api_key, error)
            if again is None:
                raise
            model = open_it(again)
        with self._lock:
            self.loads += 1
        return model, way

    def _tuned(self, package: Package) -> Way:
        """As ``streamkit tune`` found out, or as for all models."""
        plain = Way(self._execution, self._workers)
        if self._tunings is None or not package.weights.is_file():
            return plain
        return self._tunings.way(package, plain)

    def preload(self, models: Sequence[str | Path | ModelId], api_key: ApiKey = None) -> None:
        """Load and warm these, and keep them loaded, used or not, until ``unload``.

        Raises what ``lease`` raises, for the first that cannot be had.
        """
        for model in models:
            lease = self.pin(model, api_key)
            warm(lease.shared.model)
            with self._lock:
                before = self._held.get(name := (str(locate(model)), None))
                self._held[name] = lease
            if before is not None:
                before.release()

    def unload(self, model: str | Path | ModelId, *, architecture: str | None = None) -> bool:
        """Let go of a model, also of one kept by ``preload``; ``False`` while somebody uses it."""
        name = str(locate(model)), architecture
        with self._lock:
            held = self._held.pop(name, None)
        if held is not None:
            held.release()
        return self._instances.unload(name)

    def swap(
        self,
        old: str | Path | ModelId,
        new: str | Path | ModelId,
        api_key: ApiKey = None,
        *,
        architecture: str | None = None,
        accept: Callable[[Sequence[str]], object] = any,
    ) -> SharedModel:
        """Give all who use ``old`` the model ``new``, from their next batch on; no frame is lost.

        With ``old`` and ``new`` the same, its files are read again. Raises ``ModelNotFoundError``
        where ``old`` is not loaded, what ``lease`` raises for ``new``, and what ``accept`` raises
        when it is told the new one's class names; then nothing changes.
        """
        where = locate(new)
        key = self._allowed(where, api_key)
        before, after = (str(locate(old)), architecture), (str(where), architecture)
        instance = self._instances.find(before)
        if instance is None:
            raise ModelNotFoundError(f"{before[0]} is not loaded, so nothing can take its place")
        try:
            shared = instance.ready.result()
            model, way = self._load(where, key, architecture)
            accept(model.names)
            shared.swap(model, way.name)
            self._instances.rename(before, after, where)
        finally:
            self._instances.leave(instance)
        return shared

    def _gone(self, where: Where) -> None:
        if self._cleanup is not None and where not in self._instances:
            self._cleanup(where)

    def models(self) -> list[SharedModel]:
        """Those loaded now, the most recently used last."""
        return self._instances.loaded()

    def close(self) -> None:
        """Let go of every idle model, also of those kept by ``preload``."""
        with self._lock:
            held, self._held = list(self._held.values()), {}
        for lease in held:
            lease.release()
        self._instances.close()


def warm(model: Model) -> float:
    """One run on a grey picture, so that the first real one is not slower; seconds it took. On
    CUDA and TensorRT also one on a full batch: an engine is built for the sizes it has seen."""
    began = time.perf_counter()
    gpu = model.provider in (CUDA, TENSORRT)
    for count in dict.fromkeys((1, model.max_batch) if gpu else (1,)):
        tensor, geometries = model.prepare([np.full((480, 640, 3), 114, np.uint8)] * count)
        model.finish(model.run(tensor), 0, geometries[0], InferenceOptions())
    return time.perf_counter() - began


@functools.cache
def default_manager(**given: Any) -> ModelManager:
    """The process's own, by the settings in the environment, and ``given`` ones on top: one for
    each way that is asked for."""
    return ModelManager.of(Settings.load(**given))
