"""One picture of a stream, and the truth about when it was taken; pixels appear on first use."""

from __future__ import annotations

import threading
import time
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from streamkit.packets import Packets

Image: TypeAlias = npt.NDArray[np.uint8]
"""H x W x 3, ``uint8``, BGR."""
Plane: TypeAlias = npt.NDArray[np.uint8]
"""H x W, ``uint8``."""


class Clock(StrEnum):
    """Where a frame's timestamp comes from, best first."""

    RTCP = "rtcp"
    """The camera's own clock, from its RTCP sender reports."""
    PTS = "pts"
    """A live stream's pts, anchored at its least delayed arrivals; a recording's own times."""
    ARRIVAL = "arrival"
    """When it came, for want of better."""


@runtime_checkable
class Picture(Protocol):
    """A decoded picture whose BGR pixels have not been asked for yet."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def bgr(self) -> Image:
        """Convert: H x W x 3 ``uint8`` BGR. Called at most once per frame."""
        ...


@runtime_checkable
class Planar(Picture, Protocol):
    """A decoded picture whose brightness is there without any conversion."""

    @property
    def luma(self) -> Plane: ...


@runtime_checkable
class Yuv420(Picture, Protocol):
    """A decoded picture that may still be as video is coded: chroma at half the size."""

    def yuv420(self) -> tuple[Plane, Plane, Plane] | None:
        """Y (H x W), U and V (H / 2 x W / 2), upright, no copies: BT.601 in its limited range, as
        pictures are that do not say otherwise; ``None`` for any other kind."""
        ...


class VideoFrame:
    """One frame, immutable. ``image`` is materialised once, on first use, from any thread.

    ``frame_id`` counts what the source produced, from 1, through reconnections: a gap is a drop.
    ``timestamp`` is the capture time (aware UTC) and ``clock`` says how it is known;
    ``frame_timestamp`` is the same instant as naive local time, which existing scripts subtract
    from ``datetime.now()``; ``uncertainty`` is by how many seconds it may be wrong (``None``:
    nobody can say). ``captured_at`` is ``time.monotonic()`` when the picture arrived here:
    measured, not estimated, so that no camera's clock and no step of ours makes ``age`` wrong.
    ``fps`` is what the source declares, ``measured_fps`` what it does. ``packets`` are the latest
    encoded packets of its stream, by reference, where it was asked to keep them.
    """

    __slots__ = (
        "_lock", "_picture", "captured_at", "clock", "comes_from_video_file", "fps", "frame_id",
        "measured_fps", "packets", "source_id", "timestamp", "uncertainty",
    )  # fmt: skip

    source_id: int | None
    frame_id: int
    timestamp: datetime
    clock: Clock
    uncertainty: float | None
    captured_at: float
    fps: float | None
    measured_fps: float | None
    comes_from_video_file: bool | None
    packets: Packets | None
    _picture: Picture | Image
    _lock: threading.Lock

    def __init__(  # noqa: PLR0913 - a value: the neighbour's seven fields and three of ours
        self,
        image: Picture | Image,
        frame_id: int,
        frame_timestamp: datetime,
        fps: float | None = None,
        measured_fps: float | None = None,
        source_id: int | None = None,
        comes_from_video_file: bool | None = None,
        *,
        clock: Clock = Clock.ARRIVAL,
        uncertainty: float | None = None,
        captured_at: float | None = None,
        packets: Packets | None = None,
    ) -> None:
        put = object.__setattr__
        if isinstance(image, np.ndarray):
            image = read_only(image)
        put(self, "_picture", image)
        put(self, "_lock", threading.Lock())
        put(self, "frame_id", frame_id)
        put(self, "timestamp", frame_timestamp.astimezone(UTC))
        put(self, "fps", fps)
        put(self, "measured_fps", measured_fps)
        put(self, "source_id", source_id)
        put(self, "comes_from_video_file", comes_from_video_file)
        put(self, "clock", clock)
        put(self, "uncertainty", uncertainty)
        put(self, "captured_at", time.monotonic() if captured_at is None else captured_at)
        put(self, "packets", packets)

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    @property
    def image(self) -> Image:
        """H x W x 3 ``uint8`` BGR, read-only; whoever draws, copies."""
        with self._lock:
            picture = self._picture
            if not isinstance(picture, np.ndarray):
                picture = read_only(picture.bgr())
                object.__setattr__(self, "_picture", picture)
            return picture

    @property
    def luma(self) -> Plane:
        """H x W ``uint8``, how bright it is: the decoder's own plane where there is one (no copy,
        perhaps turned), else the green of ``image``."""
        # Not by isinstance: that takes 50 us for a protocol.
        plane: Plane | None = getattr(self._picture, "luma", None)
        return self.image[..., 1] if plane is None else plane

    @property
    def picture(self) -> Picture | Image:
        """What the source gave: decoded planes while nobody asked for pixels, else the image."""
        return self._picture

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, without converting anything."""
        picture = self._picture
        if isinstance(picture, np.ndarray):
            return picture.shape[1], picture.shape[0]
        return picture.width, picture.height

    def showing(self, image: Image) -> VideoFrame:
        """The same moment with another picture. Of the original's pixels nothing is kept: neither
        planes nor packets can be reached from it."""
        return VideoFrame(
            image,
            self.frame_id,
            self.timestamp,
            self.fps,
            self.measured_fps,
            self.source_id,
            self.comes_from_video_file,
            clock=self.clock,
            uncertainty=self.uncertainty,
            captured_at=self.captured_at,
        )

    @property
    def frame_timestamp(self) -> datetime:
        """``timestamp`` as naive local time."""
        return self.timestamp.astimezone().replace(tzinfo=None)

    @property
    def age(self) -> float:
        """Seconds since the picture arrived in this process."""
        return time.monotonic() - self.captured_at

    def __repr__(self) -> str:
        width, height = self.size
        return (
            f"VideoFrame(source_id={self.source_id}, frame_id={self.frame_id}, "
            f"{width}x{height}, timestamp={self.timestamp.isoformat()}, clock={self.clock})"
        )

    def __reduce__(self) -> Any:
        raise TypeError("a VideoFrame stays in its process; send its image and fields instead")


def read_only(image: npt.NDArray[Any]) -> Image:
    """A read-only view of ``image`` (the caller's own array stays as it is)."""
    view = image.view()
    view.flags.writeable = False
    return view
