"""A source whose decoder runs in a process of its own: it may hang or crash, and only it ends."""

from __future__ import annotations

import inspect
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import av

from streamkit import credentials
from streamkit.errors import (
    ConfigError,
    SourceConnectionError,
    SourceError,
    StreamErrorCode,
)
from streamkit.sources.base import Capture, Captures, Source, SourceProperties
from streamkit.sources.isolated_process import Limits, Process
from streamkit.sources.isolated_wire import Message, written
from streamkit.sources.reference import Address, Locator

_SECRET = re.compile("(?i)pass|pwd|secret|token|key|user")
"""Options whose values are to be told to nobody."""
_REFERRING = ("username", "password", "substream")
_KINDS: dict[str, type[SourceError]] = {
    "SourceConnectionError": SourceConnectionError,
    "SourceError": SourceError,
}


class IsolatedSource(Source):
    """``open_source(reference, isolated=True)``: the adapter of ``reference`` in a child process.

    What it gives is the same. A call that hangs, a crash and a kill by the system become
    ``SourceError`` (TIMEOUT, DECODER_DIED); ``interrupt`` ends any of them within a second or so.
    Each ``read`` has a child of its own, which takes about 0.3 s to start.

    A child without a sign of life for ``read_timeout`` is lost, and a live one without a picture
    for that long and a second (10 s where the adapter has no such option). A child sees of the
    environment only what holds no secrets; passwords reach it through a socket.
    """

    def __init__(
        self, made_by: Callable[..., Source], arguments: Sequence[Any], options: Mapping[str, Any]
    ) -> None:
        self._made_by, self._arguments, self._options = made_by, tuple(arguments), dict(options)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._child: Process | None = None
        self._wanted: float | None = None
        self.properties: SourceProperties | None = None
        self._locator = _locator(made_by, self._arguments, self._options)
        self._limits = Limits.of(made_by, self._options)
        looks = _looks(made_by) and self._options.get("live") is None
        # Made here as well, to check it; nothing is opened by that, except where it has to look.
        made = made_by(*arguments, **self._options | ({"live": True} if looks else {}))
        self.reference: str = made.reference
        self._options |= {"live": self._look()} if looks else {}
        self.live: bool = self._options["live"] if looks else made.live

    def interrupt(self) -> None:
        """Stop; the child has a second to take leave of its camera."""
        self._stopped.set()
        self._tell({"is": "end"})

    def want(self, fps: float | None) -> None:
        """As ``Thrifty``; passed on to the adapter, if it is one."""
        if fps != self._wanted:
            self._wanted = fps
            self._tell({"is": "want", "fps": fps})

    def read(self) -> Captures:
        """As the adapter's. Raises what it raises, and ``SourceError`` for what happens to it."""
        try:
            with self._running(look=False) as child:
                yield from self._captures(child)
        except SourceError:
            if not self._stopped.is_set():
                raise
        finally:
            self._child = None

    def _look(self) -> bool:
        """Is it live? Asked of a child, because a decoder takes part in the answer."""
        with self._running(look=True) as child:
            for message in child.messages(self._stopped, self._limits):
                match message["is"]:
                    case "made":
                        return bool(message["live"])
                    case "error":
                        self._raise(message, child)
        return True

    def _running(self, *, look: bool) -> Process:
        address = None if self._locator is None else self._locator.renewed()
        arguments, options = self._arguments, self._options
        if address is not None:
            # The child does not see what its parent looks secrets up in.
            arguments = (address.url, *arguments[1:])
            options = options | _looked_up(options)
        request = {
            "made_by": f"{self._made_by.__module__}:{self._made_by.__qualname__}",
            "arguments": [written(argument) for argument in arguments],
            "options": written(options),
            "look": look,
            "live": not look and self.live,
            "wanted": self._wanted,
            "log_level": logging.getLogger("streamkit").getEffectiveLevel(),
            "libav_level": av.logging.get_level() if _libav_is_heard() else None,
        }
        child = Process(self.reference, request, _secrets(address, self._options))
        with self._lock:
            self._child = child
        return child

    def _tell(self, message: Message) -> None:
        with self._lock:
            child = self._child
        if child is not None:
            child.tell(message)

    def _captures(self, child: Process) -> Iterator[Capture]:
        for message in child.messages(self._stopped, self._limits, live=self.live):
            match message["is"]:
                case "picture":
                    yield child.capture(message)
                case "properties":
                    self.properties = _properties(message["values"])
                case "error":
                    self._raise(message, child)

    def _raise(self, message: Message, child: Process) -> NoReturn:
        text = child.redacted(str(message["text"]))
        if message["kind"] == "ConfigError":
            raise ConfigError(text)
        kind = _KINDS.get(message["kind"])
        if kind is None:
            text, kind = f"{self.reference}: {text}", SourceError
        code = message["code"] if message["kind"] else StreamErrorCode.LOST
        raise kind(text, StreamErrorCode(code), source_reference=self.reference)


def _properties(values: Mapping[str, Any]) -> SourceProperties:
    created = values["timestamp_created"]
    moment = None if created is None else datetime.fromisoformat(created)
    return SourceProperties(**{**values, "timestamp_created": moment})


def _looks(made_by: Callable[..., Source]) -> bool:
    """Does it open its address to know whether it is live?"""
    return bool(getattr(made_by, "looks", False))


def _locator(
    made_by: Callable[..., Source], arguments: Sequence[Any], options: Mapping[str, Any]
) -> Locator | None:
    """Of those that log in somewhere."""
    if "password" not in inspect.signature(made_by).parameters or not arguments:
        return None
    return Locator(str(arguments[0]), options.get("username"), options.get("password"))


def _looked_up(options: Mapping[str, Any]) -> dict[str, str]:
    """Those of the options that may refer to secrets, with what they refer to."""
    given = {name: options[name] for name in _REFERRING if options.get(name) is not None}
    return {
        name: Locator(text).renewed().url
        if name == "substream"
        else f"literal:{credentials.resolved(text)}"
        for name, text in given.items()
    }


def _secrets(address: Address | None, options: Mapping[str, Any]) -> list[str]:
    """What the child is told and nobody else may be."""
    found = [options.get(name) for name in options if _SECRET.search(name)]
    if address is not None:
        found += [address.username, address.password, address.rest if address.told else None]
    return [secret for secret in found if secret and isinstance(secret, str)]


def _libav_is_heard() -> bool:
    return logging.getLogger("libav").isEnabledFor(logging.CRITICAL)
