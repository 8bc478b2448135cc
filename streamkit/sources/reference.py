"""A network address taken apart once: its credentials, and a name that may be printed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote

from streamkit import credentials
from streamkit.errors import ConfigError, SourceConnectionError, StreamErrorCode

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s@:/?#\[\]]*)(?::(?P<port>\d{0,5}))?")
# Some cameras take the password in the path: rtsp://host/user=admin_password=secret_channel=1.sdp
_SECRET_IN_PATH = re.compile(r"(?i)((?:pass(?:word|wd)?|pwd|token|secret|key)=)[^&/]*")
# ${NAME} of the environment, ${file:PATH}, ${keyring:SERVICE/USER}
_HOLE = re.compile(r"\$\{(?P<what>(?:env|file|keyring):[^{}]+|[A-Za-z_]\w*)\}")
_MARKS = 0xF0000
"""Where Unicode has characters that mean nothing: each stands for a hole while it is parsed."""
_LAST_PORT = 65535
_LONGEST = 4096
"""Characters of an address: each ``@`` in it may be where its host begins."""
_DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935, "rtmps": 443}


@dataclass(frozen=True)
class Address:
    """``scheme://user:password@host:port/rest``; its ``repr`` and ``str`` hold no credentials."""

    scheme: str
    host: str
    port: int | None
    rest: str = field(repr=False)
    """Path, query and fragment, as they were written."""
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    told: str | None = field(default=None, repr=False)
    """What may be printed of ``rest``, where that has been filled in."""

    @property
    def printable(self) -> str:
        """The address without user, password, query, or what looks like a secret in its path."""
        mark = "***@" if self.username is not None or self.password is not None else ""
        rest = self.rest if self.told is None else self.told
        path = re.split(r"[?#]", rest, maxsplit=1)[0]
        if "@" in path and (mark or self.port is not None):
            path = "/***"  # perhaps the rest of a password whose beginning looked like a host
        path = _SECRET_IN_PATH.sub(r"\1***", path)
        return f"{self.scheme}://{mark}{self.place}{path}"

    @property
    def url(self) -> str:
        """The whole address for FFmpeg, credentials percent-encoded. Not for printing."""
        return f"{self.scheme}://{self.login}{self.place}{self.rest}"

    @property
    def login(self) -> str:
        """``user:password@``, as short as it can be written in ASCII, or nothing."""
        if self.username is None and self.password is None:
            return ""
        user, password = (
            quote(part or "", safe="!$&'()*+,;=") for part in (self.username, self.password)
        )
        return f"{user}:{password}@"

    @property
    def request_target(self) -> str:
        """Path and query as a request line wants them: ASCII, no spaces, no fragment."""
        target = self.rest.partition("#")[0]
        return quote(target if target.startswith("/") else "/" + target, safe="/?&=%:@!$'()*+,;~")

    @property
    def bare_host(self) -> str:
        """The host for the resolver: IPv6 without its brackets."""
        return self.host.strip("[]")

    @property
    def known_port(self) -> int:
        """The port, or the scheme's usual one."""
        return self.port or _DEFAULT_PORTS.get(self.scheme, 0)

    @property
    def place(self) -> str:
        """Host and port, as written."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return self.printable


def parse(text: str, username: str | None = None, password: str | None = None) -> Address:
    """Take an address apart; ``username`` and ``password`` win over those inside it.

    A password may be percent-encoded or raw. Raw ones may hold ``@ : % &`` and, unless what
    stands before them already reads as ``host:port``, also ``/ ? #``. Raises ``ConfigError``.
    """
    if len(text) > _LONGEST:
        raise ConfigError(f"an address of {len(text)} characters: the most are {_LONGEST}")
    match = _SCHEME.fullmatch(text.strip())
    if match is None:
        raise ConfigError("not an address of the form scheme://host/path")
    scheme, remainder = match[1].lower(), match[2]
    credentials, place, rest = _split(remainder)
    credentials = credentials or None
    host = _host(place)
    if host is None or (scheme in _DEFAULT_PORTS and not host["host"]):
        raise ConfigError(f"no valid host and port in the {scheme} address")
    port = int(host["port"]) if host["port"] else None
    user, separator, secret = (
        credentials.partition(":") if credentials is not None else ("", "", "")
    )
    address = Address(scheme, host["host"], port, rest)
    if credentials is not None:
        address = replace(
            address, username=unquote(user), password=unquote(secret) if separator else None
        )
    return replace(
        address,
        username=address.username if username is None else username,
        password=address.password if password is None else password,
    )


def _host(place: str) -> re.Match[str] | None:
    found = _HOST.fullmatch(place)
    return found if found and int(found["port"] or 0) <= _LAST_PORT else None


def _split(remainder: str) -> tuple[str | None, str, str]:
    """(credentials, host and port, rest): the leftmost reading in which the host is a host."""
    start = 0
    while True:
        place = re.split(r"[/?#]", remainder[start:], maxsplit=1)[0]
        if _host(place):
            credentials = remainder[: start - 1] if start else None
            return credentials, place, remainder[start + len(place) :]
        at = remainder.find("@", start)
        if at < 0:
            return None, remainder, ""
        start = at + 1


class Locator:
    """An address as it was written, which may refer to secrets that are kept elsewhere.

    ``username`` and ``password`` may be ``env:NAME``, ``file:PATH`` or ``keyring:SERVICE/USER``.
    In the address, ``${NAME}`` stands for a variable, ``${file:PATH}`` and
    ``${keyring:SERVICE/USER}`` for the others: taken as it is in credentials, percent-encoded in
    the path and the query. The whole address may be a reference, too. Raises ``ConfigError``.
    """

    __slots__ = ("_password", "_text", "_username", "printable")

    def __init__(self, text: str, username: str | None = None, password: str | None = None) -> None:
        self._text, self._username, self._password = text, username, password
        self.printable: str = self.resolved().printable

    def __repr__(self) -> str:
        return f"Locator({self.printable!r})"

    def resolved(self) -> Address:
        """The address with its secrets as they are now. Raises ``ConfigError``."""
        address = _filled(located(self._text))
        who = [None if v is None else credentials.resolved(v) for v in self._given]
        return replace(
            address,
            username=address.username if who[0] is None else who[0],
            password=address.password if who[1] is None else who[1],
        )

    def renewed(self) -> Address:
        """The same, for a new connection: what has gone meanwhile may come back.

        Raises ``SourceConnectionError`` AUTH_FAILED.
        """
        try:
            return self.resolved()
        except ConfigError as error:
            raise SourceConnectionError(
                f"{self.printable}: {error}",
                StreamErrorCode.AUTH_FAILED,
                source_reference=self.printable,
            ) from None

    @property
    def _given(self) -> tuple[str | None, str | None]:
        return self._username, self._password


def located(text: str) -> str:
    """The address itself, where ``text`` is nothing but a reference to it."""
    text = text.strip()
    whole = _HOLE.fullmatch(text)
    if whole is not None:
        return _secret(whole["what"]).strip()
    return credentials.resolved(text).strip() if kept_elsewhere(text) else text


def kept_elsewhere(text: str) -> bool:
    """Is ``text`` nothing but a reference to an address? (``file:PATH`` alone names a video.)"""
    text = text.strip()
    return text.startswith(("env:", "keyring:")) or _HOLE.fullmatch(text) is not None


def printable(reference: object) -> str:
    """How to show what somebody gave as a source, before it is known whether it is one."""
    text = str(reference)
    if "://" not in text:
        return text
    try:
        return parse(text).printable
    except ConfigError:
        return credentials.masked(text)


def _secret(what: str) -> str:
    return credentials.resolved(what if ":" in what else f"env:{what}")


def _filled(text: str) -> Address:
    """``parse``, with the holes in it filled."""
    holes = [hole["what"] for hole in _HOLE.finditer(text)]
    if not holes:
        return parse(text)
    marks = {chr(_MARKS + number): what for number, what in enumerate(holes)}
    unmarked = iter(marks)
    address = parse(_HOLE.sub(lambda _: next(unmarked), text))
    values = {mark: _secret(what) for mark, what in marks.items()}

    def fill(part: str | None, told: Callable[[str], str] = values.__getitem__) -> str | None:
        return part and "".join(told(c) if c in values else c for c in part)

    place = _host(fill(address.place) or "")
    if place is None:
        raise ConfigError(f"no valid host and port in the {address.scheme} address")
    return replace(
        address,
        host=place["host"],
        port=int(place["port"]) if place["port"] else None,
        username=fill(address.username),
        password=fill(address.password),
        rest=fill(address.rest, lambda mark: quote(values[mark], safe="")) or "",
        told=fill(address.rest, lambda mark: f"${{{marks[mark]}}}"),
    )
