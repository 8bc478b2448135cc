"""A frame's way as OpenTelemetry spans: waiting, in the model, in its stages; and why it ended."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from streamkit.errors import ConfigError
from streamkit.events import EventType, StatusUpdate
from streamkit.frame import VideoFrame
from streamkit.watchdog import BasePipelineWatchDog

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

NAME: Final = "streamkit"
_PENDING: Final = 4096
"""Frames on their way that are followed at a time; of further ones the oldest are let go."""
_STEPS: Final = (("wait", "captured", "started"), ("model", "started", "ready"))


class TracingWatchDog(BasePipelineWatchDog):
    """A watchdog that also tells OpenTelemetry: a ``frame`` span for each frame, with ``wait``,
    ``model`` and ``stages`` in it. ``InferencePipeline.init(..., watchdog=TracingWatchDog())``.

    Costs a few updates per frame. What is sampled, and where it goes, is the SDK's to say
    (``OTEL_TRACES_SAMPLER``, ``OTEL_EXPORTER_OTLP_ENDPOINT``).
    """

    def __init__(self, tracer: Tracer | None = None, pipeline: str | None = None) -> None:
        """``pipeline``: what spans call it. Raises ``ConfigError`` without the extra ``otel``."""
        super().__init__()
        self._tracer = tracer or tracer_of()
        self._pipeline = pipeline
        # When each frame was where, in monotonic seconds.
        self._ways: OrderedDict[tuple[int | None, int], dict[str, float]] = OrderedDict()

    def on_model_inference_started(self, frames: list[VideoFrame]) -> None:
        """Note when."""
        super().on_model_inference_started(frames)
        for frame in frames:
            self._note(frame, "started")

    def on_model_prediction_ready(self, frames: list[VideoFrame]) -> None:
        """Note when."""
        super().on_model_prediction_ready(frames)
        for frame in frames:
            self._note(frame, "ready")

    def on_status_update(self, status_update: StatusUpdate) -> None:
        """A frame that was handed to the sinks, or dropped, has come to its end."""
        super().on_status_update(status_update)
        told = status_update.payload
        if status_update.event_type == EventType.FRAME_CONSUMED:
            self._end(told, None)
        elif status_update.event_type == EventType.FRAME_DROPPED:
            self._end(told, str(told.get("cause")))

    def _note(self, frame: VideoFrame, what: str) -> None:
        with self._lock:
            way = self._ways.setdefault((frame.source_id, frame.frame_id), {})
            way.setdefault("captured", frame.captured_at)
            way[what] = time.monotonic()
            while len(self._ways) > _PENDING:
                self._ways.popitem(last=False)

    def _end(self, told: dict[str, Any], dropped: str | None) -> None:
        with self._lock:
            way = self._ways.pop((told.get("source_id"), told["frame_id"]), None)
        if way is not None:  # else it never came to the model
            self._tell(way, told, dropped)

    def _tell(self, way: dict[str, float], told: dict[str, Any], dropped: str | None) -> None:
        from opentelemetry.trace import set_span_in_context

        now = time.monotonic()
        ended, shift = way | {"ended": now}, time.time_ns() - int(now * 1e9)
        attributes = {"frame_id": told["frame_id"], "source_id": told.get("source_id") or 0}
        if self._pipeline is not None:
            attributes["pipeline"] = self._pipeline
        if dropped is not None:
            attributes["dropped"] = dropped
        began = shift + int(ended["captured"] * 1e9)
        frame = self._tracer.start_span("frame", start_time=began, attributes=attributes)
        inside = set_span_in_context(frame)
        for name, first, last in (*_STEPS, ("stages", "ready", "ended")):
            if first in ended and last in ended:
                start, end = (shift + int(ended[each] * 1e9) for each in (first, last))
                self._tracer.start_span(name, inside, start_time=start).end(end)
        frame.end(shift + int(now * 1e9))


def tracer_of() -> Tracer:
    """Ours, of whatever provider there is. Raises ``ConfigError`` without the extra ``otel``."""
    try:
        from opentelemetry import trace
    except ImportError as error:
        raise ConfigError("traces need OpenTelemetry: pip install 'streamkit[otel]'") from error
    return trace.get_tracer(NAME)


def export() -> None:
    """Send the spans of this process by OTLP over HTTP, as the ``OTEL_`` variables say. Raises
    ``ConfigError`` without the extra ``otel``."""
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError("traces need OpenTelemetry: pip install 'streamkit[otel]'") from error
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
