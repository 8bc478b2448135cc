"""A frame's way as spans, told by a real pipeline to a real SDK."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from streamkit import InferencePipeline
from streamkit.traces import TracingWatchDog
from tests.fakes import until
from tests.outbox.receiver import Receiver, receiver
from tests.server.serving import served


@pytest.fixture
def spans() -> Iterator[tuple[Any, InMemorySpanExporter]]:
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    yield provider.get_tracer("test"), kept
    provider.shutdown()


def test_each_frame_is_a_span_with_its_steps_inside(
    spans: tuple[Any, InMemorySpanExporter],
) -> None:
    tracer, kept = spans
    pipeline = InferencePipeline.init(
        "synthetic:fps=50,frames=20",
        "samples/models/street/1",
        watchdog=TracingWatchDog(tracer, "yard"),
    )
    pipeline.start(use_main_thread=False)
    pipeline.join()
    told: Any = kept.get_finished_spans()
    frames = {span.context.span_id: span for span in told if span.name == "frame"}
    assert [s.attributes["frame_id"] for s in frames.values()] == list(range(1, 21))
    assert {s.attributes["pipeline"] for s in frames.values()} == {"yard"}
    inside = defaultdict(list)
    for span in told:
        if span.parent is not None:
            inside[span.parent.span_id].append(span)
    assert set(inside) == set(frames)
    for number, steps in inside.items():
        assert [s.name for s in steps] == ["wait", "model", "stages"]
        edges = [edge for s in steps for edge in (s.start_time, s.end_time)]
        assert edges == sorted(edges)
        assert frames[number].start_time <= edges[0]
        assert edges[-1] <= frames[number].end_time


def test_a_dropped_frame_says_why(spans: tuple[Any, InMemorySpanExporter]) -> None:
    tracer, kept = spans

    class Failing:
        manifest: Any = None

        def __call__(self, _result: Any) -> Any:
            raise ValueError("never mind")

    pipeline = InferencePipeline.init(
        "synthetic:fps=50,frames=3",
        "samples/models/street/1",
        watchdog=TracingWatchDog(tracer),
        stages=[Failing],
    )
    pipeline.start(use_main_thread=False)
    pipeline.join()
    told: Any = kept.get_finished_spans()
    causes = Counter(span.attributes.get("dropped") for span in told if span.name == "frame")
    assert causes == {"FAILED": 3}


def test_a_server_sends_its_spans(models: Path, tmp_path: Path) -> None:
    with receiver() as web:
        more = {
            "STREAMKIT_TRACES": "True",
            "OTEL_EXPORTER_OTLP_ENDPOINT": web.url.removesuffix("/hook"),
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        folder = tmp_path / "documents"
        folder.mkdir()
        document = {"sources": ["synthetic:fps=20"], "model": "street/1"}
        (folder / "yard.yaml").write_text(json.dumps(document))
        arguments = ["--pipelines", str(folder)]
        with served(models, tmp_path / "log.txt", more, arguments) as server:
            httpx.get(f"{server.url}/info", trust_env=False)
            until(lambda: names_in(web) >= {b"request", b"frame", b"model", b"yard"})


def names_in(web: Receiver) -> set[bytes]:
    """Of the spans it was sent, as far as they stand in the protobuf as they are."""
    sent = b"".join(each.body for each in web.came)
    return {name for name in (b"request", b"frame", b"model", b"yard") if name in sent}
