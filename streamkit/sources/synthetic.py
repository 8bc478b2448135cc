"""Numbered pictures at a set rate: a camera for trying things out and for tests."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from streamkit.errors import ConfigError, SourceError, StreamErrorCode
from streamkit.frame import Clock
from streamkit.sources.base import Capture, Captures, Source, SourceProperties
from streamkit.sources.numbered import decode_number, encode_number

__all__ = ["SyntheticSource", "decode_number", "encode_number"]

PREFIX = "synthetic:"


class SyntheticSource(Source):
    """``synthetic:width=640,height=480,fps=30``; the number is in the pixels (``decode_number``).

    Live (the default without ``frames``): paced by the clock; after ``frames`` pictures it is
    lost, and the next ``read`` counts on. Not live: as fast as it is read, with exact times.
    """

    def __init__(
        self,
        reference: str = PREFIX,
        *,
        width: int = 640,
        height: int = 480,
        fps: float = 30.0,
        frames: int | None = None,
        live: bool | None = None,
    ) -> None:
        if fps <= 0 or width < 48 or height < 32:
            raise ConfigError("a synthetic source needs fps > 0 and at least 48 x 32 pixels")
        self.live = frames is None if live is None else live
        self.reference = reference
        self.properties: SourceProperties | None = None
        self._declared = SourceProperties(
            width, height, -1 if self.live else frames or -1, not self.live, fps, self.live
        )
        self._frames = frames
        self._next = 0
        self._stopped = threading.Event()

    def interrupt(self) -> None:
        """Stop at once, also while waiting for the next picture's time."""
        self._stopped.set()

    def read(self) -> Captures:
        """Pictures 0, 1, 2 and so on."""
        begun, first = time.monotonic(), self._next if self.live else 0
        begin = datetime.now(UTC)
        self.properties = self._declared
        number = first
        while self._frames is None or number - first < self._frames:
            elapsed = (number - first) / self._declared.fps
            if self._waits(begun + elapsed if self.live else begun):
                return
            self._next = number + 1
            picture = encode_number(number, self._declared.width, self._declared.height)
            if self.live:
                yield Capture(picture, datetime.now(UTC))
            else:
                yield Capture(picture, begin + timedelta(seconds=elapsed), Clock.PTS)
            number += 1
        if self.live:
            text = f"{self.reference}: lost after {self._frames} pictures, as ordered"
            raise SourceError(text, StreamErrorCode.LOST, source_reference=self.reference)

    def _waits(self, due: float) -> bool:
        """Wait until ``due``; was it interrupted?"""
        return self._stopped.wait(max(0.0, due - time.monotonic()))


def options_in(reference: str) -> dict[str, int | float | bool]:
    """The options written in ``synthetic:name=value,...``. Raises ``ConfigError``."""
    written = reference.removeprefix(PREFIX)
    pairs = [part.partition("=") for part in written.split(",") if part.strip()]
    return {name.strip(): _value(reference, value.strip()) for name, _, value in pairs}


def _value(reference: str, text: str) -> int | float | bool:
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        raise ConfigError(f"{reference!r} is not of the form synthetic:name=number,...") from None
