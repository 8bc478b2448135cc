"""Connections of the server: how many, and how long one may be there without a request."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import dataclass
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_FILES: Final = 16_384
"""What is asked for; the usual 1024 is less than a few hundred clients and cameras need."""
_FEW: Final = 512
"""Where the system does not tell: as many as a process of Windows has by default."""


def files_that_may_be_open() -> int:
    """By this process, once it has been allowed as many as it may be."""
    if sys.platform == "win32":
        return _FEW
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # macOS has a limit of its own besides
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _FILES if soft == resource.RLIM_INFINITY else soft


@dataclass(frozen=True, slots=True)
class Patience:
    """With connections."""

    seconds: float
    """For a whole header: from the beginning, or from the first byte of the next request."""
    most: int
    """At a time; further ones are closed."""


class Wire(H11Protocol):
    """HTTP with those who keep to ``patience``; others are cut off."""

    patience = Patience(10, 4096)
    _late: asyncio.TimerHandle | None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """One more."""
        super().connection_made(transport)
        self._late = self.loop.call_later(self.patience.seconds, transport.abort)
        if len(self.connections) > self.patience.most:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Perhaps the end of a header."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._in_time()
        elif self._late is None and self.timeout_keep_alive_task is None:
            self._late = self.loop.call_later(self.patience.seconds, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """One less."""
        self._in_time()
        super().connection_lost(exc)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def wire_of(seconds: float, most: int) -> type[Wire]:
    """The same with another patience: uvicorn makes one for each connection itself."""

    class Patient(Wire):
        patience = Patience(seconds, most)

    return Patient
