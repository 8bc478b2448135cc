"""Sinks that are called by the clock, told of streams beforehand, or waited for by nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from streamkit import InferencePipeline
from streamkit.errors import ConfigError
from streamkit.frame import VideoFrame
from streamkit.options import SourceReference
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
        known = source_id in self.gone
        assert known or not any(r.frame.source_id == source_id for r in self.results)
        self.told.append((source_id, name()))

    def known(self) -> list[int]:
        return [source_id for source_id, _ in self.told]

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
    pipeline = InferencePipeline.init_with_custom_logic(fakes.Camera(), seen, sinks=[Recorder()])

    with pytest.raises(ConfigError, match="keep_packets: true"):
        pipeline.start()
    assert not pipeline.running


class Recorder(Clockwork):
    """Records packets, of those sources that it knows."""

    takes_packets = True


class Keeps(fakes.Camera):
    """Keeps its packets; it has none."""

    def keep(self, rings: object) -> None:
        pass


class For:
    """What a document's sink is made from: for some sources."""

    def __init__(self, sink: Recorder, *ids: int) -> None:
        self.sink, self.ids = sink, ids

    def __call__(self) -> Recorder:
        return self.sink

    def wants(self, key: str | None) -> bool:
        return key is not None and int(key) in self.ids


def test_a_recorder_that_is_fed_otherwise_forgets_whom_it_was_fed_by() -> None:
    recorder = Recorder()
    cameras = [SourceReference(Keeps(), key=str(number)) for number in range(2)]
    first, second = For(recorder, 0), For(recorder, 1)
    pipeline = InferencePipeline.init_with_custom_logic(
        cameras, seen, sinks=[first], stream={"keep_packets": True}
    )
    with pipeline:
        recorder.await_results(2)
        pipeline.rewire_sink(first, second)
        fakes.until(lambda: recorder.gone == [0] and len(recorder.told) == 2)
        pipeline.rewire_sink(second, first)
        fakes.until(lambda: recorder.gone == [0, 1] and recorder.known() == [0, 1, 0])


def test_a_recorder_that_comes_too_early_is_not_there_afterwards() -> None:
    with InferencePipeline.init_with_custom_logic(fakes.Camera(), seen) as pipeline:
        recorder = Recorder()
        with pytest.raises(ConfigError, match="keep_packets: true"):
            pipeline.add_sink(recorder)
        assert pipeline.stats()["sinks"] == []
        assert recorder.closed_times == 1


def test_a_sink_that_comes_after_a_source_has_ended_does_not_wait_for_it() -> None:
    camera, sink = fakes.Camera(), fakes.Collector()
    pipeline = InferencePipeline.init_with_custom_logic([fakes.Clip(3), camera], seen)
    with pipeline:
        fakes.until(lambda: not _alive("streamkit stream 0"))
        pipeline.add_sink(sink)
        sink.await_results(2)
        pipeline.remove_source(1)
        pipeline.join(10)


def _alive(name: str) -> bool:
    return any(thread.name == name for thread in threading.enumerate())
