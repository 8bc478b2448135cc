"""Every fault of the lab through a whole pipeline: told in time, by its name, and over by itself.

Several cameras break at once, each in its own way, beside one that does not; what became of each
is then asked fault by fault. ``BATCHES`` states what has to be told, and within how many seconds.
"""

from __future__ import annotations

import logging
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from streamkit import InferencePipeline
from streamkit.chaos import burned
from streamkit.chaos.camera import Camera
from streamkit.chaos.faults import FAULTS
from streamkit.chaos.lab import Lab, LabCamera
from streamkit.events import StatusUpdate
from streamkit.frame import Clock, VideoFrame
from streamkit.options import SourceReference
from streamkit.predictions import Result
from tests.fakes import until
from tests.needs import needs_rtsp_server

pytestmark = [pytest.mark.rtsp, pytest.mark.timeout(180)]

OPEN, STALLED, FROZEN = 2.0, 3.0, 1.5
OPTIONS: dict[str, Any] = {
    "open_timeout": OPEN, "read_timeout": 1.5, "restart_delay": 0.1, "restart_delay_max": 0.3,
    "wrong_delay": 0.2, "wrong_delay_max": 0.4, "auth_delay": 0.2, "auth_delay_max": 0.4,
    "first_frame_timeout": 6.0, "stall_timeout": STALLED, "frozen_after": FROZEN,
    "stable_after": 2.0,
}  # fmt: skip
FPS = 12
HOLDS = 3.0
"""Seconds that a picture has to be black, covered, or clean again (``streams.health``)."""
SLACK = 5.0
"""Seconds that the machine, which others use too, may add to a time that is stated."""
LETTERS = {
    "SOURCE_LOST": "L", "SOURCE_RECOVERED": "R", "SOURCE_DEGRADED": "D", "SOURCE_CHANGED": "C",
}  # fmt: skip
ATTEMPT = "SOURCE_CONNECTION_ATTEMPT_FAILED"

Sign = Callable[["Watched"], bool]
"""Whether a fault that takes nothing from the stream is seen all the same."""


@dataclass(frozen=True)
class Row:
    """One fault: by which code it is told, how soon, and the whole story that listeners hear."""

    fault: str
    within: float
    """Seconds until it is told, by the options above."""
    code: str = ""
    story: str = "LR"
    """A pattern of events: Lost, Recovered, Degraded, Changed."""
    sign: Sign | None = None
    camera: str = "plain"
    params: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    """How long it lasts by itself."""
    hang_up: bool = False
    """It concerns only who connects anew."""
    alone: bool = False
    """It ends by itself, or does not matter any more."""
    back: float = 2.5
    """Seconds after its end until all is well."""
    seen: int = 6
    """Pictures that are known before it begins."""

    @property
    def name(self) -> str:
        lasting = [] if self.seconds is None else [f"{self.seconds:g}s"]
        return "-".join([self.fault, *map(str, self.params.values()), *lasting, self.camera])


def lost(fault: str, within: float, code: str, **more: Any) -> Row:
    return Row(fault, within, f"STREAM_{code}", **more)


def bad(fault: str, within: float, code: str, **more: Any) -> Row:
    more = {"story": "(DL?R)+", "back": 2 * HOLDS, **more}
    return Row(fault, within, f"STREAM_{code}", **more)


def changed(watched: Watched) -> bool:
    return "C" in watched.story


def slower(watched: Watched) -> bool:
    return watched.more_than(3) and watched.seen[-1].measured_fps < 0.7 * FPS


def begun_anew(watched: Watched) -> bool:
    return watched.logged("its timestamps began anew") and watched.more_than(12)


def clock_is_wrong(watched: Watched) -> bool:
    return watched.logged("its clock is 60.0 s ahead") and watched.more_than(30)


def no_reports(watched: Watched) -> bool:
    anew = [one.clock for one in watched.seen[-30:]]
    return "R" in watched.story and watched.more_than(36) and Clock.RTCP not in anew


def goes_on(watched: Watched) -> bool:
    return watched.more_than(24)


