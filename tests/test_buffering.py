"""The neighbour's buffer strategies mean here what they mean there, without its hangs."""

from __future__ import annotations

import time
from typing import Any

import pytest

from streamkit import InferencePipeline
from streamkit.buffering import BufferConsumptionStrategy as Consume
from streamkit.buffering import BufferFillingStrategy as Fill
from streamkit.buffering import Buffering, VideoProcessingMode
from streamkit.events import DropCause
from streamkit.frame import VideoFrame
from streamkit.scheduler import Overflow
from tests.fakes import Camera, Clip, Collector, numbers, until


def test_unset_means_newest_for_streams_and_wait_for_files() -> None:
    assert Buffering().policy(live=True).capacity == 1
    assert Buffering().policy(live=True).overflow is Overflow.OLDEST
    assert Buffering().policy(live=False).overflow is Overflow.WAIT
    assert not Buffering().policy(live=False).eager


def test_every_strategy_has_its_policy() -> None:
    def policy(filling: Fill) -> Any:
        return Buffering(filling, size=5).policy(live=True)

    assert policy(Fill.WAIT).overflow is Overflow.WAIT
    assert policy(Fill.DROP_OLDEST).cause is DropCause.OLDEST
    assert policy(Fill.DROP_LATEST).cause is DropCause.LATEST
    assert policy(Fill.ADAPTIVE_DROP_LATEST).overflow is Overflow.LATEST
    assert policy(Fill.ADAPTIVE_DROP_OLDEST).capacity == 1
    assert policy(Fill.DROP_OLDEST).capacity == 5
    assert policy(Fill.DROP_OLDEST).eager
    assert not Buffering(Fill.DROP_OLDEST, Consume.LAZY).policy(live=True).eager
    assert Buffering(Fill.WAIT, size=0).policy(live=True).capacity == 512


def test_modes_and_budgets() -> None:
    every = Buffering(mode=VideoProcessingMode.EVERY_FRAME)
    assert every.policy(live=True).capacity == 64
    assert every.policy(live=True, max_staleness=0.5).max_age is None
    assert Buffering().policy(live=True, max_staleness=0.5).max_age == 0.5
    assert Buffering().policy(live=False, max_staleness=0.5).max_age is None


@pytest.mark.parametrize("size", [1, 2, 64])
@pytest.mark.parametrize("filling", [*Fill, "wait"])
def test_terminate_returns_for_every_strategy_and_buffer_size(size: int, filling: str) -> None:
    def slow(frames: list[VideoFrame]) -> list[Any]:
        time.sleep(0.02)
        return list(numbers(frames))

    sink = Collector()
    pipeline = InferencePipeline.init_with_custom_logic(
        [Camera(fps=200), Clip(10**6)],
        slow,
        sinks=[sink],
        source_buffer_filling_strategy=filling,
        decoding_buffer_size=size,
    )
    pipeline.start(use_main_thread=False)
    sink.await_results(4)
    began = time.monotonic()
    pipeline.terminate()
    assert time.monotonic() - began < 2
    for stream in pipeline.stats()["streams"]:
        assert stream["captured"] == stream["delivered"] + sum(stream["dropped"].values())


def test_every_frame_of_a_camera_is_delivered_in_order_where_that_was_asked_for() -> None:
    def slow(frames: list[VideoFrame]) -> list[Any]:
        time.sleep(0.015)
        return list(numbers(frames))

    seen: list[int] = []
    pipeline = InferencePipeline.init_with_custom_logic(
        Camera(fps=60),
        slow,
        on_prediction=lambda _, frame: seen.append(frame.frame_id),
        video_processing_mode="every_frame",
    )
    with pipeline:
        until(lambda: len(seen) >= 30)
    assert seen[:30] == list(range(1, 31))


def test_a_frame_over_its_staleness_budget_is_dropped_and_named() -> None:
    def slow(frames: list[VideoFrame]) -> list[Any]:
        time.sleep(0.1)
        return list(numbers(frames))

    sink = Collector()
    pipeline = InferencePipeline.init_with_custom_logic(
        [Camera(fps=15), Camera(fps=15), Camera(fps=15)],
        lambda frames: slow(frames[:1]) + [None] * (len(frames) - 1),
        sinks=[sink],
        max_staleness=0.02,
    )
    with pipeline:
        sink.await_results(10)
    dropped = [s["dropped"] for s in pipeline.stats()["streams"]]
    assert sum(causes.get("stale", 0) for causes in dropped) > 0
