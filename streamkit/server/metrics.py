"""What Prometheus is told: requests, models, streams; read when it asks, nothing is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from streamkit.models.manager import ModelManager
from streamkit.models.shared import SharedModel
from streamkit.server.guard import Asgi, Message, Receive, Scope, Send
from streamkit.server.shelf import Shelf

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

PAGE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

Streams = Callable[[], Iterable[tuple[str, Mapping[str, Any]]]]
"""Each pipeline's id and ``stats()``."""


class Metrics:
    """The registry of one server."""

    def __init__(self, shelf: Shelf, manager: ModelManager, streams: Streams) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "streamkit_http_requests",
            "Requests answered",
            ["route", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "streamkit_http_request_seconds",
            "From the first byte of a request to the last of its answer",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.under_way = Gauge(
            "streamkit_http_requests_under_way",
            "Requests not answered yet",
            registry=self._registry,
        )
        self._registry.register(_Models(shelf, manager))
        self._registry.register(_Streams(streams))

    def page(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)


class Counted:
    """ASGI middleware: counts requests by route (the template, never the path: bounded)."""

    def __init__(self, app: Asgi, metrics: Metrics, tracer: Tracer | None = None) -> None:
        """``tracer``: each request is a span of its own, too."""
        self._app, self._metrics, self._tracer = app, metrics, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.under_way.inc()
        try:
            await self._app(scope, receive, noted)
        finally:
            self._metrics.under_way.dec()
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(status)).inc()
            took = time.perf_counter() - began
            self._metrics.seconds.labels(route).observe(took)
            if self._tracer is not None:
                told = {"http.route": route, "http.response.status_code": status}
                now = time.time_ns()
                start = now - int(took * 1e9)
                self._tracer.start_span("request", start_time=start, attributes=told).end(now)


class _Models(Collector):
    """Per model: pictures, and the seconds of each step."""

    def __init__(self, shelf: Shelf, manager: ModelManager) -> None:
        self._shelf, self._manager = shelf, manager

    def _loaded(self) -> dict[str, SharedModel]:
        """Of requests and of pipelines, by name."""
        return {shared.model.model_id: shared for shared in self._manager.models()}

    def collect(self) -> Iterable[Metric]:
        loads = CounterMetricFamily("streamkit_model_loads", "Models loaded since the start")
        loads.add_metric([], self._manager.loads)
        yield loads
        gone = CounterMetricFamily("streamkit_model_evictions", "Models that made room for others")
        gone.add_metric([], self._shelf.evictions)
        yield gone
        runs = CounterMetricFamily(
            "streamkit_model_runs", "Runs, each of a batch of pictures", labels=["model"]
        )
        frames = CounterMetricFamily(
            "streamkit_model_frames", "Pictures inferred", labels=["model"]
        )
        steps = CounterMetricFamily(
            "streamkit_model_seconds", "Time of each step, summed", labels=["model", "step"]
        )
        waiting = GaugeMetricFamily(
            "streamkit_model_waiting", "Pictures that wait for a model", labels=["model"]
        )
        for name, shared in self._loaded().items():
            times = shared.timings
            frames.add_metric([name], times.run.count)
            runs.add_metric([name], times.batch.count)
            waiting.add_metric([name], shared.waiting)
            for step in ("prepare", "run", "finish"):
                steps.add_metric([name, step], getattr(times, step).total)
        yield waiting
        yield frames
        yield runs
        yield steps


_COUNTS: Final = (
    ("captured", "Frames the source gave"),
    ("delivered", "Frames that reached the sinks"),
    ("reconnects", "Connections made again"),
    ("outages", "Times the source was lost"),
)
_NOW: Final = (
    ("waiting", "Frames that wait for the model"),
    ("in_flight", "Frames on their way"),
    ("fps", "Frames delivered a second"),
    ("left_behind", "Threads left in native calls"),
)
_LABELS: Final = ("pipeline", "stream")


class _Streams(Collector):
    """Per stream: its account, its age, what was dropped and why."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def collect(self) -> Iterable[Metric]:
        everything = list(self._streams())
        rows = [
            ((name, str(stream["source"])), stream)
            for name, stats in everything
            for stream in stats["streams"]
        ]
        for key, text in _COUNTS:
            yield _family(CounterMetricFamily, f"streamkit_stream_{key}", text, rows, key)
        for key, text in _NOW:
            yield _family(GaugeMetricFamily, f"streamkit_stream_{key}", text, rows, key)
        yield _dropped(rows)
        yield _ages(rows)
        yield _histogram(rows)
        yield from _sinks(
            [
                ((name, str(sink["sink"])), sink)
                for name, stats in everything
                for sink in stats["sinks"]
            ]
        )


Rows = Sequence[tuple[tuple[str, str], Mapping[str, Any]]]


def _family(kind: type[Any], name: str, text: str, rows: Rows, key: str) -> Metric:
    family: Any = kind(name, text, labels=_LABELS)
    for labels, stream in rows:
        family.add_metric(labels, float(stream.get(key) or 0))
    return family  # type: ignore[no-any-return]


def _dropped(rows: Rows) -> Metric:
    family = CounterMetricFamily(
        "streamkit_stream_dropped", "Frames not delivered, by cause", labels=(*_LABELS, "cause")
    )
    for labels, stream in rows:
        for cause, count in stream["dropped"].items():
            family.add_metric((*labels, cause), count)
    return family


def _ages(rows: Rows) -> Metric:
    family = GaugeMetricFamily(
        "streamkit_stream_age_seconds", "Age of frames at the sinks", labels=(*_LABELS, "quantile")
    )
    for labels, stream in rows:
        for quantile in ("0.5", "0.95", "0.99"):
            family.add_metric((*labels, quantile), stream[f"age_p{quantile[2:].ljust(2, '0')}"])
    return family


def _histogram(rows: Rows) -> Metric:
    family = HistogramMetricFamily(
        "streamkit_stream_delivered_age_seconds", "Ages of frames at the sinks", labels=_LABELS
    )
    for labels, stream in rows:
        ages = stream["ages"]
        buckets = [(bound, float(n)) for bound, n in ages["below"].items()]
        family.add_metric(labels, [*buckets, ("+Inf", float(ages["count"]))], ages["sum"])
    return family


_SINK: Final = (
    (CounterMetricFamily, "written", "Results a sink has taken"),
    (CounterMetricFamily, "failed", "Results a sink failed on"),
    (GaugeMetricFamily, "waiting", "Results that wait for a sink"),
)


def _sinks(rows: Rows) -> Iterable[Metric]:
    for kind, key, text in _SINK:
        family: Any = kind(f"streamkit_sink_{key}", text, labels=("pipeline", "sink"))
        for labels, sink in rows:
            family.add_metric(labels, float(sink[key]))
        yield family
