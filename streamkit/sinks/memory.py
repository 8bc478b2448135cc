"""Keeps the newest results in memory until somebody asks for them."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, TypeAlias

from streamkit.errors import ConfigError
from streamkit.frame import VideoFrame
from streamkit.predictions import Result
from streamkit.sinks.base import Sink

Buffered: TypeAlias = tuple[list[Any], list[VideoFrame | None]]
"""Predictions and frames, aligned; ``None`` where a source had no frame."""


class InMemoryBufferSink(Sink):
    """At most ``queue_size`` results, the oldest thrown away and counted in ``dropped``."""

    harmless = True

    def __init__(self, queue_size: int = 64) -> None:
        """Raises ``ConfigError`` unless ``queue_size`` is at least 1."""
        if queue_size < 1:
            raise ConfigError(f"queue_size={queue_size}: give at least 1")
        self._items: deque[Buffered] = deque(maxlen=queue_size)
        self._lock = threading.Lock()
        self.dropped = 0

    @classmethod
    def init(cls, queue_size: int) -> InMemoryBufferSink:
        """The neighbour's name for the constructor."""
        return cls(queue_size)

    def on_prediction(self, predictions: Any, video_frame: Any) -> None:
        """For ``on_prediction``; a single prediction and frame become lists of one."""
        self._keep((_listed(predictions), _listed(video_frame)))

    def write(self, result: Result) -> None:
        self._keep(([result.wire], [result.frame]))

    def empty(self) -> bool:
        """Whether nothing is waiting."""
        return not self._items

    def consume_prediction(self) -> Buffered:
        """The oldest that is waiting. Raises ``IndexError`` when nothing is."""
        return self._items.popleft()

    def close(self) -> None:
        """What is waiting stays: the reader may come later than the end of the stream."""

    def _keep(self, item: Buffered) -> None:
        with self._lock:
            self.dropped += len(self._items) == self._items.maxlen
            self._items.append(item)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
