"""Posts events to a web server, signed after Standard Webhooks, through the outbox."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from streamkit.credentials import resolved
from streamkit.errors import ConfigError, DeliveryFailedError
from streamkit.events import Event
from streamkit.outbox.base import Message
from streamkit.outbox.options import OutboxGiven
from streamkit.outbox.posting import Poster, Target
from streamkit.outbox.reach import Reach
from streamkit.outbox.signing import ID, SIGNATURE, TIMESTAMP, key_of, sign
from streamkit.predictions import Result
from streamkit.sinks.embedding import embedded
from streamkit.sinks.networked import Networked, encoded, message_of
from streamkit.sinks.placeholders import Placeholders
from streamkit.sinks.secure import tls_context

_OURS: Final = (ID, TIMESTAMP, SIGNATURE, "content-type", "content-length", "host",
                "idempotency-key", "transfer-encoding")  # fmt: skip
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE: Final = re.compile(r"(?:[!-~]+(?:[ \t]+[!-~]+)*)?")
"""What a header may be set to (RFC 9110, 5.5)."""
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"
_MOST: Final = 1000
"""Events of one batch."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What is posted, and how it is signed. Secrets are looked up at each use."""

    secrets: tuple[str, ...] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Placeholders | None = None
    text: bool = False
    """The body is text, not JSON."""
    content_type: str = _JSON
    together: bool = False
    """Bodies are items of an array."""

    def write(self, messages: Sequence[Message]) -> tuple[bytes, dict[str, str]]:
        """Body and headers. Raises ``ConfigError`` for a secret that is not there, or unsayable."""
        if len(messages) > 1 and not self.together:
            raise ValueError(f"{len(messages)} messages, and each is a letter of its own")
        bodies = [self._body(message) for message in messages]
        body = b"[" + b",".join(bodies) + b"]" if self.together else bodies[0]
        key = messages[0].id if len(messages) == 1 else _key_of(messages)
        headers = {name: _looked_up(name, value) for name, value in self.headers.items()}
        headers |= {"Content-Type": self.content_type, "Idempotency-Key": key, ID: key}
        headers[TIMESTAMP] = str(now := int(time.time()))
        if keys := [key_of(resolved(secret)) for secret in self.secrets]:
            headers[SIGNATURE] = sign(keys, key, now, body)
        return body, headers

    def _body(self, message: Message) -> bytes:
        if self.body is None:
            return message.body
        event = orjson.loads(message.body)
        return self.body.text(event).encode() if self.text else orjson.dumps(self.body.fill(event))


def _key_of(messages: Sequence[Message]) -> str:
    """The same for the same messages."""
    together = "\n".join(message.id for message in messages)
    return f"batch.{hashlib.sha256(together.encode()).hexdigest()[:32]}"


class WebhookDestination:
    """One receiver of webhooks."""

    def __init__(self, poster: Poster, letter: Letter, *, batch: int, linger: float) -> None:
        self.batch, self.linger = batch, linger
        self._poster, self._letter = poster, letter

    def send(self, messages: Sequence[Message]) -> None:
        """One POST for all of them."""
        try:
            body, headers = self._letter.write(messages)
        except ConfigError as error:
            raise DeliveryFailedError(f"{self._poster.target}: {error}") from None
        self._poster.post(body, headers)

    def close(self) -> None:
        """End it; a ``send`` under way fails at once."""
        self._poster.close()


class WebhookSink(Networked):
    """One POST per event, or per batch: 2xx is delivered; no answer, 408, 425, 429, 5xx and
    redirects (which are not followed) are tried again; any other 4xx makes a dead letter.

    ``webhook-id`` (and ``Idempotency-Key``) is the same at each attempt; that of a batch is while
    the same events are in it: others may join before it is tried again, and each has its own ``id``
    and ``phase``. Receivers check with ``streamkit.outbox.verify``.

    ``url``, each of ``secrets`` and the values of ``headers`` may say where they are kept
    (``env:NAME``). ``secrets``: ``whsec_...``; two while one replaces the other. ``body``: JSON
    with places (``{"text": "${event.kind}"}``), or a text; the event in its wire form unless
    given. ``batch``: so many events at most in one array, which waits for ``batch_wait`` seconds
    at most to become full. ``evidence: snapshot`` adds the picture in base64. ``allow_private``:
    the receiver may be in a private network; ``allow``: hosts and networks that may be used
    whatever they are. ``timeout``: seconds for one attempt.
    """

    def __init__(  # noqa: PLR0913 - the options
        self,
        url: str,
        *,
        secrets: Sequence[str] | str = (),
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | Sequence[Any] | str | None = None,
        content_type: str | None = None,
        batch: int | None = None,
        batch_wait: float = 1.0,
        evidence: Literal["snapshot"] | None = None,
        allow_private: bool = False,
        allow: Sequence[str] = (),
        ca_file: str | Path | None = None,
        timeout: float = 10.0,
        name: str | None = None,
        kinds: Sequence[str] = (),
        outbox: OutboxGiven = None,
    ) -> None:
        """Raises ``ConfigError``; ``OutboxError`` where there is no outbox to be had."""
        target = Target(url)
        letter = Letter(
            _secrets(secrets),
            _headers(headers or {}),
            None if body is None else Placeholders(body, "body"),
            isinstance(body, str),
            _sayable("content_type", content_type or (_TEXT if isinstance(body, str) else _JSON)),
            batch is not None,
        )
        _check_batch(batch, batch_wait, letter)
        poster = Poster(
            target,
            reach=Reach.of(allow_private, allow),
            timeout=timeout,
            context=tls_context(ca_file, None, None),
        )
        self._evidence = evidence
        same = (url, letter.secrets, letter.headers, body, letter.content_type, batch, batch_wait,
                evidence, allow_private, tuple(allow), ca_file, timeout)  # fmt: skip
        super().__init__(
            WebhookDestination(poster, letter, batch=batch or 1, linger=batch_wait if batch else 0),
            name=name or f"webhook {target}",
            same=same,
            kinds=kinds,
            outbox=outbox,
        )

    def message(self, event: Event, result: Result) -> Message:
        """With its picture, where that was asked for: later it may be gone."""
        if self._evidence is None:
            return super().message(event, result)
        wire = {**event.dict(), "embedded": [embedded(event, result)]}
        return message_of(event, result, encoded(wire))


def _check_batch(batch: int | None, batch_wait: float, letter: Letter) -> None:
    if batch is not None and not (1 <= batch <= _MOST and batch_wait >= 0):
        raise ConfigError(f"batch={batch}: give 1 to {_MOST}, and batch_wait not below 0")
    if letter.text and batch is not None:
        raise ConfigError("a body that is text cannot be one of a batch, which is JSON")


def _secrets(given: Sequence[str] | str) -> tuple[str, ...]:
    secrets = (given,) if isinstance(given, str) else tuple(given)
    if len(secrets) > 2:
        raise ConfigError("secrets: give one, or two while one replaces the other")
    for secret in secrets:
        key_of(resolved(secret))
    return secrets


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    headers = {"User-Agent": f"streamkit/{version('streamkit')}", **given}
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or name.lower() in _OURS:
            raise ConfigError(f"headers: {name!r} cannot be set; set here: {', '.join(_OURS)}")
        _looked_up(name, value)
    return headers


def _looked_up(name: str, value: str) -> str:
    return _sayable(f"headers: what {name!r} is set to", resolved(value))


def _sayable(what: str, value: str) -> str:
    """``value``, which is not shown."""
    if not _VALUE.fullmatch(value):
        raise ConfigError(f"{what}: only printable ASCII, and no spaces around it")
    return value
