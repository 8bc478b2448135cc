"""Where models' files come from: a chain of providers, each of which may know the model.

A further source of models (a bucket, the weights API) is one more provider in one more file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from streamkit.errors import ConfigError, ModelArtefactError, ModelNotFoundError
from streamkit.models.ids import ModelId, Where, suggestion
from streamkit.models.remote import RemoteFile
from streamkit.models.store.package import Package, read_path


class Provider(Protocol):
    """Knows some models and gives their files."""

    @property
    def place(self) -> str:
        """Where it looks, for people."""
        ...

    def find(self, model: ModelId, api_key: SecretStr | None, /) -> Package | None:
        """The model's files on this machine, checked; ``None`` where it does not know the model.

        Raises ``ModelArtefactError`` where it does, and they are unusable.
        """
        ...


class Store:
    """Asks its providers in order."""

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        from_web: Callable[[RemoteFile], Package] | None = None,
    ) -> None:
        """``from_web``: what brings a model that is named by a URL."""
        self.providers = tuple(providers)
        self._from_web = from_web

    def find(self, model: Where, api_key: SecretStr | None = None) -> Package:
        """The files of ``model``. Raises ``ModelNotFoundError`` and what providers raise."""
        if isinstance(model, Path):
            return read_path(model)
        if isinstance(model, RemoteFile):
            if self._from_web is None:
                raise ConfigError(f"{model}: models are not taken from the web here")
            return self._from_web(model)
        for provider in self.providers:
            package = provider.find(model, api_key)
            if package is not None:
                return package
        places = "; ".join(provider.place for provider in self.providers)
        raise ModelNotFoundError(f"no model {str(model)!r}: looked in {places}{suggestion(model)}")

    def again(
        self, model: Where, api_key: SecretStr | None, damage: ModelArtefactError
    ) -> Package | None:
        """New files for a model whose files could not be used; ``None`` where there are none.

        Raises as ``find``.
        """
        if not isinstance(model, ModelId):
            return None
        for provider in self.providers:
            replace = getattr(provider, "replace", None)
            package: Package | None = replace and replace(model, api_key, damage)
            if package is not None:
                return package
        return None
