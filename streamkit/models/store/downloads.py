"""Models that are had from afar: kept in the cache, checked, and downloaded again when damaged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from streamkit.errors import (
    ModelArtefactError,
    ModelCacheError,
    ModelError,
    ModelErrorCode,
    ModelUnavailableError,
)
from streamkit.models.ids import ModelId
from streamkit.models.store.cache import Cache, find_weights
from streamkit.models.store.fetch import Download, OnProgress, download
from streamkit.models.store.http import Http
from streamkit.models.store.keeping import make_folder, write
from streamkit.models.store.package import WEIGHTS, Package
from streamkit.models.store.sidecar import Sidecar

log = logging.getLogger(__name__)

Allow = Callable[[ModelId, SecretStr | None], None]
"""Raises ``ModelAccessError`` unless the key may use the model."""


@dataclass(frozen=True, slots=True)
class Offer:
    """The files of one model, as a remote place gives them."""

    source: str
    http: Http
    texts: Mapping[str, bytes] = field(default_factory=dict)
    """Small files that are here already, by name."""
    files: Mapping[str, Download] = field(default_factory=dict)
    """Files still to be downloaded, by name."""


class Remote(Protocol):
    """A place from which models can be had: one that fits here is one more file."""

    @property
    def place(self) -> str:
        """What it is called, for people."""
        ...

    def offer(self, model: ModelId, api_key: SecretStr | None, /) -> Offer | None:
        """Its files; ``None`` where it does not know the model.

        Raises ``ModelAccessError``, ``ModelUnavailableError``.
        """
        ...


def _silent(_name: str, _have: int, _total: int | None) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Downloads:
    """A provider: what is in the cache, and what ``remotes`` bring into it, in their order."""

    cache: Cache
    remotes: Sequence[Remote] = ()
    offline: bool = False
    allow: Allow | None = None
    progress: OnProgress = _silent

    @property
    def place(self) -> str:
        """The cache directory, and the places behind it."""
        kept = f"{self.cache.root} (MODEL_CACHE_DIR; put the files into <dataset>/<version> there)"
        return "; ".join([kept, *(remote.place for remote in self.remotes)])

    def find(self, model: ModelId, api_key: SecretStr | None, /) -> Package | None:
        """The model's files, brought here if need be; ``None`` where nobody knows it.

        Raises ``ModelAccessError``, ``ModelUnavailableError``, ``ModelCacheError`` and
        ``ModelArtefactError``.
        """
        if self.allow is not None:
            self.allow(model, api_key)
        return self.bring(model, api_key, self.remotes)

    def bring(
        self, model: ModelId, api_key: SecretStr | None, remotes: Sequence[Remote]
    ) -> Package | None:
        """``model`` out of the cache, else from the first of ``remotes`` that has it."""
        package, damage = self._kept(model)
        if package is not None:
            return package
        if self.offline:
            raise damage or _offline(model, self.cache)
        if not remotes:
            _complain(damage)
            return None
        try:
            with self.cache.lock(model):
                package, damage = self._kept(model)  # another process may have brought it meanwhile
                return package or self._fetch(model, api_key, remotes, damage)
        except ModelCacheError as error:
            if damage is not None:
                _complain(damage, error)
            raise

    def replace(
        self, model: ModelId, api_key: SecretStr | None, damage: ModelArtefactError
    ) -> Package | None:
        """New files in place of such as somebody else put here, which turned out to be unusable.

        ``None`` where they were downloaded and checked: then they are what the model is.
        """
        folder = self.cache.folder(model)
        if find_weights(folder) is None:
            return self.find(model, api_key)  # deleted after they had been found
        if self.offline or not self.remotes or self.cache.downloaded(model):
            return None
        with self.cache.lock(model):
            if self.cache.downloaded(model):
                return self.cache.read(model)
            return self._fetch(model, api_key, self.remotes, damage)

    def _kept(self, model: ModelId) -> tuple[Package | None, ModelArtefactError | None]:
        try:
            return self.cache.read(model), None
        except ModelArtefactError as error:
            return None, error

    def _fetch(
        self,
        model: ModelId,
        api_key: SecretStr | None,
        remotes: Sequence[Remote],
        damage: ModelArtefactError | None,
    ) -> Package | None:
        if damage is not None:
            log.warning("%s is damaged and will be downloaded again: %s", model, damage)
        errors: list[ModelError] = []
        for remote in remotes:
            try:
                offer = remote.offer(model, api_key)
                if offer is not None:
                    self._fill(self.cache.folder(model), offer)
                    return self.cache.read(model)
            except ModelCacheError:
                raise
            except ModelUnavailableError as error:
                log.info("%s: not from %s: %s", model, remote.place, error)
                errors.append(error if damage else _not_here(model, self.cache, error))
            except ModelError as error:
                errors.append(error)
        _complain(damage, *errors)
        return None

    def _fill(self, folder: Path, offer: Offer) -> None:
        """All files of ``offer``, the weights last; those which are whole are not asked for."""
        make_folder(folder)
        whole = _whole(folder, offer)
        for name, data in offer.texts.items():
            write(folder / name, data)
        for name in sorted(offer.files, key=lambda name: (name in WEIGHTS, name)):
            if name not in whole:
                download(offer.http, offer.files[name], folder / name, self.progress)
        Sidecar.of(folder, offer.source, [*offer.texts, *offer.files]).save(folder)


def _whole(folder: Path, offer: Offer) -> set[str]:
    """Files that came from the same place and are as they were."""
    try:
        sidecar = Sidecar.read(folder)
    except ModelArtefactError:
        return set()
    if sidecar is None or sidecar.source != offer.source:
        return set()
    return set(sidecar.files) - set(sidecar.broken(folder))


def _complain(damage: ModelArtefactError | None, *errors: ModelError) -> None:
    """Raise what says most about why there is no model; nothing where nobody knows it."""
    if damage is not None and errors:
        text = f"{damage}; and it cannot be downloaded again: {errors[0]}"
        raise ModelArtefactError(text, ModelErrorCode.HASH_MISMATCH) from errors[0]
    if damage is not None or errors:
        raise damage or errors[0]


def _not_here(model: ModelId, cache: Cache, error: ModelUnavailableError) -> ModelUnavailableError:
    text, code = f"{model} is not in {cache.root}, and {error}", ModelErrorCode(error.code)
    return ModelUnavailableError(text, code, retry_after=error.retry_after)


def _offline(model: ModelId, cache: Cache) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"{model} is not in {cache.root}, and OFFLINE_MODE forbids to download it",
        ModelErrorCode.OFFLINE,
    )