BATCHES: list[list[Row]] = [
    [
        lost("refuse", 1.0, "REFUSED"),
        lost("silence", OPEN + 1.0, "TIMEOUT"),
        lost("hang_up", 0.5, "LOST", alone=True),
        lost("flap", 9.0, "UNSTABLE", story="(LR)+LD(RL)*RR", back=6.0,
             params={"up": 0.8, "down": 0.3}),
        lost("reboot", 1.0, "REFUSED", params={"down": 1.5}, alone=True, back=3.5),
        lost("cut_handshake", 1.0, "CONNECTION_FAILED"),
        lost("slow_sdp", OPEN + 1.0, "TIMEOUT", params={"delay": 30.0}, back=OPEN + 2.0),
        lost("slow_sdp", 0.5, "LOST", params={"delay": 0.5}, alone=True),
        lost("end_of_stream", 0.5, "LOST", alone=True),
    ],
    [
        lost("wrong_password", 1.0, "AUTH_FAILED", camera="digest"),
        lost("no_tls", 1.0, "TLS_HANDSHAKE", camera="tls"),
        lost("wrong_certificate", 1.0, "TLS_CERTIFICATE", camera="tls"),
        lost("not_found", 1.0, "NOT_FOUND"),
        lost("audio_only", 1.5, "NO_VIDEO"),
        Row("codec", 1.0, story="LCRLCR", sign=changed),
        Row("resolution", 1.0, story="CC", sign=changed),
        lost("stall", STALLED, "TIMEOUT", back=OPEN + 2.0),
        bad("freeze", FROZEN + 1.0, "FROZEN"),
    ],
    [
        lost("mid_gop", STALLED, "TIMEOUT", story="(LR)+", back=OPEN + 2.0),
        bad("mid_gop", 2.0, "CORRUPT", story="DR", seconds=0.8, alone=True),
        bad("black", HOLDS + 0.5, "BLACK", story="DR", camera="clock", seen=8 * FPS),
        bad("covered", HOLDS + 0.5, "COVERED", story="DR", camera="clock", seen=8 * FPS),
        Row("fps", 6.0, story="", sign=slower, params={"fps": 4.0}, seen=3 * FPS),
        Row("jump", 2.0, story="", sign=begun_anew, camera="clock", alone=True, seen=3 * FPS),
        Row("reset", 2.0, story="", sign=begun_anew, camera="clock", alone=True, seen=3 * FPS),
        bad("drop_packets", 3.0, "CORRUPT", params={"percent": 6.0}),
        bad("reorder_packets", 3.0, "CORRUPT", params={"percent": 6.0}),
        Row("reorder_packets", 3.0, story="(DR)?", sign=goes_on, params={"percent": 6.0},
            camera="udp"),  # what comes too late on a busy machine is missing, and told
        bad("corrupt_packets", 5.0, "CORRUPT", params={"percent": 6.0}),
        Row("clock_skew", 6.0, sign=clock_is_wrong, camera="clock", hang_up=True),
        Row("no_reports", 5.0, sign=no_reports, camera="clock", hang_up=True),
    ],
]  # fmt: skip
ROWS = [(number, row) for number, batch in enumerate(BATCHES) for row in batch]
NAMES = [row.name for _, row in ROWS]
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"pattern": "ball"},
    "digest": {"pattern": "ball", "auth": "digest"},
    "tls": {"pattern": "ball", "tls": True},
    "udp": {"pattern": "clock", "transport": "udp"},
    "clock": {"pattern": "clock"},
}


# -- looking at it -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What is kept of a frame."""

    frame_id: int
    at: float
    clock: Clock
    measured_fps: float
    error: float | None
    """Capture time told less the one burned in; ``None`` where none can be read."""
    uncertainty: float


