"""Real RTSP cameras through the whole pipeline: real rates, bounded age, exact accounts, an end."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from streamkit import InferencePipeline
from streamkit.errors import SourceError, StreamErrorCode
from streamkit.frame import VideoFrame
from streamkit.predictions import Result
from tests.cameras import camera
from tests.clips import clip
from tests.fakes import Collector, Updates, numbers, until

pytestmark = pytest.mark.rtsp


@pytest.fixture(scope="module")
def declares_30(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("clips") / "thirty.mp4", frames=60, fps=30, gop=30)


def pipeline_of(sources: Any, **options: Any) -> InferencePipeline:
    options.setdefault("on_video_frame", numbers)
    return InferencePipeline.init_with_custom_logic(sources, **options)


def captured_rate(results: list[Result], source_id: int = 0) -> float:
    """Frames a second of the source, by arrival: the median over windows of a second, so that
    moments in which the machine did something else do not count, without the burst a connection
    begins with. Ids count what a newer frame replaced, too; see ``assert_nearly_all``.
    """
    at = [
        (r.frame.captured_at, r.frame.frame_id) for r in results if r.frame.source_id == source_id
    ]
    begin = at[0][0] + 1.0
    last = {int(when - begin): (when, number) for when, number in at if when >= begin}
    ends = list(last.values())[:-1]
    assert len(ends) >= 9, "too short to tell"
    return statistics.median((n - m) / (b - a) for (a, m), (b, n) in pairwise(ends))


def assert_nearly_all(pipeline: InferencePipeline, share: float = 0.8) -> None:
    """Frames were delivered, but for those that were replaced while the machine was busy."""
    for stream in pipeline.stats()["streams"]:
        assert set(stream["dropped"]) <= {"newer", "stopped"}
        assert stream["delivered"] >= share * stream["captured"]


def assert_accounted(pipeline: InferencePipeline) -> None:
    for stream in pipeline.stats()["streams"]:
        assert stream["in_flight"] == 0
        assert stream["captured"] == stream["delivered"] + sum(stream["dropped"].values())


@pytest.mark.parametrize("rate", [29.5, 25.0, 15.0])
def test_a_camera_is_delivered_at_the_rate_it_has_not_the_one_it_declares(
    declares_30: Path, rate: float
) -> None:
    sink = Collector()
    with camera(declares_30, real_fps=rate) as cam, pipeline_of(cam.url, sinks=[sink]) as pipeline:
        sink.await_results(round(rate * 11.5), timeout=40)
    assert captured_rate(sink.results) == pytest.approx(rate, rel=0.02)
    assert_nearly_all(pipeline)
    assert_accounted(pipeline)


def test_max_fps_of_25_from_30_is_25(declares_30: Path) -> None:
    sink = Collector()
    with (
        camera(declares_30, real_fps=30) as cam,
        pipeline_of(cam.url, sinks=[sink], max_fps=25) as pipeline,
    ):
        sink.await_results(25 * 12, timeout=40)
    assert captured_rate(sink.results) == pytest.approx(30, rel=0.02)
    stream = pipeline.stats()["streams"][0]
    thinned = stream["dropped"]["rate"]
    assert thinned / stream["captured"] == pytest.approx(1 - 25 / 30, rel=0.1)
    assert_accounted(pipeline)


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_behind_a_model_of_5_fps_frames_stay_fresh_for_a_minute(declares_30: Path) -> None:
    """Age below two model times and a frame interval; every frame accounted for; memory flat."""
    ages: list[float] = []
    memory: list[int] = []

    def slow(frames: list[VideoFrame]) -> list[None]:
        time.sleep(0.2)
        return [None] * len(frames)

    def note(_prediction: Any, frame: VideoFrame) -> None:
        ages.append(frame.age)
        memory.append(resident())
        if len(ages) * 0.2 > 60:
            pipeline.terminate()

    with camera(declares_30, real_fps=30) as cam:
        pipeline = pipeline_of(cam.url, on_video_frame=slow, on_prediction=note)
        pipeline.start()
        pipeline.join()
    assert len(ages) == pytest.approx(301, abs=5)
    bound = 2 * 0.2 + 1 / 30
    assert sorted(ages)[int(0.99 * len(ages))] < bound
    assert max(ages) < 2 * bound, "not even where the machine itself stood still for a moment"
    assert max(memory[200:]) - max(memory[50:100]) < 8 * 2**20
    stats = pipeline.stats()["streams"][0]
    assert stats["captured"] > 1700
    assert_accounted(pipeline)


def resident() -> int:
    """Bytes of memory this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def test_three_cameras_keep_their_rates_and_one_that_stalls_holds_nobody(
    declares_30: Path,
) -> None:
    sink = Collector()
    with ExitStack() as stack:
        cams = [stack.enter_context(camera(declares_30, real_fps=fps)) for fps in (30, 30, 5)]
        pipeline = stack.enter_context(pipeline_of([cam.url for cam in cams], sinks=[sink]))
        until(lambda: len(sink.ids(2)) > 5 * 11.5, timeout=40)
        before = list(sink.results)
        cams[2].stall()
        sink.await_results(len(before) + round(60 * 11.5), timeout=40)
        after = sink.results[len(before) :]
    for number, rate in enumerate((30, 30)):
        assert captured_rate(before, number) == pytest.approx(rate, rel=0.02)
        assert captured_rate(after, number) == pytest.approx(rate, rel=0.02)
    assert captured_rate(before, 2) == pytest.approx(5, rel=0.04)
    assert_nearly_all(pipeline)
    assert_accounted(pipeline)


