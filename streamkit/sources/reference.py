"""A network address taken apart once: its credentials, and a name that may be printed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote

from streamkit.errors import ConfigError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s@:/?#\[\]]*)(?::(?P<port>\d{0,5}))?")
# Some cameras take the password in the path: rtsp://host/user=admin_password=secret_channel=1.sdp
_SECRET_IN_PATH = re.compile(r"(?i)((?:pass(?:word|wd)?|pwd|token|secret|key)=)[^&/]*")
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

    @property
    def printable(self) -> str:
        """The address without user, password, query, or what looks like a secret in its path."""
        mark = "***@" if self.username is not None or self.password is not None else ""
        path = re.split(r"[?#]", self.rest, maxsplit=1)[0]
        if "@" in path and (mark or self.port is not None):
            path = "/***"  # perhaps the rest of a password whose beginning looked like a host
        path = _SECRET_IN_PATH.sub(r"\1***", path)
        return f"{self.scheme}://{mark}{self.place}{path}"

    @property
    def url(self) -> str:
        """The whole address for FFmpeg, credentials percent-encoded. Not for printing."""
        if self.username is None and self.password is None:
            return f"{self.scheme}://{self.place}{self.rest}"
        who = f"{quote(self.username or '', safe='')}:{quote(self.password or '', safe='')}"
        return f"{self.scheme}://{who}@{self.place}{self.rest}"

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
    match = _SCHEME.fullmatch(text.strip())
    if match is None:
        raise ConfigError("not an address of the form scheme://host/path")
    scheme, remainder = match[1].lower(), match[2]
    credentials, place, rest = _split(remainder)
    credentials = credentials or None
    host = _HOST.fullmatch(place)
    if host is None:
        raise ConfigError(f"no valid host in the {scheme} address")
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


def _split(remainder: str) -> tuple[str | None, str, str]:
    """(credentials, host and port, rest): the leftmost reading in which the host is a host."""
    start = 0
    while True:
        place = re.split(r"[/?#]", remainder[start:], maxsplit=1)[0]
        if _HOST.fullmatch(place):
            credentials = remainder[: start - 1] if start else None
            return credentials, place, remainder[start + len(place) :]
        at = remainder.find("@", start)
        if at < 0:
            return None, remainder, ""
        start = at + 1
