"""Sources that do in their process what broken decoders do."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from streamkit.errors import SourceError, StreamErrorCode
from streamkit.sources.base import Capture, Captures, Source, SourceProperties


class Misbehaving(Source):
    """After ``pictures`` pictures it does what ``deed`` says."""

    def __init__(
        self,
        deed: str = "nothing",
        *,
        pictures: int = 2,
        live: bool = True,
        side: int = 8,
        read_timeout: float = 1.0,
        open_timeout: float = 1.0,
        password: str | None = None,
    ) -> None:
        self.live, self.reference = live, f"misbehaving: {deed}"
        self.properties: SourceProperties | None = None
        self._deed, self._pictures, self._side = deed, pictures, side
        self._limits, self._password = (open_timeout, read_timeout), password
        self._stopped = threading.Event()
        self._wanted: float | None = None

    def interrupt(self) -> None:
        self._stopped.set()

    def want(self, fps: float | None) -> None:
        self._wanted = fps

    def read(self) -> Captures:
        self.properties = SourceProperties(self._side, self._side, -1, False, 5.0)
        for number in range(self._pictures):
            yield self._capture(number)
        yield from self._does()

    def _capture(self, number: int, side: int | None = None) -> Capture:
        side = side or self._side
        return Capture(np.full((side, side, 3), number % 251, np.uint8), datetime.now(UTC))

    def _does(self) -> Iterator[Capture]:  # noqa: C901 - one case per deed
        match self._deed:
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(7)
            case "hang":  # in a native call that lets other threads run
                ctypes.CDLL(None).sleep(600)
            case "hang hard":  # in one that does not
                ctypes.PyDLL(None).sleep(600)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "fail":
                raise SourceError("misbehaving: as ordered", StreamErrorCode.FROZEN)
            case "raise":
                raise ValueError(f"told the password: {self._password}")
            case "tell":
                logging.getLogger("streamkit.told").warning("the password is %s", self._password)
            case "grow":
                yield from (self._capture(n, self._side * (1 + n)) for n in range(20))
            case "flood":
                number = 0
                while not self._stopped.is_set():
                    yield self._capture(number)
                    number += 1
            case "wanted":
                while self._wanted is None:
                    self._stopped.wait(0.01)
                yield self._capture(int(self._wanted))
