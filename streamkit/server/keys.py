"""Who asks: the key of a request, the server's own key, and a workspace's keys."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable

import anyio
import anyio.to_thread
import cachetools
from pydantic import SecretStr
from starlette.requests import HTTPConnection

from streamkit.errors import ModelAccessError, ModelErrorCode
from streamkit.models.keys import fingerprint, secret
from streamkit.server.failures import HttpError

_SCHEME = "bearer "
_HOUR = 3600.0
_DENIAL = 30.0
_KEYS = 10_000
"""Remembered, of each kind."""
_AT_ONCE = 8
"""Keys asked about at a time."""


def key_of(request: HTTPConnection, body: SecretStr | None = None) -> SecretStr | None:
    """From the query, else ``Authorization: Bearer``, else the body; ``None``: none was given.

    ``None`` in letters is what the neighbour's client sends when it has no key.
    """
    query = request.query_params.get("api_key")
    if query and query != "None":
        return secret(query)
    header = request.headers.get("authorization", "")
    if header.lower().startswith(_SCHEME):
        return secret(header[len(_SCHEME) :].strip())
    return secret(body)


class ServerKey:
    """What whoever manages the server has to show, if there is one."""

    def __init__(self, key: SecretStr | None) -> None:
        self._key = key

    def __bool__(self) -> bool:
        return self._key is not None

    def opens(self, given: SecretStr | None) -> bool:
        """Whether this is the key; compared in constant time."""
        if self._key is None or given is None:
            return self._key is None
        ours, theirs = (k.get_secret_value().encode() for k in (self._key, given))
        return hmac.compare_digest(ours, theirs)

    def require(self, given: SecretStr | None) -> None:
        """Raise 401 unless it is the key."""
        if not self.opens(given):
            text = "this needs the server's key: Authorization: Bearer <STREAMKIT_SERVER_KEY>"
            raise HttpError(401, text, "SERVER_KEY_REQUIRED", {"WWW-Authenticate": "Bearer"})

    def strip(self, given: SecretStr | None) -> SecretStr | None:
        """The key to ask the weights API with: the server's own is none of its business."""
        return None if self and self.opens(given) else given


class Workspace:
    """Dedicated mode: keys of one workspace only. Those accepted are remembered for an hour, those
    refused for half a minute."""

    def __init__(self, name: str, workspace_of: Callable[[SecretStr], str | None]) -> None:
        """``workspace_of`` asks whose key it is; ``None`` for a key nobody knows. May raise."""
        self._name, self._workspace_of = name, workspace_of
        self._lock = threading.Lock()
        self._accepted: cachetools.TTLCache[str, bool] = cachetools.TTLCache(_KEYS, _HOUR)
        self._refused: cachetools.TTLCache[str, bool] = cachetools.TTLCache(_KEYS, _DENIAL)
        self._asking = anyio.CapacityLimiter(_AT_ONCE)

    def knows(self, key: SecretStr) -> bool:
        """Whether it was accepted within the hour."""
        with self._lock:
            return fingerprint(key) in self._accepted

    async def admits(self, key: SecretStr | None) -> bool:
        """As ``accepts``: keys that nobody has asked about hold up one another only."""
        if key is None or self.knows(key):
            return key is not None
        return await anyio.to_thread.run_sync(self.accepts, key, limiter=self._asking)

    def accepts(self, key: SecretStr) -> bool:
        """Whether a key may ask anything at all; asks the authority where it is not remembered."""
        about = fingerprint(key)
        with self._lock:
            if about in self._accepted or about in self._refused:
                return about in self._accepted
        accepted = self._is_ours(key)
        with self._lock:
            (self._accepted if accepted else self._refused)[about] = True
        return accepted

    def _is_ours(self, key: SecretStr) -> bool:
        try:
            return self._workspace_of(key) == self._name
        except ModelAccessError as error:
            if error.code != ModelErrorCode.KEY_REFUSED:
                raise
            return False
