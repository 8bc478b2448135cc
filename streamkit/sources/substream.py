"""The smaller stream that most cameras have beside the main one, and when it suffices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from av.video.stream import VideoStream

from streamkit.errors import ConfigError
from streamkit.sources.reference import Address, Locator

Prefer: TypeAlias = Literal["auto", "main", "substream"]


@dataclass(slots=True)
class Substream:
    """What is known of it. Its rate and size are learnt when it is first opened."""

    locator: Locator | None
    prefer: Prefer
    min_width: int
    width: int | None = None
    fps: float | None = None
    """What it declares."""

    @classmethod
    def of(
        cls,
        text: str | None,
        prefer: Prefer,
        min_width: int,
        username: str | None,
        password: str | None,
    ) -> Substream:
        """Out of the options of a source. Raises ``ConfigError``."""
        if prefer not in ("auto", "main", "substream"):
            raise ConfigError(f"prefer={prefer!r}: choose one of auto, main, substream")
        if min_width < 0:
            raise ConfigError(f"min_width={min_width!r}: give a number of pixels")
        if text is None:
            if prefer == "substream":
                raise ConfigError("prefer='substream': give the address of the substream, too")
            return cls(None, prefer, min_width)
        locator = Locator(text, username, password)
        if locator.resolved().scheme not in ("rtsp", "rtsps"):
            raise ConfigError("substream: give an rtsp:// or rtsps:// address")
        return cls(locator, prefer, min_width)

    def address(self, main: Address) -> Address:
        """Where it is; on the host of ``main`` with the same user, unless it names another."""
        assert self.locator is not None
        own = self.locator.renewed()
        if own.username is None and (own.host, own.scheme) == (main.host, main.scheme):
            return replace(own, username=main.username, password=main.password)
        return own

    def learn(self, stream: VideoStream) -> None:
        """It was opened."""
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate else None
        self.width = stream.codec_context.width or None

    def why_not(self, wanted: float | None) -> str:
        """Why the main stream is read where ``wanted`` fps are; empty: this one is."""
        if self.locator is None or self.prefer == "main":
            return "asked for" if self.locator else "there is no substream"
        if self.prefer == "substream":
            return ""
        if wanted is None:
            return "every picture is wanted"
        if self.width is not None and self.width < self.min_width:
            return f"the substream is {self.width} pixels wide, {self.min_width} are wanted"
        if self.fps is not None and self.fps < wanted:
            return f"the substream has {self.fps:g} fps, {wanted:g} are wanted"
        return ""
