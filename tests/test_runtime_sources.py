"""Sources come, go and change while a pipeline runs; the others do not notice."""

from __future__ import annotations

import gc
import io
import itertools
import random
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from streamkit import BasePipelineWatchDog, InferencePipeline
from streamkit.console import Board, account
from streamkit.errors import ConfigError, StreamOperationNotAllowedError
from streamkit.events import StatusUpdate
from streamkit.frame import VideoFrame
from streamkit.imaging.layout import blank
from streamkit.options import SourceReference
from streamkit.predictions import Result
from streamkit.sinks.video import VideoFileSink
from tests.fakes import START, Camera, Clip, Collector, Deaf, Updates, numbers, until


def pipeline_of(sources: Any, **options: Any) -> InferencePipeline:
    options.setdefault("on_video_frame", numbers)
    return InferencePipeline.init_with_custom_logic(sources, **options)


def assert_balanced(account: dict[str, Any]) -> None:
    assert account["in_flight"] == 0
    assert account["captured"] == account["delivered"] + sum(account["dropped"].values())


@contextmanager
def accounted(pipeline: InferencePipeline) -> Iterator[InferencePipeline]:
    with pipeline:
        yield pipeline
    stats = pipeline.stats()
    for stream in (*stats["streams"], *stats["removed"]):
        assert_balanced(stream)


# -- adding and removing -------------------------------------------------------------------------


def test_a_source_may_be_added_before_the_start_while_running_and_between_runs() -> None:
    sink = Collector()
    pipeline = pipeline_of(Clip(3), sinks=[sink], keep_alive=True)
    assert pipeline.add_source(Clip(4)) == 1
    with accounted(pipeline):
        sink.await_results(7)
        assert pipeline.add_source(Clip(5)) == 2
        sink.await_results(12)
    assert pipeline.add_source(Clip(6)) == 3
    with accounted(pipeline):
        sink.await_results(12 + 18)
    assert [len(sink.ids(number)) for number in range(4)] == [6, 8, 10, 6]
    assert sink.ids(0) == [1, 2, 3, 4, 5, 6]


def test_a_removed_source_leaves_its_account_and_its_id_is_never_used_again() -> None:
    updates, sink = Updates(), Collector()
    pipeline = pipeline_of([Camera(), Camera()], sinks=[sink], status_update_handlers=[updates])
    with accounted(pipeline):
        until(lambda: len(sink.ids(0)) > 5 and len(sink.ids(1)) > 5)
        account = pipeline.remove_source(1)
        assert_balanced(account)
        assert account["captured"] > 5
        assert pipeline.add_source(Camera(), name="door") == 2
        until(lambda: len(sink.ids(2)) > 5)
        assert [s["source_id"] for s in pipeline.stats()["streams"]] == [0, 2]
        assert [s["source_id"] for s in pipeline.stats()["removed"]] == [1]
    assert pipeline.stats()["removed"][0]["captured"] == account["captured"]
    added, removed = updates.of("SOURCE_ADDED")[0], updates.of("SOURCE_REMOVED")[0]
    assert added.payload == {"source_id": 2, "source": "door"}
    assert removed.payload["source_id"] == 1
    assert removed.payload["captured"] == account["captured"]


def test_others_do_not_notice_fifty_changes() -> None:
    """Frame ids without a gap, and none late: neither a frame lost nor one held back. (A few
    may be lost where the machine itself stands still for a moment.)"""
    sink = Collector()

    def heard(number: int, count: int = 0) -> bool:
        return len(sink.ids(number)) > count

    with accounted(pipeline_of(Camera(fps=25), sinks=[sink])) as pipeline:
        sink.await_results(10)
        for number in range(1, 51):
            seen = len(sink.ids())
            assert pipeline.add_source(Camera(fps=50), max_fps=25) == number
            until(partial(heard, number))
            pipeline.reconfigure_source(number, max_fps=40, max_staleness=0.5)
            assert_balanced(pipeline.remove_source(number))
            until(partial(heard, 0, seen))
    ids = sink.ids()
    assert ids[-1] - len(ids) <= 3
    stats = pipeline.stats()
    assert stats["streams"][0]["dropped"].get("newer", 0) <= 3
    assert stats["streams"][0]["age_p95"] < 0.1
    assert len(stats["removed"]) == 50


