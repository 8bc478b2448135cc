"""Signed deliveries after Standard Webhooks (standardwebhooks.com, specification 1.0.0): made here,
and checked by receivers."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets as random
import time
from collections.abc import Mapping, Sequence
from typing import Final

from streamkit.errors import ConfigError, SignatureError

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"

_PREFIX: Final = "whsec_"
_LEAST, _MOST = 24, 64
"""Bytes of a key, by the specification."""


def new_secret() -> str:
    """A secret for both sides: ``whsec_`` and 32 random bytes in base64."""
    return _PREFIX + base64.b64encode(random.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The key in a secret. Raises ``ConfigError``, which does not show it."""
    try:
        key = base64.b64decode(secret.strip().removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.strip().startswith(_PREFIX) or not _LEAST <= len(key) <= _MOST:
        raise ConfigError(
            f"a webhook's secret is {_PREFIX} and {_LEAST} to {_MOST} random bytes in base64; "
            "streamkit.outbox.new_secret() makes one"
        )
    return key


def sign(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """``v1,`` and the HMAC-SHA256 over ``id.timestamp.body``, in base64, for each key."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    marks = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return " ".join(f"v1,{base64.b64encode(mark).decode()}" for mark in marks)


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secrets: str | Sequence[str],
    *,
    tolerance: float = 300.0,
    now: float | None = None,
) -> str:
    """For receivers: raises ``SignatureError`` unless ``body``, exactly as it came, was signed with
    one of ``secrets`` (each ``whsec_...``) at most ``tolerance`` seconds ago, or ahead.

    Returns the delivery's id: the same at every attempt, so a receiver that remembers the last
    ones takes each event once; of a batch it is while the same events are in it. ``headers``: names
    in any case. ``now``: seconds since 1970. Raises ``ConfigError`` for a secret that is none.
    """
    given = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in (ID, TIMESTAMP, SIGNATURE) if not given.get(name)]
    if missing:
        raise SignatureError(f"not signed: {', '.join(missing)} is missing")
    timestamp = _recent(given[TIMESTAMP], tolerance, time.time() if now is None else now)
    keys = [key_of(one) for one in ([secrets] if isinstance(secrets, str) else secrets)]
    wanted = sign(keys, given[ID], timestamp, body).split()
    found = given[SIGNATURE].split()
    # Every pair is compared, so that the time it takes tells nothing.
    if not any([hmac.compare_digest(a.encode(), b.encode()) for a in wanted for b in found]):
        raise SignatureError("the signature fits none of the secrets")
    return given[ID]


def _recent(text: str, tolerance: float, now: float) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 12:
        raise SignatureError(f"{TIMESTAMP} is not a number of seconds")
    if abs(now - int(text)) > tolerance:
        when = "old" if int(text) < now else "far ahead"
        raise SignatureError(f"the delivery is too {when}: more than {tolerance:g} s")
    return int(text)
