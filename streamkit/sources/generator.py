"""Anything in Python that gives pictures: an iterable, a callable, the neighbour's producer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

import numpy as np

from streamkit.errors import SourceError, StreamErrorCode
from streamkit.frame import Clock, Image
from streamkit.sources.base import Capture, Captures, Source, SourceProperties


@runtime_checkable
class VideoFrameProducer(Protocol):
    """What existing scripts pass, or return from a callable: OpenCV's capture, by another name."""

    def grab(self) -> bool: ...

    def retrieve(self) -> tuple[bool, Any]: ...

    def release(self) -> None: ...

    def isOpened(self) -> bool: ...  # noqa: N802 - their name


class GeneratorSource(Source):
    """Items are H x W x 3 BGR or H x W grey ``uint8`` arrays, or (array, datetime).

    A callable is called at each ``read`` and may return an iterable or a producer; what is not
    callable can be read as often as it can be iterated. ``live=True``: the newest picture wins,
    and the end of the items is the loss of the source. ``interrupt`` is seen between two items.
    """

    def __init__(
        self,
        items: Iterable[Any] | Callable[[], Any] | VideoFrameProducer,
        *,
        live: bool = False,
        fps: float = 0.0,
        properties: dict[str, float] | None = None,
    ) -> None:
        self.live = live
        self.reference = _name(items)
        self.properties: SourceProperties | None = None
        self._items, self._fps = items, fps
        self._wishes = properties or {}
        self._stopped = threading.Event()
        self._producer: Any = None

    def interrupt(self) -> None:
        """Stop after the present item; a producer that has an ``interrupt`` of its own is told."""
        self._stopped.set()
        told = getattr(self._producer, "interrupt", None)
        if callable(told):
            told()

    def read(self) -> Captures:
        """The items. What they raise comes out as ``SourceError``, with it as its cause."""
        items = self._guarded()
        try:
            for item in items:
                if self._stopped.is_set():
                    return
                yield self._capture(item)
        finally:
            items.close()
        if self.live and not self._stopped.is_set():
            text = f"{self.reference}: it gives no more pictures"
            raise SourceError(text, StreamErrorCode.LOST, source_reference=self.reference)

    def _guarded(self) -> Generator[Any, None, None]:
        """The foreign boundary: whatever their code raises becomes one ``SourceError``."""
        try:
            made = self._items
            if callable(made) and not isinstance(made, VideoFrameProducer):
                made = made()
            if isinstance(made, VideoFrameProducer):
                yield from self._produced(made)
            else:
                yield from _closing(made)
        except SourceError:
            raise
        except Exception as error:
            text = f"{self.reference}: {type(error).__name__}: {error}"
            raise SourceError(
                text, StreamErrorCode.LOST, source_reference=self.reference
            ) from error

    def _produced(self, producer: Any) -> Iterator[Any]:
        self._producer = producer
        try:
            wish = getattr(producer, "initialize_source_properties", None)
            if callable(wish) and self._wishes:
                wish(self._wishes)
            if not producer.isOpened():
                text = f"{self.reference}: the producer is not open"
                raise SourceError(text, source_reference=self.reference)
            self._discover(producer)
            while not self._stopped.is_set() and producer.grab():
                success, image = producer.retrieve()
                if success:
                    yield image
        finally:
            producer.release()

    def _discover(self, producer: Any) -> None:
        """Their properties have our names; a producer that knows them says if it is a file."""
        ask = getattr(producer, "discover_source_properties", None)
        if not callable(ask):
            return
        theirs = ask()
        self.properties = SourceProperties(
            width=int(theirs.width),
            height=int(theirs.height),
            total_frames=int(theirs.total_frames),
            is_file=bool(theirs.is_file),
            fps=float(theirs.fps or 0.0),
            is_reconnectable=getattr(theirs, "is_reconnectable", None),
            timestamp_created=getattr(theirs, "timestamp_created", None),
        )

    def _capture(self, item: Any) -> Capture:
        image, moment, clock = item, datetime.now(UTC), Clock.ARRIVAL
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], datetime):
            image, moment, clock = item[0], item[1].astimezone(UTC), Clock.PTS
        picture = self._checked(image)
        if self.properties is None:
            height, width = picture.shape[:2]
            self.properties = SourceProperties(width, height, -1, not self.live, self._fps)
        return Capture(picture, moment, clock)

    def _checked(self, image: Any) -> Image:
        if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.size:
            if image.ndim == 2:
                return np.repeat(image[:, :, None], 3, axis=2)
            if image.ndim == 3 and image.shape[2] == 3:
                return image
        came = f"a {type(image).__name__}"
        if isinstance(image, np.ndarray):
            came = f"an array of {image.dtype} with shape {image.shape}"
        text = f"{self.reference}: expected H x W x 3 or H x W uint8 pictures, got {came}"
        raise SourceError(text, StreamErrorCode.CODEC_UNSUPPORTED, source_reference=self.reference)


def _closing(items: Iterable[Any]) -> Iterator[Any]:
    iterator = iter(items)
    try:
        yield from iterator
    finally:
        close = getattr(iterator, "close", None)
        if callable(close):
            close()


def _name(items: Any) -> str:
    return str(getattr(items, "__qualname__", None) or type(items).__qualname__)
