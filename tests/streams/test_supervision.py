"""A stream is lost, stuck, frozen, damaged, changed: told once, with reasons, and it comes back."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from streamkit import InferencePipeline
from streamkit.errors import SourceConnectionError, SourceError, StreamErrorCode
from streamkit.sources.base import Capture, Captures, Source, SourceProperties
from streamkit.streams.options import StreamOptions
from streamkit.streams.retry import Retry
from streamkit.streams.state import StateMachine, StreamState
from tests.fakes import Camera, Collector, Updates, numbers, picture, until

QUICK: dict[str, float] = {
    "restart_delay": 0.01,
    "restart_delay_max": 0.02,
    "wrong_delay": 0.01,
    "wrong_delay_max": 0.02,
    "auth_delay": 0.01,
    "auth_delay_max": 0.02,
    "stall_timeout": 0.15,
    "first_frame_timeout": 0.3,
    "stable_after": 0.05,
}


@pytest.fixture(autouse=True)
def _quick_patrol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamkit.run._ROUND", 0.02)
    monkeypatch.setattr("streamkit.streams.reading._GOODBYE", 0.05)


class Scripted(Source):
    """A live source that does what the script says next; every new one goes on in the script.

    When the script is over it gives pictures until it is interrupted.
    """

    live = True

    def __init__(self, script: Iterator[tuple[Any, ...]], made: list[Scripted]) -> None:
        self.reference = f"camera {len(made)}"
        self.properties: SourceProperties | None = None
        self.interrupted = threading.Event()
        self.wake, self.woke = threading.Event(), threading.Event()
        self.sent = self.reads = 0
        self._script = script
        made.append(self)

    def read(self) -> Captures:
        self.properties = SourceProperties(8, 8, -1, False, 25.0)
        self.reads += 1
        while not self.interrupted.is_set():
            what, *how = next(self._script, ("pictures", 10))
            yield from getattr(self, what)(*how)

    def pictures(self, count: int) -> Iterator[Capture]:
        for _ in range(count):
            if self.interrupted.wait(0.002):
                return
            yield self._capture(picture(random.randrange(250)))

    def frozen(self, count: int) -> Iterator[Capture]:
        for _ in range(count):
            if self.interrupted.wait(0.004):
                return
            yield self._capture(picture(128))

    def concealed(self, count: int) -> Iterator[Capture]:
        for number in range(count):
            if self.interrupted.wait(0.002):
                return
            yield Capture(picture(number), datetime.now(UTC), concealed=True)

    def larger(self, count: int) -> Iterator[Capture]:
        for number in range(count):
            yield self._capture(np.full((16, 12, 3), number % 250, np.uint8))

    def lost(self, code: StreamErrorCode = StreamErrorCode.LOST) -> Iterator[Capture]:
        raise SourceError(f"{self.reference}: {code}", code)
        yield

    def refused(self, code: StreamErrorCode) -> Iterator[Capture]:
        raise SourceConnectionError(f"{self.reference}: {code}", code)
        yield

    def silent(self) -> Iterator[Capture]:
        """Nothing comes, but it can be interrupted."""
        self.interrupted.wait(20)
        return
        yield

    def pause(self, seconds: float) -> Iterator[Capture]:
        """Nothing comes for a while."""
        self.interrupted.wait(seconds)
        return
        yield

    def hangs(self, seconds: float) -> Iterator[Capture]:
        """Sits in a native call, deaf to everything, and then has a picture after all."""
        self.wake.wait(seconds)
        self.woke.set()
        yield self._capture(picture(7))

    def _capture(self, image: Any) -> Capture:
        self.sent += 1
        return Capture(image, datetime.now(UTC))

    def interrupt(self) -> None:
        self.interrupted.set()


def scripted(
    *steps: tuple[Any, ...], **options: Any
) -> tuple[InferencePipeline, Collector, Updates, list[Scripted]]:
    """A pipeline over one source of that script, with all times short."""
    from streamkit.options import SourceReference

    made: list[Scripted] = []
    script, sink, updates = iter(steps), Collector(), Updates()
    reference = SourceReference(Camera(), QUICK | {"frozen_after": None} | options)
    pipeline = InferencePipeline.init_with_custom_logic(
        reference, on_video_frame=numbers, sinks=[sink], status_update_handlers=[updates]
    )
    pipeline._roster.streams[0]._exchange._open = lambda: Scripted(script, made)
    return pipeline, sink, updates, made


def stats_of(pipeline: InferencePipeline) -> dict[str, Any]:
    found: dict[str, Any] = pipeline.stats()["streams"][0]
    return found


def assert_accounted(pipeline: InferencePipeline) -> None:
    stats = stats_of(pipeline)
    assert stats["in_flight"] == 0
    assert stats["captured"] == stats["delivered"] + sum(stats["dropped"].values())


# -- outages -------------------------------------------------------------------------------------


def test_an_outage_is_told_once_however_many_tries_it_takes_and_so_is_its_end() -> None:
    refused = ("refused", StreamErrorCode.REFUSED)
    pipeline, sink, updates, _ = scripted(("pictures", 5), ("lost",), *[refused] * 4)
    with pipeline:
        sink.await_results(20)
    lost = updates.of("SOURCE_LOST")
    assert [u.payload["code"] for u in lost] == ["STREAM_LOST"]
    assert lost[0].payload["connected"]
    assert lost[0].payload["message"] == "camera 0: STREAM_LOST"
    assert len(updates.of("SOURCE_CONNECTION_LOST")) == 1
    assert len(updates.of("SOURCE_CONNECTION_ATTEMPT_FAILED")) == 4
    back = [u.payload for u in updates.of("SOURCE_RECOVERED")]
    assert [(b["recovered_from"], b["code"]) for b in back] == [("lost", "STREAM_LOST")]
    stats = stats_of(pipeline)
    assert (stats["outages"], stats["reconnects"]) == (1, 1)
    assert stats["downtime"] == pytest.approx(back[0]["downtime"], abs=0.01)
    assert_accounted(pipeline)


def test_a_camera_that_was_never_there_is_an_outage_too_with_its_reason_in_the_stats() -> None:
    refused = ("refused", StreamErrorCode.AUTH_FAILED)
    pipeline, _, updates, _ = scripted(refused, auth_delay=30.0, auth_delay_max=300.0)
    with pipeline:
        lost = updates.wait_for("SOURCE_LOST").payload
        assert (lost["code"], lost["connected"]) == ("STREAM_AUTH_FAILED", False)
        assert 15 <= lost["next_try_in"] <= 30, "cameras lock out who tries too often"
        stats = stats_of(pipeline)
        assert stats["state"] == "RESTARTING"
        assert (stats["code"], stats["reason"]) == (
            "STREAM_AUTH_FAILED",
            "camera 0: STREAM_AUTH_FAILED",
        )
        assert 14 <= stats["next_try_in"] <= 30
        assert 0 <= stats["since"] < 5
        assert stats["downtime"] > 0
        began = time.monotonic()
    assert time.monotonic() - began < 2, "terminate does not wait for the next try"
    assert stats_of(pipeline)["state"] == "ENDED"
    assert stats_of(pipeline)["next_try_in"] is None


def test_downtime_stands_still_once_the_run_is_over() -> None:
    pipeline, _, updates, _ = scripted(("pictures", 3), ("lost",), restart_delay=9.0)
    with pipeline:
        updates.wait_for("SOURCE_LOST")
    first = stats_of(pipeline)["downtime"]
    assert first > 0
    assert stats_of(pipeline)["downtime"] == first


def test_an_outage_is_one_line_in_the_log_in_plain_words(caplog: pytest.LogCaptureFixture) -> None:
    pipeline, _, updates, _ = scripted(("pictures", 3), ("lost",), restart_delay=5.0, name="gate")
    with caplog.at_level(logging.WARNING, "streamkit.streams.supervisor"), pipeline:
        updates.wait_for("SOURCE_LOST")
        until(lambda: bool(caplog.records))
    line = caplog.records[0].getMessage()
    assert line.startswith("gate: camera 0: STREAM_LOST; next try in ")


def test_a_storm_of_losses_is_at_most_a_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    pipeline, _, updates, _ = scripted(
        *[step for _ in range(30) for step in (("pictures", 1), ("lost",))]
    )
    began = time.monotonic()
    with caplog.at_level(logging.WARNING, "streamkit.streams.supervisor"), pipeline:
        updates.wait_for("SOURCE_CONNECTION_LOST", 25)
    assert len(caplog.records) <= 1 + time.monotonic() - began


def test_a_pause_is_no_downtime_and_resuming_a_lost_stream_does_not_call_it_running() -> None:
    pipeline, _, updates, _ = scripted(("pictures", 3), ("lost",), restart_delay=60.0)
    with pipeline:
        updates.wait_for("SOURCE_LOST")
        pipeline.mute_stream(0)
        assert stats_of(pipeline)["reason"] == "camera 0: STREAM_LOST"
        pipeline.pause_stream(0)
        assert stats_of(pipeline)["reason"] == "paused on request"
        pipeline.resume_stream(0)
        stats = stats_of(pipeline)
        assert (stats["state"], stats["code"]) == ("RESTARTING", "STREAM_LOST")


def test_what_waits_from_before_an_outage_is_dropped_when_pictures_come_again() -> None:
    going, release = threading.Event(), threading.Event()

    def slow(frames: Any) -> list[Any]:
        going.set()
        release.wait(10)
        return [None] * len(frames)

    pipeline, sink, updates, _ = scripted(("pictures", 5), ("lost",), ("pictures", 1))
    pipeline._engine._function = slow  # type: ignore[attr-defined]
    with pipeline:
        going.wait(5)
        updates.wait_for("SOURCE_RECOVERED")
        release.set()
        sink.await_results(2)
    assert stats_of(pipeline)["dropped"]["stale"] >= 1
    assert_accounted(pipeline)


# -- waits ---------------------------------------------------------------------------------------


def failures(retry: Retry, code: StreamErrorCode, count: int) -> list[float]:
    return [retry.failed(code, float(n)) for n in range(count)]


def test_the_first_try_after_a_loss_comes_within_a_second_and_later_ones_wait_up_to_a_cap() -> None:
    for _ in range(50):
        waits = failures(Retry(StreamOptions()), StreamErrorCode.LOST, 9)
        assert waits[0] <= 1.0
        for wait, nominal in zip(waits, (1, 2, 4, 8, 16, 30, 30, 30, 30), strict=True):
            assert nominal / 2 <= wait <= nominal


@pytest.mark.parametrize(
    ("code", "first", "longest"),
    [
        (StreamErrorCode.AUTH_FAILED, 30, 300),
        (StreamErrorCode.NOT_FOUND, 5, 60),
        (StreamErrorCode.TLS_CERTIFICATE, 5, 60),
        (StreamErrorCode.CODEC_UNSUPPORTED, 5, 60),
        (StreamErrorCode.NO_VIDEO, 5, 60),
        (StreamErrorCode.TLS_HANDSHAKE, 1, 30),
        (StreamErrorCode.TIMEOUT, 1, 30),
        (StreamErrorCode.FROZEN, 1, 30),
    ],
)
def test_what_only_a_person_can_change_is_tried_less_often(
    code: StreamErrorCode, first: float, longest: float
) -> None:
    waits = failures(Retry(StreamOptions()), code, 10)
    assert first / 2 <= waits[0] <= first
    assert longest / 2 <= waits[-1] <= longest


def test_a_camera_that_flaps_is_not_hammered_and_one_that_stays_starts_anew() -> None:
    retry, now, waits = Retry(StreamOptions()), 0.0, []
    for _ in range(8):
        retry.worked(now)
        now += 2.0
        waits.append(retry.failed(StreamErrorCode.LOST, now))
        now += waits[-1]
    assert retry.looping
    assert min(waits[4:]) >= 15
    retry.worked(now)
    assert not retry.stable(now + 2 * waits[-1] - 0.1)
    assert retry.stable(now + 2 * waits[-1] + 0.1)
    assert retry.failed(StreamErrorCode.LOST, now + 100) <= 1.0
    assert not retry.looping


def test_five_losses_in_a_minute_go_to_the_cap_at_once_and_failed_tries_are_no_losses() -> None:
    retry = Retry(StreamOptions(restart_delay=0.1, stable_after=1.0))
    for second in range(5):
        retry.worked(second * 1.5)
        wait = retry.failed(StreamErrorCode.LOST, second * 1.5 + 0.5)
    assert wait >= 15
    other = Retry(StreamOptions(restart_delay=0.1, restart_delay_max=100.0))
    other.worked(0.0)
    failures(other, StreamErrorCode.REFUSED, 6)
    assert not other.looping


def test_that_it_keeps_failing_is_told_once_and_once_that_it_has_become_stable() -> None:
    flaps = [step for _ in range(8) for step in (("pictures", 2), ("lost",))]
    pipeline, _, updates, _ = scripted(*flaps, stable_after=0.3)
    with pipeline:
        degraded = updates.wait_for("SOURCE_DEGRADED").payload
        assert degraded["code"] == "STREAM_UNSTABLE"
        assert "keeps failing" in degraded["what"]
        updates.wait_for("SOURCE_CONNECTION_LOST", 8)
        assert "keeps failing" in stats_of(pipeline)["reason"]
        assert stats_of(pipeline)["degraded"] == "STREAM_UNSTABLE"
        until(lambda: stats_of(pipeline)["degraded"] is None)
        assert stats_of(pipeline)["reason"] == "pictures are coming"
    assert len(updates.of("SOURCE_DEGRADED")) == 1
    healed = [u for u in updates.of("SOURCE_RECOVERED") if u.payload["code"] == "STREAM_UNSTABLE"]
    assert [u.payload["recovered_from"] for u in healed] == ["degraded"]
    assert len(updates.of("SOURCE_LOST")) == 8


# -- stuck ---------------------------------------------------------------------------------------


def test_a_connection_without_a_first_picture_is_lost_and_opened_anew() -> None:
    pipeline, sink, updates, made = scripted(("silent",))
    with pipeline:
        lost = updates.wait_for("SOURCE_LOST").payload
        sink.await_results(5)
    assert lost["code"] == "STREAM_TIMEOUT"
    assert "no picture came within 0.3 s of connecting" in lost["message"]
    assert len(made) == 2
    assert made[0].interrupted.is_set()
    assert_accounted(pipeline)


def test_a_stream_that_stalls_is_lost_and_opened_anew_and_ids_go_on() -> None:
    pipeline, sink, updates, made = scripted(("pictures", 5), ("silent",))
    with pipeline:
        lost = updates.wait_for("SOURCE_LOST").payload
        sink.await_results(20)
        assert stats_of(pipeline)["left_behind"] == 0
    assert "no picture for 0.15 s" in lost["message"]
    assert len(updates.of("SOURCE_CONNECTION_LOST")) == 1
    assert sink.ids() == sorted(set(sink.ids()))
    assert len(made) == 2
    assert_accounted(pipeline)


def test_who_goes_on_before_the_first_picture_came_still_waits_for_it() -> None:
    pipeline, sink, _, made = scripted(("hangs", 20.0), first_frame_timeout=20.0)
    with pipeline:
        until(lambda: bool(made) and made[0].reads == 1)
        pipeline.mute_stream(0)
        pipeline.resume_stream(0)
        assert stats_of(pipeline)["state"] == "INITIALISING"
        made[0].wake.set()
        sink.await_results(3)
        assert stats_of(pipeline)["state"] == "RUNNING"


def test_time_in_which_the_process_was_stopped_is_no_stall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streamkit.run._ROUND", 0.25)  # nobody looks for longer than a stall takes
    monkeypatch.setattr("streamkit.streams.reading._ASLEEP", 0.2)
    pipeline, sink, updates, made = scripted(("pictures", 5), ("pause", 0.6))
    with pipeline:
        sink.await_results(20)
    assert len(made) == 1
    assert not updates.of("SOURCE_LOST")


def test_a_native_call_that_hangs_holds_nobody_and_does_no_harm_when_it_wakes() -> None:
    pipeline, sink, updates, made = scripted(("pictures", 3), ("hangs", 20.0))
    with pipeline:
        updates.wait_for("SOURCE_RECOVERED")
        assert stats_of(pipeline)["left_behind"] == 1
        assert made[1].sent > 0
        made[0].wake.set()
        assert made[0].woke.wait(10)
        until(lambda: stats_of(pipeline)["left_behind"] == 0)
        sink.await_results(len(sink.results) + 10)
        assert stats_of(pipeline)["state"] == "RUNNING"
    assert made[0].sent == 4
    assert 7 not in {int(r.frame.image[0, 0, 0]) for r in sink.results[-5:]}
    assert stats_of(pipeline)["captured"] == sum(m.sent for m in made) - 1, (
        "its picture is nobody's"
    )
    assert_accounted(pipeline)


def test_not_more_than_a_few_threads_are_left_behind_and_then_it_says_why_it_waits() -> None:
    pipeline, sink, updates, made = scripted(*[("hangs", 20.0)] * 5, first_frame_timeout=0.1)
    with pipeline:
        until(lambda: stats_of(pipeline)["left_behind"] == 4)
        until(lambda: "4 of its threads" in stats_of(pipeline)["reason"])
        threads = [t for t in threading.enumerate() if t.name == "streamkit reader 0"]
        assert len(threads) <= 5
        for source in made:
            source.wake.set()
        until(lambda: len(made) > 4)
        made[4].wake.set()
        sink.await_results(5)
    assert len(updates.of("SOURCE_LOST")) == 1
    assert_accounted(pipeline)


def test_a_source_that_was_given_ready_made_is_waited_for_and_read_again() -> None:
    camera, sink, updates = Camera(), Collector(), Updates()
    from streamkit.options import SourceReference

    pipeline = InferencePipeline.init_with_custom_logic(
        SourceReference(camera, QUICK),
        on_video_frame=numbers,
        sinks=[sink],
        status_update_handlers=[updates],
    )
    with pipeline:
        sink.await_results(3)
        camera.silent.set()
        updates.wait_for("SOURCE_LOST")
        camera.silent.clear()
        updates.wait_for("SOURCE_RECOVERED")
        sink.await_results(len(sink.results) + 5)
        assert camera.opened == 2
        assert not camera.interrupted.is_set()
    assert_accounted(pipeline)


def test_a_paused_stream_that_is_stuck_is_let_go_and_nothing_is_told() -> None:
    pipeline, sink, updates, _ = scripted(("pictures", 3), ("silent",), stall_timeout=1.5)
    with pipeline:
        sink.await_results(3)
        pipeline.pause_stream(0)
        until(lambda: len(threads_of_readers()) == 2)
        pipeline.resume_stream(0)
        sink.await_results(len(sink.results) + 5)
    assert not updates.of("SOURCE_LOST")
    assert_accounted(pipeline)


def threads_of_readers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("streamkit reader")]


def test_a_required_camera_that_gives_no_first_picture_fails_the_start() -> None:
    from streamkit.options import SourceReference

    camera = Camera()
    camera.silent.set()
    pipeline = InferencePipeline.init_with_custom_logic(
        SourceReference(camera, QUICK), on_video_frame=numbers, require_sources=True
    )
    with pytest.raises(SourceError, match="no picture came within") as caught:
        pipeline.start()
    assert caught.value.code is StreamErrorCode.TIMEOUT
    assert stats_of(pipeline)["code"] == "STREAM_TIMEOUT"
    assert stats_of(pipeline)["state"] == "ERROR"


@pytest.mark.parametrize(
    "state", ["running", "silent", "hanging", "waiting", "crowded", "frozen", "muted", "paused"]
)
def test_terminate_within_two_seconds_in_every_state(state: str) -> None:
    script: dict[str, list[tuple[Any, ...]]] = {
        "silent": [("pictures", 3), ("silent",)],
        "hanging": [("pictures", 3), ("hangs", 20.0)],
        "waiting": [("lost", StreamErrorCode.AUTH_FAILED)],
        "crowded": [("hangs", 20.0)] * 6,
        "frozen": [("frozen", 10**6)],
    }
    pipeline, _, updates, made = scripted(
        *script.get(state, []), auth_delay=50.0, auth_delay_max=50.0, frozen_after=0.2
    )
    pipeline.start(use_main_thread=False)
    if state in script:
        updates.wait_for("SOURCE_LOST")
    else:
        until(lambda: stats_of(pipeline)["delivered"] > 3)
    if state == "crowded":
        until(lambda: "threads" in stats_of(pipeline)["reason"])
    if state == "muted":
        pipeline.mute_stream(0)
    if state == "paused":
        pipeline.pause_stream(0)
    began = time.monotonic()
    pipeline.terminate()
    assert time.monotonic() - began < 2
    assert not pipeline.running
    assert_accounted(pipeline)
    for source in made:
        source.wake.set()


@pytest.mark.parametrize("event", ["SOURCE_LOST", "SOURCE_RECOVERED", "SOURCE_DEGRADED"])
def test_a_listener_may_end_the_run_or_fail(event: str) -> None:
    def listen(update: Any) -> None:
        if update.event_type == event:
            pipeline.terminate()
            raise ValueError("a listener of no use")

    pipeline, _, updates, _ = scripted(("pictures", 3), ("concealed", 3), ("silent",))
    pipeline._reporter.add([listen])
    with pipeline:
        updates.wait_for(event)
        pipeline.join(timeout=5)
    assert_accounted(pipeline)


# -- wrong pictures ------------------------------------------------------------------------------


def test_a_frozen_camera_is_told_dropped_connected_anew_and_not_back_before_it_moves() -> None:
    frozen = [("frozen", 200)]
    pipeline, sink, updates, made = scripted(("pictures", 20), *frozen * 3, frozen_after=0.3)
    with pipeline:
        degraded = updates.wait_for("SOURCE_DEGRADED").payload
        assert degraded["code"] == "STREAM_FROZEN"
        assert degraded["since"] >= 0.3
        assert stats_of(pipeline)["degraded"] == "STREAM_FROZEN"
        assert stats_of(pipeline)["state"] == "RUNNING"
        lost = updates.wait_for("SOURCE_LOST").payload
        assert lost["code"] == "STREAM_FROZEN"
        back = updates.wait_for("SOURCE_RECOVERED").payload
        assert (back["recovered_from"], back["code"]) == ("lost", "STREAM_FROZEN")
        assert back["downtime"] > 0.3
        sink.await_results(len(sink.results) + 5)
    assert made[0].reads >= 2
    assert stats_of(pipeline)["dropped"]["frozen"] > 50
    lost_at = updates.of("SOURCE_LOST")[0].timestamp.timestamp()
    back_at = updates.of("SOURCE_RECOVERED")[0].timestamp.timestamp()
    between = [r for r in sink.results if lost_at < r.frame.timestamp.timestamp() < back_at - 0.01]
    assert not between, "no frozen picture is passed off as live"
    assert_accounted(pipeline)


def test_frozen_pictures_may_be_accepted() -> None:
    pipeline, sink, updates, made = scripted(
        ("frozen", 10**6), frozen_after=0.2, accept_frozen=True
    )
    with pipeline:
        updates.wait_for("SOURCE_DEGRADED")
        sink.await_results(len(sink.results) + 150)
        assert stats_of(pipeline)["degraded"] == "STREAM_FROZEN"
    assert len(made) == 1
    assert "frozen" not in stats_of(pipeline)["dropped"]


def test_concealed_pictures_are_dropped_and_told_and_may_be_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streamkit.streams.health._HOLDS", 0.3)
    for accepted in (False, True):
        pipeline, sink, updates, _ = scripted(
            ("pictures", 5), ("concealed", 9), accept_concealed=accepted
        )
        with pipeline:
            assert updates.wait_for("SOURCE_DEGRADED").payload["code"] == "STREAM_CORRUPT"
            assert stats_of(pipeline)["degraded"] == "STREAM_CORRUPT"
            sink.await_results(20)
            healed = updates.wait_for("SOURCE_RECOVERED").payload
            assert (healed["recovered_from"], healed["code"]) == ("degraded", "STREAM_CORRUPT")
        assert stats_of(pipeline)["dropped"].get("concealed", 0) == (0 if accepted else 9)
        assert not updates.of("SOURCE_LOST")
        assert_accounted(pipeline)


def test_a_stream_of_nothing_but_damage_is_lost_as_corrupt() -> None:
    pipeline, _, updates, made = scripted(("pictures", 3), ("concealed", 10**6))
    with pipeline:
        assert updates.wait_for("SOURCE_LOST").payload["code"] == "STREAM_CORRUPT"
        until(lambda: made[0].reads > 1)
    assert_accounted(pipeline)


def test_another_size_is_told_and_nothing_is_lost() -> None:
    pipeline, sink, updates, made = scripted(("pictures", 5), ("larger", 5))
    with pipeline:
        changed = updates.wait_for("SOURCE_CHANGED").payload
        assert changed["before"] == {"width": 8, "height": 8, "codec": None}
        assert changed["after"] == {"width": 12, "height": 16, "codec": None}
        updates.wait_for("SOURCE_CHANGED", 2)
        sink.await_results(8)
    assert len(made) == 1
    assert not updates.of("SOURCE_LOST")
    assert_accounted(pipeline)


# -- reasons -------------------------------------------------------------------------------------


def test_every_state_has_a_reason_in_words() -> None:
    from streamkit.events import Reporter

    machine = StateMachine(0, Reporter())
    assert machine.reason == "it was not started"
    for state in StreamState:
        machine._move(state)
        assert machine.reason
        assert time.monotonic() - machine.since < 5


# -- anything at all -----------------------------------------------------------------------------


def random_step(dice: random.Random) -> tuple[Any, ...]:
    some = dice.randrange(1, 12)
    codes = [code for code in StreamErrorCode if code is not StreamErrorCode.INTERRUPTED]
    return dice.choice(
        [
            ("pictures", some),
            ("pictures", some),
            ("frozen", some * 6),
            ("concealed", some),
            ("larger", some),
            ("lost", dice.choice(codes)),
            ("refused", dice.choice(codes)),
            ("silent",),
            ("hangs", dice.uniform(0.01, 0.12)),
        ]
    )


@pytest.mark.timeout(120)
def test_whatever_a_camera_does_the_account_is_exact_and_no_thread_is_left() -> None:
    before = set(threading.enumerate())
    for seed in range(25):
        run_at_random(seed)
    until(lambda: not {t for t in set(threading.enumerate()) - before if t.is_alive()})


def run_at_random(seed: int) -> None:
    dice = random.Random(seed)
    steps = [random_step(dice) for _ in range(dice.randrange(1, 9))]
    pipeline, sink, updates, _ = scripted(
        *steps,
        stall_timeout=0.04,
        first_frame_timeout=0.04,
        restart_delay=0.001,
        restart_delay_max=0.002,
        frozen_after=dice.choice([None, 0.05]),
    )
    with pipeline:
        for _ in range(dice.randrange(0, 40)):
            stats = stats_of(pipeline)
            total = stats["delivered"] + sum(stats["dropped"].values()) + stats["in_flight"]
            assert stats["captured"] == total, (seed, steps)
            assert stats["in_flight"] >= 0
            if dice.random() < 0.1:
                pipeline.pause_stream(0)
                pipeline.resume_stream(0)
            until(lambda: True)
            threading.Event().wait(0.005)
    assert_accounted(pipeline)
    ids = sink.ids()
    assert ids == sorted(set(ids)), (seed, steps)
    told = [u for u in updates.all if u.event_type in ("SOURCE_LOST", "SOURCE_RECOVERED")]
    kinds = [u.event_type for u in told if u.payload.get("recovered_from") != "degraded"]
    pairs = ["SOURCE_LOST", "SOURCE_RECOVERED"] * (len(kinds) // 2 + 1)
    assert kinds == pairs[: len(kinds)], (seed, steps)