def test_a_round_of_files_does_not_wait_for_a_camera_that_was_added_and_is_not_there() -> None:
    rounds: list[list[int | None]] = []

    def note(_predictions: Any, frames: list[VideoFrame | None]) -> None:
        rounds.append([frame.frame_id if frame else None for frame in frames])

    class Slow(Deaf):
        def interrupt(self) -> None:
            self._seconds = 0.0

    pipeline = pipeline_of([Clip(10**6), Clip(10**6)], on_prediction=note)
    pipeline.start(use_main_thread=False)
    until(lambda: len(rounds) > 10)
    pipeline.add_source(Slow(2.0))
    seen = len(rounds)
    until(lambda: len(rounds) > seen + 100, timeout=1.5)
    pipeline.terminate()
    until(lambda: not pipeline.running)


def test_without_sources_a_pipeline_ends_unless_it_is_kept_alive() -> None:
    with pipeline_of(Camera()) as pipeline:
        pipeline.remove_source(0)
        pipeline.join(timeout=5)
        assert not pipeline.running
    pipeline = pipeline_of([], keep_alive=True)
    sink = Collector()
    pipeline = pipeline_of([], keep_alive=True, sinks=[sink])
    with pipeline:
        with pytest.raises(TimeoutError):
            pipeline.join(timeout=0.3)
        first = pipeline.add_source(Camera())
        sink.await_results(3)
        pipeline.remove_source(first)
        with pytest.raises(TimeoutError):
            pipeline.join(timeout=0.3)
        pipeline.add_source(Clip(3))
        until(lambda: len(sink.ids(1)) == 3)
    assert not pipeline.running
    with pytest.raises(ConfigError, match="keep_alive"):
        pipeline_of([])


def test_wrong_references_options_and_ids_are_refused_before_anything_starts() -> None:
    with pipeline_of(Camera(), keep_alive=True) as pipeline:
        with pytest.raises(ConfigError) as caught:
            pipeline.add_source("rtsp://camera/1", transprt="udp", max_fps=5)
        assert "'transprt'" in str(caught.value)
        assert "transport" in str(caught.value), "what the adapter takes"
        assert "max_staleness" in str(caught.value), "what the stream takes"
        with pytest.raises(ConfigError, match="max_fps"):
            pipeline.add_source("rtsp://camera/1", max_fps=-5)
        with pytest.raises(ConfigError, match="options belong"):
            pipeline.add_source(Camera(), transport="udp")
        with pytest.raises(ConfigError, match="gopher"):
            pipeline.add_source("gopher://camera")
        for wrong in (7, -1, None, "0", True):
            with pytest.raises(ConfigError, match="choose one of 0"):
                pipeline.remove_source(wrong)  # type: ignore[arg-type]
            with pytest.raises(ConfigError, match="choose one of 0"):
                pipeline.reconfigure_source(wrong, max_fps=3)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="max_fps"):
            pipeline.reconfigure_source(0, max_fps=0)
        assert [s["source_id"] for s in pipeline.stats()["streams"]] == [0]
        assert pipeline.add_source(Clip(1)) == 1, "no id was spent"
        pipeline.remove_source(0)
        with pytest.raises(ConfigError):
            pipeline.remove_source(0)
        with pytest.raises(ConfigError):
            pipeline.pause_stream(0)


def test_a_stage_that_cannot_be_made_adds_nothing() -> None:
    makers = iter([lambda: lambda result: result])

    def make() -> Any:
        return next(makers)()

    with pipeline_of(Camera(), stages=[make]) as pipeline:
        with pytest.raises(StopIteration):
            pipeline.add_source(Camera())
        assert [s["source_id"] for s in pipeline.stats()["streams"]] == [0]