def test_a_sink_of_a_second_per_frame_changes_nothing_for_anybody_else(declares_30: Path) -> None:
    free, stuck = Collector(), Collector(before=lambda _: time.sleep(1.0))
    with (
        camera(declares_30, real_fps=30) as cam,
        pipeline_of(cam.url, sinks=[stuck, free]) as pipeline,
    ):
        free.await_results(round(30 * 11.5), timeout=40)
    assert captured_rate(free.results) == pytest.approx(30, rel=0.02)
    assert_nearly_all(pipeline)
    assert 6 <= len(stuck.results) <= 16
    assert_accounted(pipeline)


# -- losing and finding --------------------------------------------------------------------------


def test_a_camera_that_hangs_up_or_falls_silent_comes_back(declares_30: Path) -> None:
    updates, sink = Updates(), Collector()
    reference = {"read_timeout": 1.5}
    with camera(declares_30) as cam:
        pipeline = live(cam.url, reference, sinks=[sink], status_update_handlers=[updates])
        with pipeline:
            sink.await_results(10)
            cam.drop()
            updates.wait_for("SOURCE_RECOVERED")
            cam.stall()
            lost = updates.wait_for("SOURCE_CONNECTION_LOST", 2)
            assert lost.payload["code"] == "STREAM_TIMEOUT"
            cam.resume()
            updates.wait_for("SOURCE_RECOVERED", 2)
    assert sink.ids() == sorted(set(sink.ids()))
    assert pipeline.stats()["streams"][0]["reconnects"] == 2
    assert_accounted(pipeline)


def live(url: str, options: dict[str, Any], **more: Any) -> InferencePipeline:
    from streamkit.options import SourceReference

    return pipeline_of(SourceReference(url, options), **more)


# -- the end, in every state ---------------------------------------------------------------------


@contextmanager
def within_two_seconds() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 2.0


def black_hole() -> socket.socket:
    """A listener whose queue is full: connecting to it waits, like a dead address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    return listener


def test_terminate_while_connecting_to_an_address_that_never_answers() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(black_hole())
        port = listener.getsockname()[1]
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        pipeline = pipeline_of(f"rtsp://127.0.0.1:{port}/live")
        pipeline.start(use_main_thread=False)
        threading.Event().wait(0.5)
        with within_two_seconds():
            pipeline.terminate()
        assert not pipeline.running


def test_terminate_while_a_server_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        pipeline = pipeline_of(f"rtsp://127.0.0.1:{mute.getsockname()[1]}/live")
        pipeline.start(use_main_thread=False)
        connection, _ = mute.accept()
        with connection, within_two_seconds():
            pipeline.terminate()
        assert not pipeline.running


def test_terminate_while_reading_a_mute_camera_and_start_again(declares_30: Path) -> None:
    sink = Collector()
    with camera(declares_30) as cam:
        pipeline = pipeline_of(cam.url, sinks=[sink])
        for _ in range(2):
            seen = len(sink.results)
            pipeline.start(use_main_thread=False)
            sink.await_results(seen + 5)
            cam.stall()
            with within_two_seconds():
                pipeline.terminate()
            cam.resume()
    assert_accounted(pipeline)


@pytest.mark.parametrize(
    ("options", "path", "code"),
    [
        ({"auth": "digest"}, None, StreamErrorCode.AUTH_FAILED),
        ({"auth": "basic"}, None, StreamErrorCode.AUTH_FAILED),
        ({}, "/nowhere", StreamErrorCode.NOT_FOUND),
    ],
)
def test_a_required_camera_that_says_no_raises_with_the_reason(
    declares_30: Path, options: dict[str, str], path: str | None, code: StreamErrorCode
) -> None:
    with camera(declares_30, **options) as cam:  # type: ignore[arg-type]
        url = f"rtsp://user:wrong@127.0.0.1:{cam.port}{path or cam.path}"
        pipeline = pipeline_of(url, require_sources=True)
        with pytest.raises(SourceError) as caught:
            pipeline.start()
    assert caught.value.code is code
    assert "wrong" not in str(caught.value)


def test_a_required_camera_that_nobody_serves_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    pipeline = pipeline_of(f"rtsp://127.0.0.1:{port}/live", require_sources=True)
    with pytest.raises(SourceError) as caught:
        pipeline.start()
    assert caught.value.code is StreamErrorCode.REFUSED
