"""API keys: taken in as secrets, told apart without being kept."""

from __future__ import annotations

import hashlib

from pydantic import SecretStr


def secret(api_key: str | SecretStr | None) -> SecretStr | None:
    """As a secret; an empty key is none."""
    if isinstance(api_key, str):
        api_key = SecretStr(api_key)
    return api_key if api_key is not None and api_key.get_secret_value() else None


def fingerprint(api_key: SecretStr | None) -> str:
    """Tells keys apart in a table; BLAKE2s, 32 bytes, so that no dump of the table shows a key."""
    key = b"" if api_key is None else b"+" + api_key.get_secret_value().encode()
    return hashlib.blake2s(key).hexdigest()