@dataclass
class Watched:
    """One stream of a pipeline, from outside."""

    camera: LabCamera
    row: Row | None = None
    seen: list[Seen] = field(default_factory=list)
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Kinds and payloads of its updates about itself."""
    counted: Counter[str] = field(default_factory=Counter)
    log: list[str] = field(default_factory=list)
    """Of all streams."""
    before: int = 0
    detected: float | None = None
    """Seconds until the fault was told."""
    back: float | None = None
    """Seconds from its end until all was well."""
    stats: dict[str, Any] = field(default_factory=dict)

    @property
    def story(self) -> str:
        return "".join(LETTERS[kind] for kind, _ in self.told if kind in LETTERS)

    @property
    def codes(self) -> set[str]:
        return {payload["code"] for _, payload in self.told if "code" in payload}

    def logged(self, text: str) -> bool:
        return any(f":{self.camera.port}/" in line and text in line for line in list(self.log))

    def more_than(self, count: int) -> bool:
        """So many pictures have come since the fault began."""
        return len(self.seen) > self.before + count

    def noticed(self) -> bool:
        assert self.row is not None
        if self.row.sign is not None:
            return self.row.sign(self)
        return self.row.code in self.codes

    def well(self) -> bool:
        """The whole story has been told, and pictures come again."""
        assert self.row is not None
        return bool(re.fullmatch(self.row.story, self.story)) and self.more_than(4)


class Beside:
    """A pipeline over cameras of a lab, and what it does to each."""

    def __init__(self, cameras: list[tuple[LabCamera, Row | None]]) -> None:
        self.log: list[str] = []
        self.streams = [Watched(camera, row, log=self.log) for camera, row in cameras]
        self.pipeline = InferencePipeline.init_with_custom_logic(
            [reference(camera) for camera, _ in cameras],
            on_video_frame=self._look,
            on_result=self._received,
            status_update_handlers=[self._told],
        )

    def _look(self, frames: list[VideoFrame]) -> list[None]:
        for frame in frames:
            stream = self.streams[frame.source_id or 0]
            error = None
            if stream.camera.camera.pattern == "clock":
                burnt = burned.read(frame.luma)
                error = frame.timestamp.timestamp() - burnt[1] / 1e6 if burnt else None
            stream.seen.append(
                Seen(frame.frame_id, frame.captured_at, frame.clock, frame.measured_fps or 0.0,
                     error, frame.uncertainty or 0.0)
            )  # fmt: skip
        return [None] * len(frames)

    def _received(self, result: Result) -> None:
        self.streams[result.frame.source_id or 0].counted["received"] += 1

    def _told(self, update: StatusUpdate) -> None:
        number = update.payload.get("source_id")
        if number is None:
            return
        self.streams[number].counted[update.event_type] += 1
        if update.event_type in LETTERS or update.event_type == ATTEMPT:
            self.streams[number].told.append((update.event_type, update.payload))

    @contextmanager
    def running(self) -> Iterator[None]:
        listener = _Listener(self.log)
        logging.getLogger("streamkit").addHandler(listener)
        try:
            with self.pipeline:
                until(lambda: all(len(stream.seen) > 5 for stream in self.streams), 60)
                yield
        finally:
            logging.getLogger("streamkit").removeHandler(listener)
            for stream in self.streams:
                stream.camera.clear()
        for stream, stats in zip(self.streams, self.pipeline.stats()["streams"], strict=True):
            stream.stats = stats


class _Listener(logging.Handler):
    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        self._into.append(record.getMessage())


def reference(camera: LabCamera) -> SourceReference:
    own = {"ca_file": str(camera.certificate)} if camera.certificate else {}
    if camera.camera.transport == "udp":
        own["transport"] = "udp"
    return SourceReference(camera.url, OPTIONS | own)


def begin(stream: Watched) -> None:
    """The fault, from now on."""
    assert stream.row is not None
    stream.before = len(stream.seen)
    stream.camera.fault(stream.row.fault, seconds=stream.row.seconds, **stream.row.params)
    if stream.row.hang_up:
        stream.camera.fault("hang_up")


def suffer(stream: Watched) -> None:
    """A fault from its beginning until all is well again, nobody helping."""
    row = stream.row
    assert row is not None
    until(lambda: len(stream.seen) >= row.seen, 60)
    begun = time.monotonic()
    begin(stream)
    with suppress(AssertionError):
        until(stream.noticed, row.within + SLACK)
        stream.detected = time.monotonic() - begun
    if not row.alone:
        stream.camera.clear()
    ended = time.monotonic()
    with suppress(AssertionError):
        until(stream.well, row.back + SLACK)
        stream.back = time.monotonic() - ended


# -- the tests -----------------------------------------------------------------------------------


def cast(rows: list[Row]) -> list[str]:
    """The names of the cameras that these need: one for each."""
    counts = Counter[str]()
    found = []
    for row in rows:
        found.append(f"{row.camera}{counts[row.camera]}")
        counts[row.camera] += 1
    return found


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    needs_rtsp_server()
    names = sorted({name for rows in BATCHES for name in cast(rows)})
    small: dict[str, Any] = {"size": (320, 240), "fps": FPS, "gop": 6}
    cameras = [Camera(name=name, **small, **KINDS[name.rstrip("0123456789")]) for name in names]
    with Lab([*cameras, Camera(name="healthy", **small)], seed=1) as running:
        yield running


@pytest.fixture(scope="module")
def played(lab: Lab) -> Callable[[int], list[Watched]]:
    """What came of a batch, which is played when it is first asked for."""
    known: dict[int, list[Watched]] = {}

    def play(number: int) -> list[Watched]:
        if number not in known:
            known[number] = streams = play_anew(BATCHES[number])
            assert len(streams) == len(BATCHES[number]) + 1
        return known[number]

    def play_anew(rows: list[Row]) -> list[Watched]:
        cameras: list[tuple[LabCamera, Row | None]] = [
            (lab[name], row) for name, row in zip(cast(rows), rows, strict=True)
        ]
        beside = Beside([*cameras, (lab["healthy"], None)])
        with beside.running(), ThreadPoolExecutor(len(rows)) as together:
            list(together.map(suffer, beside.streams[:-1]))
        return beside.streams

    return play


Played = Callable[[int], list[Watched]]


@pytest.mark.parametrize(("batch", "row"), ROWS, ids=NAMES)
def test_a_fault_is_told_in_time_by_its_name_and_ends_without_help(
    played: Played, batch: int, row: Row
) -> None:
    stream = played(batch)[BATCHES[batch].index(row)]
    heard = f"{stream.story} {sorted(stream.codes)} {stream.stats}"
    assert stream.detected is not None, heard
    assert stream.detected < row.within + SLACK
    assert stream.back is not None, f"not well again: {heard}"
    assert re.fullmatch(row.story, stream.story), heard
    for kind, payload in stream.told:
        if LETTERS.get(kind) == "R":
            assert payload["downtime"] > 0
            assert payload["recovered_from"] in ("lost", "degraded")
    assert stream.stats["outages"] == stream.story.count("L")
    assert (stream.stats["downtime"] > 0) is ("L" in stream.story)
    assert stream.stats["left_behind"] == 0


@pytest.mark.parametrize(("batch", "row"), ROWS, ids=NAMES)
def test_every_frame_is_accounted_for_and_none_tells_a_wrong_time(
    played: Played, batch: int, row: Row
) -> None:
    stream = played(batch)[BATCHES[batch].index(row)]
    assert_accounted(stream)
    assert_true(stream)


@pytest.mark.parametrize("batch", range(len(BATCHES)))
def test_the_neighbour_of_all_these_is_untouched(played: Played, batch: int) -> None:
    neighbour = played(batch)[-1]
    assert neighbour.told == []
    assert neighbour.stats["outages"] == 0
    assert set(neighbour.stats["dropped"]) <= {"newer", "stopped"}
    assert_accounted(neighbour)
    assert_true(neighbour)
    gaps = [(b.at - a.at) / (b.frame_id - a.frame_id) for a, b in pairwise(neighbour.seen)]
    assert statistics.median(gaps) == pytest.approx(1 / FPS, rel=0.1)
    errors = [abs(one.error) for one in neighbour.seen if one.clock is Clock.RTCP and one.error]
    assert len(errors) > FPS
    assert np.quantile(errors, 0.99) < 1 / FPS


def assert_accounted(stream: Watched) -> None:
    """Its own account is exact, and who listened to every frame has counted the same."""
    stats, counted = stream.stats, stream.counted
    dropped = sum(stats["dropped"].values())
    assert stats["in_flight"] == 0
    assert stats["captured"] == stats["delivered"] + dropped
    assert counted["received"] <= stats["delivered"]
    # What a shared connection had no time to hand over is counted, and not told one by one.
    missed = stats["captured"] - counted["FRAME_CAPTURED"]
    assert missed >= 0
    assert missed == dropped - counted["FRAME_DROPPED"]
    ids = [one.frame_id for one in stream.seen]
    assert ids == sorted(set(ids))
    assert ids[-1] <= stats["captured"]


def assert_true(stream: Watched) -> None:
    """No capture time is further off than it says."""
    known = [(abs(one.error), one.uncertainty) for one in stream.seen if one.error is not None]
    assert known or stream.camera.camera.pattern != "clock"
    assert [(error, said) for error, said in known if error > said] == []


@pytest.mark.parametrize("row", [row for _, row in ROWS], ids=NAMES)
def test_a_pipeline_stops_within_two_seconds_during_a_fault(lab: Lab, row: Row) -> None:
    beside = Beside([(lab[f"{row.camera}0"], row), (lab["healthy"], None)])
    with beside.running():
        begin(beside.streams[0])
        with suppress(AssertionError):
            until(lambda: bool(beside.streams[0].told), 0.7)
        asked = time.monotonic()
        beside.pipeline.terminate()
        took = time.monotonic() - asked
        assert not beside.pipeline.running
    assert took < 2.0
    for stream in beside.streams:
        assert_accounted(stream)


def test_every_fault_has_a_row() -> None:
    assert set(FAULTS) == {row.fault for _, row in ROWS}
