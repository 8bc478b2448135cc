"""Sinks that are called by the clock, told of streams beforehand, or waited for by nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from streamkit import InferencePipeline
from streamkit.errors import ConfigError
from streamkit.frame import VideoFrame
from streamkit.packets import Packets
from streamkit.predictions import Result
from tests import fakes


def seen(frames: list[VideoFrame]) -> list[Any]:
    return [None for _ in frames]


class Clockwork(fakes.Collector):
    """Remembers who called it, and on which thread."""

    every = 0.02

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__()
        self.ticks, self.fails = 0, fails
        self.threads: set[int] = set()
        self.told: list[tuple[int, str]] = []
        self.gone: list[int] = []

    def write(self, result: Result) -> None:
        self.threads.add(threading.get_ident())
        super().write(result)

    def tick(self) -> None:
        self.threads.add(threading.get_ident())
        self.ticks += 1
        if self.fails:
            raise ValueError("out of order")

    def follow(self, source_id: int, name: Callable[[], str], packets: Packets | None) -> None:
        del packets
        self.threads.add(threading.get_ident())
        assert not any(r.frame.source_id == source_id for r in self.results)
        self.told.append((source_id, name()))

    def forget(self, source_id: int) -> None:
        self.gone.append(source_id)


def test_a_sink_is_called_though_nothing_comes() -> None:
    camera, sink = fakes.Camera(), Clockwork()
    camera.silent.set()
    pipeline = InferencePipeline.init_with_custom_logic(
        camera, seen, sinks=[sink], stream={"name": "gate"}, keep_alive=True
    )
    with pipeline:
        fakes.until(lambda: sink.ticks > 5)
        assert sink.told == [(0, "gate")]
        assert not sink.results
        camera.silent.clear()
        sink.await_results(5)
        before = sink.ticks
        fakes.until(lambda: sink.ticks > before + 3)
        pipeline.remove_source(0)
        fakes.until(lambda: sink.gone == [0])
    assert len(sink.threads) == 1
    assert sink.closed_times == 1


def test_a_tick_that_fails_is_told_and_harms_nobody() -> None:
    sink, updates = Clockwork(fails=True), fakes.Updates()
    pipeline = InferencePipeline.init_with_custom_logic(
        fakes.Camera(), seen, sinks=[sink], status_update_handlers=[updates]
    )
    with pipeline:
        sink.await_results(20)
        fakes.until(lambda: sink.ticks > 3)

    assert "out of order" in str(pipeline.stats()["sinks"][0]["error"])
    assert updates.of("INFERENCE_RESULTS_DISPATCHING_ERROR")


def test_a_file_does_not_wait_for_a_sink_that_wants_nobody_to() -> None:
    stuck = threading.Event()

    class Slow(fakes.Collector):
        waited_for = False

    sink = Slow(before=lambda _: stuck.wait(20))
    pipeline = InferencePipeline.init_with_custom_logic(
        fakes.Clip(100), seen, sinks=[sink], on_result=lambda _: None
    )
    pipeline.start(use_main_thread=False)
    fakes.until(lambda: pipeline.stats()["streams"][0]["delivered"] == 100)
    stuck.set()
    pipeline.join()

    assert sum(pipeline.stats()["sinks"][1]["dropped"].values()) >= 90


def test_a_sink_that_records_packets_is_refused_where_there_are_none() -> None:
    class Recorder(fakes.Collector):
        takes_packets = True

    pipeline = InferencePipeline.init_with_custom_logic(fakes.Camera(), seen, sinks=[Recorder()])

    with pytest.raises(ConfigError, match="keep_packets: true"):
        pipeline.start()
    assert not pipeline.running
