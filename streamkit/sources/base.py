"""What a source is: it opens, yields pictures with their times, closes. Nothing else."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias, runtime_checkable

from streamkit.errors import ConfigError
from streamkit.frame import Clock, Image, Picture
from streamkit.recording.ring import PacketRing


@dataclass(frozen=True, slots=True)
class SourceProperties:
    """What a source declares about itself once open (declared, not measured)."""

    width: int
    height: int
    total_frames: int
    """-1 where nobody can know."""
    is_file: bool
    fps: float
    """0.0 where it is not declared."""
    is_reconnectable: bool | None = None
    timestamp_created: datetime | None = None
    """When the first frame of a recording was taken (aware UTC), if known."""
    codec: str | None = None
    """By FFmpeg's name, where there is one."""


@dataclass(frozen=True, slots=True)
class Capture:
    """One picture as it left the source; the stream stamps ids and counts."""

    picture: Picture | Image
    timestamp: datetime
    """When it was captured, aware UTC."""
    clock: Clock = Clock.ARRIVAL
    uncertainty: float | None = None
    """Seconds by which ``timestamp`` may be wrong; ``None`` where nobody can say."""
    concealed: bool = False
    """Made from damaged or missing data: parts of it were never seen by the camera."""
    arrived: float | None = None
    """``time.monotonic()`` when it was decoded, where it has waited since."""
    missed: int = 0
    """Pictures before it, since the last one, that nobody took in time."""


Captures: TypeAlias = Generator[Capture, None, None]


@runtime_checkable
class Source(Protocol):
    """One video source. Made from a reference, cheap until ``read`` is called.

    No threads, no retries, no counters in here: the stream above retries, numbers and drops.
    """

    live: bool
    """Live: the newest frame wins. Not live: every frame is wanted and the reader waits."""
    reference: str
    """How to name this source in logs and errors; never contains credentials."""
    properties: SourceProperties | None
    """Known once the first picture has been yielded."""

    def read(self) -> Captures:
        """Open, yield, close. Returns at the end of a finite source.

        Raises ``SourceError`` when it cannot be opened or was lost; a live source never ends
        cleanly, it raises. May be called again afterwards: that *is* the reconnection. Waits no
        longer than the source's own time limits. Closing the generator closes the device.
        """
        ...

    def interrupt(self) -> None:
        """Stop for good, from any thread: a blocked ``read`` ends as soon as it can."""
        ...


@runtime_checkable
class Thrifty(Protocol):
    """A source that can be told how much of it will be used, and then decodes no more than that."""

    def want(self, fps: float | None) -> None:
        """At most ``fps`` pictures per second will be used (``None``: all). From any thread."""
        ...


@runtime_checkable
class Keeping(Protocol):
    """A source that has encoded packets, and can be told to keep them."""

    def keep(self, rings: Sequence[PacketRing]) -> None:
        """From now on put every packet into these. From any thread."""
        ...


def keep_packets(source: object, rings: Sequence[PacketRing]) -> None:
    """Let ``source`` keep its packets. Raises ``ConfigError`` where it has none."""
    if isinstance(source, Keeping):
        source.keep(rings)
    elif rings:
        raise no_packets(getattr(source, "reference", "this source"))


def no_packets(reference: str) -> ConfigError:
    """It was asked for what it does not have."""
    return ConfigError(
        f"{reference}: keep_packets: this kind of source gives pictures and no encoded packets; "
        "record annotated video (the sink 'video') instead"
    )
