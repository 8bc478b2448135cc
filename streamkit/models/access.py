"""Which key may use which model: asked of an authority, remembered, refusals only for a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import cachetools
from pydantic import SecretStr

from streamkit.errors import ModelAccessError, ModelErrorCode, ModelNotFoundError
from streamkit.models.ids import ModelId
from streamkit.models.keys import fingerprint

Ask = Callable[[ModelId, SecretStr | None], None]
"""Raises ``ModelAccessError`` or ``ModelNotFoundError`` unless the key may use the model."""

GRANT_SECONDS: Final = 900.0
DENIAL_SECONDS: Final = 30.0
ENTRIES: Final = 100_000


class AccessControl:
    """Remembers what ``ask`` said, by model and fingerprint of the key; keys are never kept.

    What is neither yes nor no (no network) is raised, and not remembered.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        grant_seconds: float = GRANT_SECONDS,
        denial_seconds: float = DENIAL_SECONDS,
        entries: int = ENTRIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._granted: cachetools.TTLCache[tuple[str, str], bool]
        self._granted = cachetools.TTLCache(entries, grant_seconds, clock)
        self._denied: cachetools.TTLCache[tuple[str, str], tuple[type[Exception], str, str]]
        self._denied = cachetools.TTLCache(entries, denial_seconds, clock)

    def require(self, model: ModelId, api_key: SecretStr | None) -> None:
        """Raise ``ModelAccessError`` (or ``ModelNotFoundError``) unless the key may use ``model``.

        Also ``ModelUnavailableError`` where the authority cannot be asked: then nobody may.
        """
        pair = fingerprint(api_key), str(model)
        with self._lock:
            if pair in self._granted:
                return
            denied = self._denied.get(pair)
        if denied is not None:
            raise _denial(denied)
        self._decide(pair, model, api_key)

    def _decide(self, pair: tuple[str, str], model: ModelId, api_key: SecretStr | None) -> None:
        try:
            self._ask(model, api_key)
        except (ModelAccessError, ModelNotFoundError) as error:
            with self._lock:
                self._granted.pop(pair, None)
                self._denied[pair] = type(error), str(error), str(error.code)
            raise
        with self._lock:
            self._granted[pair] = True


def _denial(denied: tuple[type[Exception], str, str]) -> Exception:
    """A new exception each time: one that was raised drags its old traceback along."""
    kind, text, code = denied
    if issubclass(kind, ModelAccessError):
        return ModelAccessError(text, ModelErrorCode(code))
    return ModelNotFoundError(text)
