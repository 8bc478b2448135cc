"""The watchdog's report, for scripts that read it."""

from __future__ import annotations

import logging
import time

import pytest

from streamkit import BasePipelineWatchDog, InferencePipeline
from streamkit.events import EventType, Reporter, StatusUpdate, Throttle, UpdateSeverity
from streamkit.frame import VideoFrame
from tests.fakes import Camera, Clip, Collector, numbers


def test_the_report_knows_latencies_throughput_sources_and_updates() -> None:
    def slow(frames: list[VideoFrame]) -> list[object]:
        time.sleep(0.02)
        return list(numbers(frames))

    watchdog, sink = BasePipelineWatchDog(), Collector()
    pipeline = InferencePipeline.init_with_custom_logic(
        [Camera(fps=200)], slow, watchdog=watchdog, sinks=[sink]
    )
    with pipeline:
        sink.await_results(20)
        report = watchdog.get_report()
    latency = report.latency_reports[0]
    assert latency.source_id == 0
    assert latency.inference_latency is not None
    assert latency.inference_latency >= 0.02
    assert latency.frame_decoding_latency is not None
    assert latency.e2e_latency == pytest.approx(
        latency.frame_decoding_latency + latency.inference_latency
    )
    assert 5 < report.inference_throughput < 60
    source = report.sources_metadata[0]
    assert source.source_reference == "camera at 200"
    assert source.state.name == "RUNNING"
    assert source.source_properties is not None
    kinds = {update.event_type for update in report.video_source_status_updates}
    assert {"SOURCE_STATE_UPDATE", "INFERENCE_THREAD_STARTED"} <= kinds
    assert "FRAME_CAPTURED" not in kinds


def test_the_updates_of_a_run_are_the_neighbours() -> None:
    updates: list[StatusUpdate] = []
    pipeline = InferencePipeline.init_with_custom_logic(
        Clip(2), numbers, status_update_handlers=[updates.append]
    )
    pipeline.start()
    pipeline.join()
    by_kind = {update.event_type: update for update in updates}
    assert set(by_kind) == {
        "SOURCE_STATE_UPDATE", "VIDEO_CONSUMPTION_STARTED", "VIDEO_CONSUMPTION_FINISHED",
        "FRAME_CAPTURED", "FRAME_CONSUMED", "INFERENCE_COMPLETED",
        "INFERENCE_THREAD_STARTED", "INFERENCE_THREAD_FINISHED",
    }  # fmt: skip
    assert set(by_kind["FRAME_CAPTURED"].payload) == {
        "frame_timestamp", "frame_id", "source_id",
    }  # fmt: skip
    assert by_kind["FRAME_CAPTURED"].severity is UpdateSeverity.DEBUG
    assert by_kind["FRAME_CAPTURED"].context == "video_source"
    completed = by_kind["INFERENCE_COMPLETED"].payload
    assert completed["frames_ids"] == [2]
    assert completed["sources_id"] == [0]
    changes = [u.payload for u in updates if u.event_type == "SOURCE_STATE_UPDATE"]
    names = [(c["previous_state"].name, c["new_state"].name) for c in changes]
    assert names == [
        ("NOT_STARTED", "INITIALISING"), ("INITIALISING", "RUNNING"), ("RUNNING", "ENDED"),
    ]  # fmt: skip


def test_a_handler_that_raises_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[StatusUpdate] = []

    def broken(_update: StatusUpdate) -> None:
        raise RuntimeError("listener")

    with caplog.at_level(logging.WARNING):
        Reporter([broken, heard.append]).info(EventType.SOURCE_RECOVERED, "here")
    assert len(heard) == 1
    assert "listener" in caplog.text


def test_a_watchdog_that_raises_hurts_nobody() -> None:
    class Nervous(BasePipelineWatchDog):
        def on_model_inference_started(self, frames: list[VideoFrame]) -> None:
            raise ValueError(frames)

        def on_model_prediction_ready(self, frames: list[VideoFrame]) -> None:
            raise ValueError(frames)

    sink = Collector()
    pipeline = InferencePipeline.init_with_custom_logic(
        Clip(5), numbers, watchdog=Nervous(), sinks=[sink]
    )
    pipeline.start()
    pipeline.join()
    assert sink.ids() == [1, 2, 3, 4, 5]


def test_a_throttle_lets_one_line_through_and_says_how_many_it_stands_for() -> None:
    throttle = Throttle(interval=3600)
    assert throttle.tick() == 1
    assert [throttle.tick() for _ in range(5)] == [0] * 5
    assert Throttle(interval=0.0).tick() == 1