def test_removing_takes_no_two_seconds_whatever_the_source_does() -> None:
    stuck = threading.Event()
    pipeline = pipeline_of(
        [Camera(), Deaf(3.0), Camera(present=False)],
        sinks=[Collector(before=lambda _: stuck.wait())],
    )
    with pipeline:
        until(lambda: pipeline.stats()["streams"][0]["delivered"] > 5)
        for number in (1, 2, 0):
            began = time.monotonic()
            pipeline.remove_source(number)
            assert time.monotonic() - began < 2.0
        stuck.set()
    for one in pipeline.stats()["removed"]:
        assert_balanced(one)


@pytest.mark.parametrize("place", ["on_prediction", "on_video_frame", "stage", "handler"])
def test_a_callback_may_add_and_remove_also_its_own_source(place: str) -> None:
    done: list[dict[str, Any]] = []

    def swap() -> None:
        if not done:
            done.append({})
            pipeline.add_source(Camera())
            done[0].update(pipeline.remove_source(0))

    def model(frames: list[VideoFrame]) -> list[Any]:
        if place == "on_video_frame":
            swap()
        return list(frames)

    def stage(result: Result) -> Result:
        if place == "stage":
            swap()
        return result

    pipeline = pipeline_of(
        [Camera()],
        on_video_frame=model,
        stages=[lambda: stage],
        on_prediction=lambda *_: swap() if place == "on_prediction" else None,
        status_update_handlers=[
            lambda u: swap() if place == "handler" and u.event_type == "FRAME_CONSUMED" else None
        ],
    )
    pipeline.start(use_main_thread=False)
    until(lambda: [s["source_id"] for s in pipeline.stats()["streams"]] == [1])
    until(lambda: pipeline.stats()["streams"][0]["delivered"] > 5)
    pipeline.terminate()
    until(lambda: not pipeline.running)
    stats = pipeline.stats()
    for one in (*stats["streams"], *stats["removed"]):
        assert_balanced(one)


def test_whoever_is_told_of_a_new_source_may_take_it_out_before_it_starts() -> None:
    def handler(update: StatusUpdate) -> None:
        if update.event_type == "SOURCE_ADDED":
            pipeline.remove_source(update.payload["source_id"])

    sink, late = Collector(), Camera()
    pipeline = pipeline_of(Camera(), sinks=[sink], status_update_handlers=[handler])
    with accounted(pipeline):
        assert pipeline.add_source(late) == 1
        sink.await_results(5)
        assert [stream["source_id"] for stream in pipeline.stats()["streams"]] == [0]
    assert late.opened == 0
    assert pipeline.stats()["removed"][0]["captured"] == 0


def test_who_is_told_of_a_new_source_may_wait_for_somebody_who_adds_another() -> None:
    done: list[bool] = []

    def handler(update: StatusUpdate) -> None:
        if update.event_type == "SOURCE_ADDED" and not done:
            done.append(False)
            other = threading.Thread(target=lambda: pipeline.add_source(Camera()))
            other.start()
            other.join(10)
            done[0] = not other.is_alive()

    pipeline = pipeline_of(Camera(), status_update_handlers=[handler])
    with accounted(pipeline):
        pipeline.add_source(Camera())
        assert done == [True]
        assert len(pipeline.stats()["streams"]) == 3


# -- reconfiguring -------------------------------------------------------------------------------


def test_options_of_a_stream_change_without_a_gap_or_a_reconnection() -> None:
    camera, sink, updates = Camera(fps=100), Collector(), Updates()
    pipeline = pipeline_of(camera, sinks=[sink], max_fps=10, status_update_handlers=[updates])
    with accounted(pipeline):
        sink.await_results(5)
        pipeline.reconfigure_source(0, max_fps=None, name="door", max_staleness=1.0)
        seen = len(sink.results)
        sink.await_results(seen + 40)
        ids = sink.ids()[seen + 1 : seen + 40]
        assert pipeline.stats()["streams"][0]["source"] == "door"
    steps = [after - before for before, after in itertools.pairwise(ids)]
    assert statistics.median(steps) == 1, "none is left out, but where the machine stood still"
    assert camera.opened == 1
    assert pipeline.stats()["streams"][0]["reconnects"] == 0
    assert not updates.of("SOURCE_CONNECTION_LOST")


