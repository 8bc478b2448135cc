"""Sinks that take events: they get all of them, whatever is slow, and hold up no stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from streamkit.errors import ConfigError
from streamkit.events import Event
from streamkit.frame import VideoFrame
from streamkit.pipeline import InferencePipeline
from streamkit.predictions import Result
from streamkit.sinks import WebhookSink
from streamkit.spec import PipelineSpec, build_pipeline
from tests.clips import clip
from tests.fakes import Camera, Clip, Collector, numbers, until
from tests.outbox.receiver import hang, receiver, status


class EveryTenth:
    """Raises an event at each tenth frame, and one when its stream ends."""

    def __call__(self, result: Result) -> Result:
        if result.frame.frame_id % 10 == 0:
            result.events = (*result.events, self._event(result, "test.tenth"))
        return result

    def end(self, result: Result) -> Result:
        result.events = (*result.events, self._event(result, "test.end"))
        return result

    def _event(self, result: Result, kind: str) -> Event:
        frame: VideoFrame = result.frame
        return Event(kind, frame.source_id, "rule", frame.timestamp, frame.frame_id)


class Eventful(Collector):
    """Takes events, and may be told to be slow."""

    takes_events = True


def pipeline(source: Any, sinks: Sequence[Any], **more: Any) -> InferencePipeline:
    return InferencePipeline.init_with_custom_logic(
        source, numbers, stages=[EveryTenth], sinks=sinks, **more
    )


def kinds(results: Sequence[Result]) -> list[str]:
    return [event.kind for result in results for event in result.events]


def test_it_gets_results_with_events_only_and_the_end() -> None:
    eventful, plain = Eventful(), Collector()
    run = pipeline(Clip(35), [eventful, plain])
    run.start()
    run.join()
    assert kinds(eventful.results) == ["test.tenth"] * 3 + ["test.end"]
    assert [result.frame.frame_id for result in eventful.results] == [10, 20, 30, 35]
    assert eventful.results[-1].closing
    assert plain.ids() == list(range(1, 36))
    assert not any(result.closing for result in plain.results)


def test_a_live_stream_waits_for_it_and_no_event_is_lost() -> None:
    eventful = Eventful(before=lambda _: time.sleep(0.02))
    with pipeline(Camera(fps=400), [eventful]) as run:
        eventful.await_results(30)
    seen = [e.sequence for result in eventful.results for e in result.events]
    assert seen == list(range(1, len(seen) + 1)), "without a gap"
    assert kinds(eventful.results)[-1] == "test.end"
    (account,) = run.stats()["sinks"]
    assert account["dropped"] == {}


def test_events_of_a_source_that_is_removed_arrive_with_those_of_its_end() -> None:
    eventful = Eventful(before=lambda _: time.sleep(0.01))
    with pipeline([Camera(), Camera()], [eventful]) as run:
        eventful.await_results(6)
        run.remove_source(0)
        until(lambda: "test.end" in kinds(eventful.results))
    ended = [e.stream for result in eventful.results for e in result.events if e.kind == "test.end"]
    assert ended[0] == 0
    assert set(ended) == {0, 1}
    assert len(ended) == 2


def test_what_a_stuck_sink_did_not_get_is_counted_to_the_last() -> None:
    hurried, raised = threading.Event(), list[int]()

    class Stuck(Eventful):
        def hurry(self) -> None:
            hurried.set()

    def each(result: Result) -> Result:
        raised.append(result.frame.frame_id)
        at = result.frame.timestamp
        result.events = (Event("test.each", 0, "rule", at, result.frame.frame_id),)
        return result

    stuck = Stuck(before=lambda _: hurried.wait(20))
    run = InferencePipeline.init_with_custom_logic(
        Camera(fps=400), numbers, stages=[lambda: each], sinks=[stuck]
    )
    with run:
        until(lambda: len(raised) == 66)  # one is written, 64 wait, one waits to be let in
    (account,), (stream,) = run.stats()["sinks"], run.stats()["streams"]
    assert stream["captured"] == stream["delivered"] + sum(stream["dropped"].values())
    assert account["written"] + account["dropped"]["stopped"] == len(raised)


def test_the_end_of_a_run_waits_until_its_events_are_sent(tmp_path: Path) -> None:
    with receiver() as there:
        there.faults.extend([status(500)] * 3)
        sink = WebhookSink(
            there.url, allow_private=True,
            outbox={"path": str(tmp_path / "box"), "first_wait": 0.01, "longest_wait": 0.05},
        )  # fmt: skip
        run = pipeline(Clip(100), [sink])
        run.start()
        run.join()
        (account,) = run.stats()["sinks"]
    assert [each.json["kind"] for each in there.taken] == ["test.tenth"] * 10 + ["test.end"]
    assert [each.json["sequence"] for each in there.taken] == list(range(1, 12))
    assert account["outbox"]["sent"] == 11
    assert account["written"] == 11


@pytest.mark.parametrize("policy", ["drop_oldest", "refuse", "block"])
def test_a_stop_is_in_time_whatever_the_receiver_does(tmp_path: Path, policy: str) -> None:
    with receiver() as there:
        there.choose = lambda: hang
        sink = WebhookSink(
            there.url, allow_private=True,
            outbox={"path": str(tmp_path / "box"), "max_messages": 3, "on_full": policy},
        )  # fmt: skip
        with pipeline(Camera(), [sink]) as run:
            there.await_came(1)
            until(lambda: run.stats()["sinks"][0]["outbox"]["waiting"] == 3)
            began = time.monotonic()
        assert time.monotonic() - began < 2.0
        assert not run.running
        assert run.stats()["sinks"][0]["outbox"]["waiting"] == 3
    assert not [t for t in threading.enumerate() if t.name.startswith("streamkit outbox")]


def test_pipelines_of_one_process_share_an_outbox(tmp_path: Path) -> None:
    with receiver() as there:

        def sink() -> WebhookSink:
            return WebhookSink(there.url, allow_private=True, outbox=tmp_path / "box")

        runs = [pipeline(Clip(20), [sink]) for _ in range(3)]
        for run in runs:
            run.start(use_main_thread=False)
        for run in runs:
            run.join()
        there.await_taken(9)
    assert len({each.id for each in there.taken}) == 9


def test_two_sinks_of_one_pipeline_that_share_a_queue_mean_the_same(tmp_path: Path) -> None:
    def sink(body: str, name: str | None = None) -> WebhookSink:
        return WebhookSink(
            "http://127.0.0.1:9/", body=body, name=name, allow_private=True, outbox=tmp_path / "box"
        )

    run = pipeline(Clip(1), [lambda: sink("one"), lambda: sink("two")])
    with pytest.raises(ConfigError, match="give each a name"):
        run.start()
    run = pipeline(Clip(1), [lambda: sink("one"), lambda: sink("one"), lambda: sink("two", "2")])
    with run:
        pass


def test_a_document_says_where_events_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as there:
        monkeypatch.setenv("HOOK", there.url)
        document = {
            "sources": [str(clip(tmp_path / "clip.mp4", frames=30))],
            "model": "samples/models/street/1",
            "stages": [{"tests.test_events_delivered:EveryTenth": {}}],
            "sinks": [{"webhook": {
                "url": "env:HOOK", "allow_private": True, "kinds": ["test.tenth"],
                "body": {"text": "${event.kind} in ${event.source}"},
                "outbox": {"path": str(tmp_path / "box"), "keep_for": 60},
            }}],
        }  # fmt: skip
        run = build_pipeline(PipelineSpec.of(document))
        run.start()
        run.join()
        there.await_taken(3)
    assert {each.json["text"] for each in there.taken} == {f"test.tenth in {tmp_path / 'clip.mp4'}"}
