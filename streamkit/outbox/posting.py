"""Sending over HTTP: one POST, no redirect followed, and what each answer means for a message."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

import httpcore

from streamkit.credentials import is_reference, resolved
from streamkit.errors import ConfigError, DeliveryFailedError, DeliveryRefusedError
from streamkit.outbox.line import Lines
from streamkit.outbox.reach import Reach
from streamkit.web import moment, retry_after

_READ: Final = 64 << 10
"""Bytes of an answer that are read, so that the connection can be used again."""
_AGAIN: Final = (408, 425, 429)
"""Clients' errors that pass: too slow, too early, too many."""
_IN_URLS: Final = "/?%&=:@!$'()*+,;~-._[]"
_SKEW: Final = 240.0
"""Seconds; receivers refuse signatures that are 300 old, by the specification's example."""
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """An address to post to, or where it is kept. Its texts show nothing that may be a secret."""

    url: str = field(repr=False)
    """May be ``env:NAME``, ``file:PATH`` or ``keyring:SERVICE/USER``; looked up at each use."""
    secret: bool = False
    """Also the path is one."""

    def __str__(self) -> str:
        if is_reference(self.url):
            return self.url
        parts = self.parts()
        path = "/..." if self.secret else parts.path
        return f"{parts.scheme}://{_place(parts)}{path}"

    def parts(self) -> SplitResult:
        """The address itself. Raises ``ConfigError``, which does not show it."""
        named = f"the address in {self.url}" if is_reference(self.url) else "url"
        try:
            parts = urlsplit(resolved(self.url).strip())
            port = parts.port
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{named} is not a URL") from None
        if parts.scheme not in _PORTS or not parts.hostname or port == 0:
            raise ConfigError(f"{named} must begin with https:// or http:// and name a host")
        if parts.username is not None or parts.password is not None:
            raise ConfigError(f"{named} has a user in it: use headers, like Authorization: env:X")
        return parts


def _place(parts: SplitResult) -> str:
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port}" if parts.port else str(host)


class Poster:
    """Posts to one target over a connection that is kept. ``close`` may come from any thread."""

    def __init__(
        self,
        target: Target,
        *,
        reach: Reach,
        timeout: float = 10.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """``timeout``: seconds for all of one attempt. Raises ``ConfigError``."""
        if not 0 < timeout <= 600:
            raise ConfigError(f"timeout={timeout}: give seconds above 0, at most 600")
        reach.check_literal(str(target.parts().hostname))
        self.target, self._timeout = target, timeout
        self._lines = Lines(reach)
        self._busy = threading.Lock()
        self._pool = httpcore.ConnectionPool(
            ssl_context=context or ssl.create_default_context(),
            max_connections=1,
            keepalive_expiry=30.0,
            network_backend=self._lines,
        )

    def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Returns on any 2xx. Raises ``DeliveryFailedError`` for what may pass (no answer, 408,
        425, 429, 5xx, a redirect) and ``DeliveryRefusedError`` for every other 4xx."""
        try:
            status, said = self._answer(self._url(), body, headers)
        except ConfigError as error:  # a secret that is not there now
            raise DeliveryFailedError(f"{self.target}: {error}") from None
        except httpcore.TimeoutException:
            text = f"{self.target}: no answer within {self._timeout:g} s"
            raise DeliveryFailedError(text) from None
        except httpcore.ConnectError as error:
            raise DeliveryFailedError(f"{self.target}: {error}") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, UnicodeError) as error:
            text = f"{self.target}: broke off: {type(error).__name__}"
            raise DeliveryFailedError(text) from None
        self._judge(status, said)

    def _url(self) -> httpcore.URL:
        parts = self.target.parts()
        path = parts.path or "/"
        target = quote(f"{path}?{parts.query}" if parts.query else path, safe=_IN_URLS)
        host = parts.hostname or ""
        return httpcore.URL(
            scheme=parts.scheme,
            host=host if host.isascii() else host.encode("idna").decode(),
            port=parts.port,
            target=target,
        )

    def _answer(
        self, url: httpcore.URL, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str]]:
        try:
            with self._busy:
                self._lines.deadline = time.monotonic() + self._timeout
                return self._exchange(url, body, headers)
        finally:
            if self._lines.is_cut:  # while it was busy ``close`` has left this to it
                self._pool.close()

    def _exchange(
        self, url: httpcore.URL, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str]]:
        given = list(headers.items())
        with self._pool.stream("POST", url, headers=given, content=body) as response:
            said = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in response.headers
            }
            late, broken = httpcore.TimeoutException, httpcore.NetworkError
            with contextlib.suppress(late, broken, httpcore.ProtocolError):
                self._skim(response)  # the status has been said
            return response.status, said

    def _skim(self, response: httpcore.Response) -> None:
        count = 0
        for piece in response.iter_stream():
            count += len(piece)
            if count > _READ:
                return

    def _judge(self, status: int, said: Mapping[str, str]) -> None:
        if 200 <= status < 300:
            return
        text = f"{self.target}: HTTP {status}"
        if status in _AGAIN or status >= 500:
            wait = retry_after(said.get("retry-after"), said.get("date"))
            raise DeliveryFailedError(text, retry_after=wait)
        if status < 400:
            raise DeliveryFailedError(f"{text}: redirects are not followed")
        if abs(off := _clock_error(said)) > _SKEW:
            hint = f"this machine's clock is {off:+.0f} s off, and signatures are of no use then"
            raise DeliveryFailedError(f"{text}; {hint}")
        raise DeliveryRefusedError(text)

    def close(self) -> None:
        """End it; a ``post`` under way fails at once."""
        self._lines.cut()
        if self._busy.acquire(blocking=False):
            try:
                self._pool.close()
            finally:
                self._busy.release()


def _clock_error(said: Mapping[str, str]) -> float:
    """By how many seconds the receiver's clock and this machine's differ; 0 if it says nothing."""
    theirs = moment(said.get("date"))
    return 0.0 if theirs is None else time.time() - theirs
