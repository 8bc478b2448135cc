"""Watches a running pipeline for scripts that ask: latencies, throughput, the last updates."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamkit.events import StatusUpdate, UpdateSeverity
from streamkit.frame import VideoFrame
from streamkit.meters import Rate
from streamkit.sources.base import SourceProperties
from streamkit.streams.stream import Stream

_FRAMES = 64
_UPDATES = 512


@dataclass(frozen=True, slots=True)
class SourceMetadata:
    """One source as the report shows it; the reference carries no credentials."""

    source_properties: SourceProperties | None
    source_reference: str | None
    buffer_size: int
    state: Any
    buffer_filling_strategy: Any
    buffer_consumption_strategy: Any
    source_id: int | None


@dataclass(frozen=True, slots=True)
class LatencyMonitorReport:
    """Means over the last 64 frames, in seconds; ``None`` without frames.

    ``frame_decoding_latency``: from arrival to the model; ``inference_latency``: in the model;
    ``e2e_latency``: from arrival to the result.
    """

    source_id: int | None = None
    frame_decoding_latency: float | None = None
    inference_latency: float | None = None
    e2e_latency: float | None = None


@dataclass(frozen=True, slots=True)
class PipelineStateReport:
    """What ``BasePipelineWatchDog.get_report`` answers."""

    video_source_status_updates: list[StatusUpdate]
    latency_reports: list[LatencyMonitorReport]
    inference_throughput: float
    sources_metadata: list[SourceMetadata]


class PipelineWatchDog(ABC):
    """What a pipeline tells its watchdog. Called from the pipeline's threads: be quick."""

    @abstractmethod
    def register_video_sources(self, video_sources: list[Any]) -> None:
        """The pipeline's sources: before the first frame, and again after every change."""

    @abstractmethod
    def on_status_update(self, status_update: StatusUpdate) -> None:
        """Any status update."""

    @abstractmethod
    def on_model_inference_started(self, frames: list[VideoFrame]) -> None:
        """These frames have been taken by the model."""

    @abstractmethod
    def on_model_prediction_ready(self, frames: list[VideoFrame]) -> None:
        """The predictions for these frames are there."""

    @abstractmethod
    def get_report(self) -> PipelineStateReport | None:
        """How it goes."""


class NullPipelineWatchdog(PipelineWatchDog):
    """Watches nothing."""

    def register_video_sources(self, video_sources: list[Any]) -> None:
        """Ignored."""

    def on_status_update(self, status_update: StatusUpdate) -> None:
        """Ignored."""

    def on_model_inference_started(self, frames: list[VideoFrame]) -> None:
        """Ignored."""

    def on_model_prediction_ready(self, frames: list[VideoFrame]) -> None:
        """Ignored."""

    def get_report(self) -> None:
        """Nothing to report."""
        return


@dataclass(slots=True)
class LatencyMonitor:
    """Latencies of one source over its last 64 frames."""

    source_id: int | None
    _started: dict[int, float] = field(default_factory=dict)
    _spans: deque[tuple[float, float, float]] = field(default_factory=lambda: deque(maxlen=_FRAMES))

    def started(self, frame: VideoFrame) -> None:
        """The model took ``frame``."""
        self._started[frame.frame_id] = time.monotonic()
        while len(self._started) > _FRAMES:
            self._started.pop(next(iter(self._started)))

    def ready(self, frame: VideoFrame) -> None:
        """The prediction for ``frame`` is there."""
        started = self._started.pop(frame.frame_id, None)
        if started is not None:
            now, arrived = time.monotonic(), frame.captured_at
            self._spans.append((started - arrived, now - started, now - arrived))

    def summarise(self) -> LatencyMonitorReport:
        """The means."""
        if not self._spans:
            return LatencyMonitorReport(self.source_id)
        means = [sum(column) / len(self._spans) for column in zip(*self._spans, strict=True)]
        return LatencyMonitorReport(self.source_id, *means)


class BasePipelineWatchDog(PipelineWatchDog):
    """Keeps the last 512 updates above DEBUG and the latencies of the last 64 frames per source."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sources: list[Any] = []
        self._updates: deque[StatusUpdate] = deque(maxlen=_UPDATES)
        self._monitors: dict[int | None, LatencyMonitor] = {}
        self._rate = Rate(30)
        self._throughput = 0.0

    def register_video_sources(self, video_sources: list[Any]) -> None:
        """The pipeline's sources; the latencies of others are forgotten."""
        with self._lock:
            self._sources = list(video_sources)
            ids = {getattr(source, "source_id", None) for source in self._sources}
            self._monitors = {key: m for key, m in self._monitors.items() if key in ids}

    def on_status_update(self, status_update: StatusUpdate) -> None:
        """Kept, unless it is about single frames."""
        if status_update.severity is not UpdateSeverity.DEBUG:
            self._updates.append(status_update)

    def on_model_inference_started(self, frames: list[VideoFrame]) -> None:
        """Note when."""
        with self._lock:
            for frame in frames:
                self._monitor(frame).started(frame)

    def on_model_prediction_ready(self, frames: list[VideoFrame]) -> None:
        """Note when, and how often."""
        with self._lock:
            for frame in frames:
                self._monitor(frame).ready(frame)
                self._throughput = self._rate.tick(time.monotonic())

    def _monitor(self, frame: VideoFrame) -> LatencyMonitor:
        monitor = self._monitors.get(frame.source_id) or LatencyMonitor(frame.source_id)
        ids = {getattr(source, "source_id", None) for source in self._sources}
        if not ids or frame.source_id in ids:  # else it is the last of one that was removed
            self._monitors[frame.source_id] = monitor
        return monitor

    def get_report(self) -> PipelineStateReport:
        """The updates, latencies, frames per second, and the sources as they are now."""
        with self._lock:
            latencies = [monitor.summarise() for monitor in self._monitors.values()]
        return PipelineStateReport(
            list(self._updates), latencies, self._throughput, describe_sources(self._sources)
        )


def describe_sources(streams: Sequence[Stream] | Iterable[Any]) -> list[SourceMetadata]:
    """The sources of a pipeline as the report shows them."""
    return [
        SourceMetadata(
            source_properties=stream.source.properties if stream.source else None,
            source_reference=stream.name,
            buffer_size=stream.buffering.capacity,
            state=stream.state,
            buffer_filling_strategy=stream.buffering.filling,
            buffer_consumption_strategy=stream.buffering.consumption,
            source_id=stream.source_id,
        )
        for stream in streams
    ]
