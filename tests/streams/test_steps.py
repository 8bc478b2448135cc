"""The stages of a stream: ended with it however it ends, and failing without harm to others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, ClassVar

import numpy as np
import pytest

from streamkit import InferencePipeline
from streamkit.errors import ConfigError, FrameWithheldError, TrackingRequiredError
from streamkit.events import DropCause, Event, Reporter
from streamkit.frame import VideoFrame
from streamkit.predictions import Detections, Result
from streamkit.stages import open_stage
from streamkit.stages.base import Manifest
from streamkit.stages.seen import Witness
from streamkit.streams.steps import Stage, Steps
from tests.fakes import Camera, Clip, Collector, Updates, until
from tests.stages.making import frame, objects

AREA = [[0, 0], [640, 0], [640, 480], [0, 480]]
ROOM: dict[str, Any] = {"polygon": AREA, "patience": 30}


class Alarms(Collector):
    """A sink that is there for events."""

    takes_events = True

    @property
    def events(self) -> list[Event]:
        return [event for result in list(self.results) for event in result.events]

    def told(self, source_id: int = 0) -> list[str]:
        return [event.kind for event in self.events if event.stream == source_id]


def two_people(frames: Sequence[VideoFrame]) -> list[Detections]:
    return [objects((1, 0, 200, 300), (2, 0, 400, 300)) for _ in frames]


def room() -> Any:
    return open_stage("zone", ROOM)


def pipeline_of(sources: Any, *stages: Callable[[], Any], **options: Any) -> InferencePipeline:
    return InferencePipeline.init_with_custom_logic(
        sources, on_video_frame=two_people, stages=stages, **options
    )


def assert_accounted(pipeline: InferencePipeline) -> None:
    stats = pipeline.stats()
    for stream in (*stats["streams"], *stats["removed"]):
        assert stream["in_flight"] == 0
        assert stream["captured"] == stream["delivered"] + sum(stream["dropped"].values())


# -- the end -------------------------------------------------------------------------------------


def test_who_is_there_when_a_clip_ends_leaves_with_it_and_only_event_sinks_hear_of_it() -> None:
    alarms, frames = Alarms(), Collector()
    pipeline = pipeline_of([Clip(20), Clip(30)], room, sinks=[alarms, frames])
    pipeline.start()
    pipeline.join()
    for source, length in ((0, 20), (1, 30)):
        assert alarms.told(source) == ["zone.enter"] * 2 + ["zone.leave"] * 2
        assert frames.ids(source) == list(range(1, length + 1))
        mine = [event for event in alarms.events if event.stream == source]
        assert [event.sequence for event in mine] == [1, 2, 3, 4]
        assert {event.source for event in mine} == {f"clip of {length}"}
        assert [event.frame_id for event in mine] == [1, 1, length, length]
    assert [s["delivered"] for s in pipeline.stats()["streams"]] == [20, 30]
    assert not any(result.closing for result in frames.results)
    (closing,) = [r for r in alarms.results if r.closing and r.frame.source_id == 0]
    assert not closing.inferred
    assert_accounted(pipeline)


def test_who_is_there_when_a_camera_is_removed_leaves_and_the_others_stay() -> None:
    alarms = Alarms()
    pipeline = pipeline_of([Camera(), Camera()], room, sinks=[alarms])
    with pipeline:
        alarms.await_results(2)
        pipeline.remove_source(0)
        until(lambda: alarms.told(0) == ["zone.enter"] * 2 + ["zone.leave"] * 2)
        assert alarms.told(1) == ["zone.enter"] * 2
    assert alarms.told(1) == ["zone.enter"] * 2 + ["zone.leave"] * 2
    assert_accounted(pipeline)


def test_who_is_there_when_the_run_is_stopped_leaves_within_the_two_seconds() -> None:
    alarms = Alarms(before=lambda _: time.sleep(0.05))
    pipeline = pipeline_of([Camera() for _ in range(4)], room, sinks=[alarms])
    pipeline.start(use_main_thread=False)
    alarms.await_results(4)
    began = time.monotonic()
    pipeline.terminate()
    assert time.monotonic() - began < 2.5
    for source in range(4):
        assert alarms.told(source) == ["zone.enter"] * 2 + ["zone.leave"] * 2
    assert alarms.closed_times == 1


def test_a_stage_that_is_slow_has_some_time_to_end_when_the_run_is_stopped() -> None:
    def slow(result: Result) -> Result:
        if result.frame.frame_id > 3:
            time.sleep(0.75)  # a second model, say
        return result

    alarms = Alarms()
    pipeline = pipeline_of(Camera(), room, lambda: slow, sinks=[alarms])
    pipeline.start(use_main_thread=False)
    until(lambda: pipeline.stats()["streams"][0]["delivered"] >= 3)
    began = time.monotonic()
    pipeline.terminate()
    assert time.monotonic() - began < 2.5
    assert alarms.told() == ["zone.enter"] * 2 + ["zone.leave"] * 2


def test_a_stream_that_never_gave_a_frame_ends_with_nothing() -> None:
    alarms = Alarms()
    pipeline = pipeline_of([Camera(present=False), Clip(3)], room, sinks=[alarms])
    with pipeline:
        until(lambda: len(alarms.told(1)) == 4)
    assert alarms.told(0) == []


def test_numbers_of_events_go_on_in_the_next_run() -> None:
    alarms = Alarms()
    pipeline = pipeline_of(Clip(3), room, sinks=[alarms])
    for _ in range(2):
        pipeline.start(use_main_thread=False)
        pipeline.join()
    assert [event.sequence for event in alarms.events] == list(range(1, 9))


def test_a_stage_is_ended_once_on_the_thread_of_its_stream() -> None:
    ended: list[tuple[str, str]] = []

    class Ending:
        manifest: ClassVar = Manifest("Ending", stateful=True)

        def __call__(self, result: Result) -> Result:
            self.thread = threading.current_thread().name
            return result

        def end(self, result: Result) -> Result:
            ended.append((self.thread, threading.current_thread().name))
            assert result.closing
            assert result.measures == {}
            return result

    pipeline = pipeline_of([Camera(), Clip(5)], Ending)
    pipeline.start(use_main_thread=False)
    until(lambda: len(ended) == 1)
    pipeline.terminate()
    assert len(ended) == 2
    assert all(here == there for here, there in ended)


@pytest.mark.parametrize("how", [KeyError("lost"), SystemExit(3)])
def test_a_stage_that_cannot_end_hurts_nobody(how: BaseException) -> None:
    class Broken:
        def __call__(self, result: Result) -> Result:
            return result

        def end(self, result: Result) -> Result:
            result.events = ()
            raise how

    alarms, updates = Alarms(), Updates()
    pipeline = pipeline_of(
        Clip(3), room, Broken, room, sinks=[alarms], status_update_handlers=[updates]
    )
    pipeline.start()
    pipeline.join()
    assert alarms.told() == ["zone.enter"] * 4 + ["zone.leave"] * 4
    assert updates.of("STREAM_STAGE_FAILED")[0].payload["stage"] == "Broken"


def test_a_stage_may_remove_its_own_source_and_still_be_ended() -> None:
    alarms, gone = Alarms(), list[Any]()

    def leave(result: Result) -> Result:
        if result.frame.frame_id >= 5 and not gone:
            gone.append(pipeline.remove_source(0))
        return result

    pipeline = pipeline_of([Camera()], room, lambda: leave, sinks=[alarms], keep_alive=True)
    with pipeline:
        until(lambda: alarms.told() == ["zone.enter"] * 2 + ["zone.leave"] * 2)
    assert_accounted(pipeline)


def test_a_stage_that_hangs_does_not_hold_up_the_stop_and_the_others_end() -> None:
    go = threading.Event()

    def hang(result: Result) -> Result:
        if result.frame.source_id == 0:
            go.wait(10)
        return result

    alarms = Alarms()
    pipeline = pipeline_of([Camera(), Camera()], lambda: hang, room, sinks=[alarms])
    pipeline.start(use_main_thread=False)
    until(lambda: len(alarms.told(1)) == 2)
    began = time.monotonic()
    pipeline.terminate()
    assert time.monotonic() - began < 2.5
    go.set()
    assert alarms.told(1)[2:] == ["zone.leave"] * 2


# -- failing -------------------------------------------------------------------------------------


class Fails:
    """A stage that says what it is, and fails where it is told to."""

    manifest: ClassVar = Manifest("Fails")

    def __init__(self, when: Callable[[Result], bool], error: Exception | None = None) -> None:
        self.when, self.error = when, error or ValueError("no")

    def __call__(self, result: Result) -> Result:
        if self.when(result):
            raise type(self.error)(*self.error.args)  # anew: a traceback grows
        return result


def test_a_failing_stage_costs_its_stream_that_frame_and_the_others_nothing() -> None:
    alarms, frames, updates = Alarms(), Collector(), Updates()

    def odd(result: Result) -> bool:
        return result.frame.source_id == 0 and result.frame.frame_id % 2 == 1

    pipeline = pipeline_of(
        [Clip(20), Clip(20)],
        room,
        lambda: Fails(odd),
        sinks=[alarms, frames],
        status_update_handlers=[updates],
    )
    pipeline.start()
    pipeline.join()
    first, second = pipeline.stats()["streams"]
    assert first["dropped"] == {"failed": 10}
    assert second["dropped"] == {}
    assert frames.ids(0) == list(range(2, 21, 2))
    assert frames.ids(1) == list(range(1, 21))
    assert alarms.told(0) == ["zone.enter"] * 2 + ["zone.leave"] * 2, "no event is lost"
    assert [e.frame_id for e in alarms.events if e.stream == 0][:2] == [1, 1], "of its own frame"
    told = updates.of("STREAM_STAGE_FAILED")
    assert len(told) == 1, "once a second"
    assert told[0].payload["stage"] == "Fails"
    assert told[0].payload["error_message"] == "no"
    assert_accounted(pipeline)


def test_events_wait_for_a_stage_that_never_works_and_arrive_at_the_end_without_a_picture() -> None:
    alarms = Alarms()
    pipeline = pipeline_of(Clip(5), room, lambda: Fails(lambda _: True), sinks=[alarms])
    pipeline.start()
    pipeline.join()
    assert alarms.told() == ["zone.enter"] * 2 + ["zone.leave"] * 2
    (closing,) = alarms.results
    assert closing.closing
    assert not closing.image.any(), "whatever failed may have been there to cover something"
    assert closing.prediction is None
    assert pipeline.stats()["streams"][0]["dropped"] == {"failed": 5}


@pytest.mark.parametrize("error", [ConfigError("no such class"), TrackingRequiredError("no ids")])
def test_what_is_wrong_with_the_pipeline_itself_ends_the_run(error: Exception) -> None:
    alarms = Alarms()
    pipeline = pipeline_of(
        Camera(), room, lambda: Fails(lambda r: r.frame.frame_id > 3, error), sinks=[alarms]
    )
    pipeline.start()
    with pytest.raises(type(error)):
        pipeline.join()
    assert alarms.told() == ["zone.enter"] * 2 + ["zone.leave"] * 2
    assert_accounted(pipeline)


def test_a_function_of_the_users_that_raises_ends_the_run_and_its_events_arrive() -> None:
    alarms = Alarms()

    def broken(result: Result) -> Result:
        if result.frame.frame_id == 4:
            result.events = (*result.events, Witness(result, "own").event("own"))
            raise KeyError("mine")
        return result

    pipeline = pipeline_of(Clip(9), room, lambda: broken, sinks=[alarms])
    pipeline.start()
    with pytest.raises(KeyError, match="mine"):
        pipeline.join()
    assert alarms.told() == ["zone.enter"] * 2 + ["zone.leave"] * 2


def test_a_stage_that_forgets_to_return_its_result_is_named() -> None:
    def forgetful(_result: Result) -> Any:
        return None

    alarms = Alarms()
    pipeline = pipeline_of(Clip(3), room, lambda: forgetful, room, sinks=[alarms])
    pipeline.start()
    with pytest.raises(TypeError, match="stage forgetful gave None"):
        pipeline.join()
    assert alarms.told()[:2] == ["zone.enter"] * 2


def test_a_frame_that_is_withheld_is_accounted_for_as_redacted() -> None:
    withheld = FrameWithheldError("no face model")
    steps = steps_of(Fails(lambda r: r.frame.frame_id == 2, withheld))
    assert isinstance(steps(frame(0, 1), objects()), Result)
    assert steps(frame(0.1, 2), objects()) is DropCause.REDACTED
    assert isinstance(steps(frame(0.2, 3), objects()), Result)


def steps_of(*stages: Stage) -> Steps:
    return Steps(stages, Reporter(), lambda: "door", count(1))


def raises_one(result: Result) -> Result:
    result.events = (*result.events, Witness(result, "own").event("own"))
    return result


def test_held_events_keep_their_order_and_their_number() -> None:
    steps = steps_of(raises_one, Fails(lambda r: r.frame.frame_id <= 3))
    for number in (1, 2, 3):
        assert steps(frame(number, number), None) is DropCause.FAILED
    result = steps(frame(4, 4), None)
    assert isinstance(result, Result)
    assert [event.frame_id for event in result.events] == [1, 2, 3, 4]
    assert [event.sequence for event in result.events] == [1, 2, 3, 4]


def test_what_waits_for_a_stage_that_never_works_is_bounded() -> None:
    steps = steps_of(*[raises_one] * 100, Fails(lambda _: True))
    for number in range(1, 102):
        steps(frame(number / 10, number), None)
    closing = steps.end()
    assert closing is not None
    assert len(closing.events) == 10_000
    assert [closing.events[0].frame_id, closing.events[-1].frame_id] == [2, 101]
    assert steps.end() is None, "once"


def test_the_closing_picture_is_the_one_that_sinks_were_shown() -> None:
    """A stage that covers faces must not be undone by the end of the stream."""
    covered = np.zeros((480, 640, 3), np.uint8)

    def cover(result: Result) -> Result:
        before = result.frame
        now = VideoFrame(covered, before.frame_id, before.timestamp, source_id=before.source_id)
        return Result(now, result.prediction, events=result.events, source=result.source)

    steps = steps_of(raises_one, cover, room())
    steps(frame(0, 1), objects((1, 0, 200, 300)))
    closing = steps.end()
    assert closing is not None
    assert closing.frame.image is not frame(0, 1).image
    assert not closing.frame.image.any()
    assert closing.events[0].kind == "zone.leave"


def test_a_stage_that_leaves_before_any_frame_has_left_all_the_same() -> None:
    steps, left = steps_of(raises_one), list[str]()
    steps.exchange([], [], lambda: left.append("first"))
    assert isinstance(steps(frame(0, 1), None), Result)
    steps.exchange([raises_one], [], lambda: left.append("last"))
    assert steps.end() is None
    assert left == ["first", "last"]


def test_what_a_leaving_stage_ends_with_passes_the_stages_that_stay_behind_it() -> None:
    old, new, seen = room(), room(), list[str]()

    def watch(result: Result) -> Result:
        seen.extend(event.kind for event in result.events)
        return result

    steps = steps_of(old, watch)
    steps(frame(0, 1), objects((1, 0, 200, 300)))
    steps.exchange([new, watch], [old], lambda: None)
    result = steps(frame(1, 2), objects((1, 0, 200, 300)))
    assert isinstance(result, Result)
    assert seen == ["zone.enter", "zone.leave", "zone.enter"]
    assert [event.kind for event in result.events] == seen[1:]
