"""Secrets by reference: a variable, a file, the keyring; and foreign texts without them."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

from streamkit.errors import ConfigError

log = logging.getLogger(__name__)

KINDS = ("env", "file", "keyring", "literal")
_REFERENCE = re.compile(rf"(?P<kind>{'|'.join(KINDS)}):(?P<place>.*)", re.DOTALL)
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_LONGEST = 64 * 1024
_SHORTEST = 4
_OTHERS_MAY = stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP
# An address up to its last "@", and what FFmpeg sends or shows of a log-in.
_IN_ADDRESS = re.compile(r"(?<=://)[^\s/@]+(?:@[^\s/@]*)*(?=@)")
_IN_HEADER = re.compile(r"(?i)((?:proxy-)?authorization:)[^\r\n]*")


def resolved(text: str) -> str:
    """The secret behind ``env:NAME``, ``file:PATH`` or ``keyring:SERVICE/USER``; else ``text``.

    ``literal:`` before a text keeps it from being taken for one of them. It is looked up at each
    call, so that a changed secret counts from the next connection on. Raises ``ConfigError``, which
    names the place and never what is there.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None:
        return text
    return _KINDS[found["kind"]](found["place"])


def is_reference(text: str) -> bool:
    """Does ``text`` stand for something that is kept elsewhere?"""
    found = _REFERENCE.fullmatch(text)
    return found is not None and found["kind"] != "literal"


def masked(text: str) -> str:
    """``text`` without what looks like credentials: ``user:password@`` and log-in headers."""
    return _IN_HEADER.sub(r"\1 ***", _IN_ADDRESS.sub("***", text))


def redacted(text: str, secrets: Iterable[str | None]) -> str:
    """``text`` with ``***`` for each of ``secrets``, however written, and ``masked``.

    Those of less than four characters are only found where they look like credentials.
    """
    forms = {form for secret in secrets if secret for form in _forms(secret)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "***")
    return masked(text)


class Masking(logging.Filter):
    """For loggers of libraries that quote addresses: their records, ``masked``."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Every record passes."""
        record.msg, record.args = masked(record.getMessage()), None
        return True


def _forms(secret: str) -> set[str]:
    forms = {
        secret,
        secret.strip(),
        quote(secret, safe="", errors="replace"),
        quote(secret, errors="replace"),
        quote_plus(secret, errors="replace"),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        base64.b64encode(secret.encode(errors="replace")).decode(),
    }
    forms |= {form.replace("%", "%%") for form in forms}
    return {form for form in forms if len(form) >= _SHORTEST}


def _in_environment(name: str) -> str:
    from streamkit.settings import environment

    if not _VARIABLE.fullmatch(name):
        raise ConfigError("env: wants the name of a variable, as in env:CAM_PASSWORD")
    value = environment(name)
    if value is None:
        raise ConfigError(f"the environment variable {name} is not set")
    return _text(value.encode(errors="surrogateescape"), f"the environment variable {name}")


def _in_file(place: str) -> str:
    """All of the file but the end of its last line."""
    path, what = Path(place).expanduser(), f"the file {place}"
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_LONGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no proper path"
        raise ConfigError(f"{what} of a secret cannot be read: {reason}") from None
    if len(data) > _LONGEST:
        raise ConfigError(f"{what} is too long for a secret")
    if mode & _OTHERS_MAY:
        log.warning("%s holds a secret and others may use it: chmod 600", what)
    return _text(data.removesuffix(b"\n").removesuffix(b"\r"), what)


def _in_keyring(place: str) -> str:
    service, slash, user = place.rpartition("/")
    if not (service and slash and user):
        raise ConfigError("keyring: wants a service and a user, as in keyring:cameras/entrance")
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        text = "keyring: needs a package that is not installed: pip install 'streamkit[keyring]'"
        raise ConfigError(text) from None
    try:
        secret = keyring.get_password(service, user)
    except KeyringError as error:
        reason = type(error).__name__
        raise ConfigError(f"the keyring cannot be asked for {place}: {reason}") from None
    if secret is None:
        raise ConfigError(f"the keyring has nothing for {place}")
    return str(secret)


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{what} is not text in UTF-8") from None


_KINDS: Mapping[str, Callable[[str], str]] = {
    "env": _in_environment,
    "file": _in_file,
    "keyring": _in_keyring,
    "literal": str,
}