def test_another_reference_takes_the_place_of_a_source_and_ids_go_on() -> None:
    before, after, sink, updates = Camera(), Camera(), Collector(), Updates()
    pipeline = pipeline_of([before, Camera()], sinks=[sink], status_update_handlers=[updates])
    with accounted(pipeline):
        sink.await_results(10)
        pipeline.reconfigure_source(0, reference=after)
        until(lambda: after.opened == 1)
        seen = len(sink.ids(0))
        until(lambda: len(sink.ids(0)) > seen + 10)
    assert before.closed == 1
    assert sink.ids(0) == sorted(set(sink.ids(0)))
    steps = [after - before for before, after in itertools.pairwise(sink.ids(1))]
    assert statistics.median(steps) == 1, "the other one lost nothing, but where the machine stood"
    assert not updates.of("SOURCE_CONNECTION_LOST")


def test_options_of_an_adapter_reconnect_and_a_lost_source_is_tried_at_once() -> None:
    sink, updates = Collector(), Updates()
    lost = SourceReference("tcp://127.0.0.1:9", {"restart_delay": 30, "open_timeout": 1})
    pipeline = pipeline_of(lost, sinks=[sink], status_update_handlers=[updates])
    with accounted(pipeline):
        updates.wait_for("SOURCE_CONNECTION_ATTEMPT_FAILED")
        pipeline.reconfigure_source(0, reference="synthetic:fps=50,width=64,height=64")
        sink.await_results(5, timeout=5)
        assert sink.results[0].frame.size == (64, 64)
        pipeline.reconfigure_source(0, width=96)
        until(lambda: sink.results[-1].frame.size == (96, 64))
    assert sink.ids() == sorted(set(sink.ids()))


def test_a_file_may_take_the_place_of_a_camera() -> None:
    sink = Collector(before=lambda _: time.sleep(0.002))
    pipeline = pipeline_of([Camera()], sinks=[sink])
    with accounted(pipeline):
        sink.await_results(3)
        pipeline.reconfigure_source(0, reference=Clip(50))
        pipeline.join(timeout=10)
    of_file = [r.frame.frame_id for r in sink.results if r.frame.comes_from_video_file]
    assert len(of_file) == 50, "what is finite waits, and loses nothing"
    assert of_file == list(range(of_file[0], of_file[0] + 50))


# -- rounds and sinks ----------------------------------------------------------------------------


def test_lists_have_a_place_for_each_source_there_is_in_the_order_of_ids() -> None:
    rounds: list[list[int | None]] = []

    def note(predictions: list[Any], frames: list[VideoFrame | None]) -> None:
        assert len(predictions) == len(frames)
        rounds.append([frame.source_id if frame else None for frame in frames])

    with accounted(pipeline_of([Camera(60), Camera(60)], on_prediction=note)) as pipeline:
        until(lambda: [0, 1] in rounds)
        pipeline.add_source(Camera(60))
        until(lambda: [0, 1, 2] in rounds)
        pipeline.remove_source(1)
        rounds.clear()
        until(lambda: [0, 2] in rounds)
        pipeline.remove_source(0)
        rounds.clear()
        until(lambda: len(rounds) > 3)
        assert rounds[-1] == [2], "a run that began with lists goes on with lists"
    assert all(ids == sorted(ids) for ids in map(list, (filter(None, r) for r in rounds)))


def test_a_run_that_began_with_one_source_goes_on_frame_by_frame() -> None:
    calls: list[Any] = []
    pipeline = pipeline_of(Camera(), on_prediction=lambda _, frame: calls.append(frame))
    with accounted(pipeline):
        until(lambda: len(calls) > 3)
        pipeline.add_source(Camera())
        until(lambda: {frame.source_id for frame in calls} == {0, 1})
    assert all(isinstance(frame, VideoFrame) for frame in calls)


def test_a_function_gets_one_frame_of_each_source_however_many_there_are() -> None:
    sizes: set[int] = set()

    def model(frames: list[VideoFrame]) -> list[None]:
        assert len({frame.source_id for frame in frames}) == len(frames)
        sizes.add(len(frames))
        time.sleep(0.02)
        return [None] * len(frames)

    with accounted(pipeline_of([Camera(60)], on_video_frame=model)) as pipeline:
        until(lambda: sizes == {1})
        for _ in range(3):
            pipeline.add_source(Camera(60))
        until(lambda: 4 in sizes)


def test_a_sink_is_told_to_forget_a_source_on_its_own_thread() -> None:
    class Remembering(Collector):
        forgotten: list[tuple[int, bool]]

        def __init__(self) -> None:
            super().__init__()
            self.forgotten = []
            self.thread: threading.Thread | None = None

        def write(self, result: Result) -> None:
            self.thread = threading.current_thread()
            super().write(result)

        def forget(self, source_id: int) -> None:
            self.forgotten.append((source_id, threading.current_thread() is self.thread))

    sink = Remembering()
    with accounted(pipeline_of([Camera(), Camera()], sinks=[sink])) as pipeline:
        until(lambda: len(sink.ids(0)) > 2 and len(sink.ids(1)) > 2)
        pipeline.remove_source(1)
        until(lambda: sink.forgotten == [(1, True)])


def frame_of(source_id: int, number: int, shade: int) -> VideoFrame:
    image = np.full((32, 32, 3), shade, np.uint8)
    return VideoFrame(image, number, START, source_id=source_id)


def test_no_tile_of_a_recorded_mosaic_keeps_the_picture_of_a_source_that_has_gone(
    tmp_path: Path,
) -> None:
    sink = VideoFileSink(tmp_path / "out.mp4", size=(96, 32))
    empty: dict[str, Any] = {"predictions": [], "image": {"width": 32, "height": 32}}
    three = [frame_of(number, 1, 200) for number in range(3)]
    sink.on_prediction([empty] * 3, three)
    sink.on_prediction([empty, None], [frame_of(0, 2, 200), None])
    assert sorted(sink._latest, key=str) == [0, 1]
    assert sink._latest[1].max() == blank((1, 1)).max()
    sink.on_prediction([empty, empty], [frame_of(0, 3, 200), frame_of(2, 2, 200)])
    sink.on_prediction([empty, None], [frame_of(5, 3, 200), None])
    assert sink._latest[1].max() == blank((1, 1)).max(), "another one stands there now"
    sink.close()
    native = VideoFileSink(tmp_path / "native.mp4", size=(96, 32))
    for number in range(3):
        native.write(Result(frame_of(number, 1, 200), None))
    native.forget(1)
    assert sorted(native._latest, key=str) == [0, 2]
    native.close()


def test_the_watchdog_reports_the_sources_there_are() -> None:
    watchdog, sink = BasePipelineWatchDog(), Collector()
    with accounted(pipeline_of([Camera()], sinks=[sink], watchdog=watchdog)) as pipeline:
        number = pipeline.add_source(Camera())
        until(lambda: len(sink.ids(0)) > 3 and len(sink.ids(number)) > 3)
        assert [s.source_id for s in watchdog.get_report().sources_metadata] == [0, 1]
        pipeline.remove_source(0)
        seen = len(sink.ids(1))
        until(lambda: len(sink.ids(1)) > seen + 3)
        report = watchdog.get_report()
    assert [s.source_id for s in report.sources_metadata] == [1]
    assert [latency.source_id for latency in report.latency_reports] == [1]


def test_the_terminal_shows_who_is_there_and_accounts_for_who_has_gone() -> None:
    from rich.console import Console

    def shown(*what: Any) -> str:
        console = Console(width=140, file=(text := io.StringIO()))
        console.print(*what)
        return text.getvalue()

    sink = Collector()
    with accounted(pipeline_of([Camera()], sinks=[sink])) as pipeline:
        pipeline.reconfigure_source(0, name="old door")
        number = pipeline.add_source(Camera(), name="new door")
        until(lambda: len(sink.ids(0)) > 3 and len(sink.ids(number)) > 3)
        pipeline.remove_source(0)
        board = shown(Board(pipeline))
        assert "new door" in board
        assert "old door" not in board
        assert "1 removed" in board
    end = shown(*account(pipeline.stats()))
    assert "old door (removed)" in end
    assert "new door" in end


# -- trouble -------------------------------------------------------------------------------------


@pytest.mark.alone
def test_a_thousand_sources_that_came_and_went_leave_nothing_behind() -> None:
    process, sink = psutil.Process(), Collector()
    watchdog = BasePipelineWatchDog()
    pipeline = pipeline_of([], keep_alive=True, sinks=[sink], watchdog=watchdog)
    sizes: list[int] = []

    def turn(count: int) -> None:
        for _ in range(count):
            pipeline.remove_source(pipeline.add_source(Camera(fps=1000), name="x"))
        sink.results.clear()
        gc.collect()
        sizes.append(len(gc.get_objects()))

    with accounted(pipeline):
        turn(80)
        threads, files, memory = process.num_threads(), process.num_fds(), process.memory_info().rss
        for _ in range(3):
            turn(460)
        assert process.num_threads() <= threads + 1
        assert process.num_fds() <= files + 1
        assert process.memory_info().rss - memory < 16 * 2**20
    grown = [after - before for before, after in itertools.pairwise(sizes[1:])]
    assert min(grown) < 460, "not one object for each"
    assert len(pipeline.stats()["removed"]) == 64


def anything(pipeline: InferencePipeline, dice: random.Random) -> None:
    """Something that may be done to a pipeline at any time, or is refused."""
    one = dice.choice([s["source_id"] for s in pipeline.stats()["streams"]] or [0])
    acts: list[tuple[Any, list[Any], dict[str, Any]]] = [
        (pipeline.add_source, [Camera(fps=dice.choice([20, 200]))], {}),
        (pipeline.add_source, [Clip(5)], {}),
        (pipeline.remove_source, [one], {}),
        (pipeline.remove_source, [one], {}),
        (pipeline.reconfigure_source, [one], {"max_fps": dice.choice([None, 5, 50])}),
        (pipeline.reconfigure_source, [one], {"reference": Camera()}),
        (pipeline.pause_stream, [one], {}),
        (pipeline.mute_stream, [one], {}),
        (pipeline.resume_stream, [one], {}),
    ]
    act, args, options = dice.choice(acts)
    with suppress(ConfigError, StreamOperationNotAllowedError):
        act(*args, **options)


@contextmanager
def disturbed(pipeline: InferencePipeline, seed: int) -> Iterator[None]:
    """Four threads do anything, until the block ends; what they raise is raised then."""
    over = threading.Event()
    failures: list[BaseException] = []

    def disturb(number: int) -> None:
        dice = random.Random(100 * seed + number)
        try:
            while not over.wait(0.001):
                anything(pipeline, dice)
        except BaseException as error:  # noqa: BLE001 - raised below, in effect
            failures.append(error)

    threads = [threading.Thread(target=disturb, args=(n,), daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert not failures


@pytest.mark.parametrize("seed", range(3))
def test_anything_at_random_from_several_threads_and_an_end_within_two_seconds(seed: int) -> None:
    rounds: list[int] = []
    pipeline = pipeline_of(
        [Camera(), Camera()],
        sinks=[Collector()],
        on_prediction=lambda _, frames: rounds.append(len(frames)),
        sink_mode="batch",
        keep_alive=True,
    )
    with disturbed(pipeline, seed):
        for _ in range(4):
            pipeline.start(use_main_thread=False)
            seen = len(rounds)
            until(partial(lambda seen: len(rounds) > seen + 20, seen))
            began = time.monotonic()
            pipeline.terminate()
            assert time.monotonic() - began < 2.0
            until(lambda: not pipeline.running)
    stats = pipeline.stats()
    for one in (*stats["streams"], *stats["removed"]):
        assert_balanced(one)
