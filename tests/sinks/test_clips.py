"""Clips of events: the seconds before, the seconds after, in order, whole, and playable."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamkit import InferencePipeline
from streamkit.errors import ConfigError, SinkError
from streamkit.events import Event
from streamkit.frame import VideoFrame
from streamkit.predictions import Result
from streamkit.recording.naming import event_path
from streamkit.recording.ring import PacketRing, RingOptions
from streamkit.sinks import ClipsSink, open_sink
from streamkit.stages.seen import Witness
from tests import fakes
from tests.cameras import camera
from tests.clips import clip
from tests.recording.making import Raise, instant, packets_of, pictures_of
from tests.sinks.making import frame
from tests.sinks.test_segments import retimed

PICTURE = np.zeros((8, 8, 3), np.uint8)


def seen(frames: list[VideoFrame]) -> list[Any]:
    return [None for _ in frames]


class Heard:
    """A sink that remembers the events."""

    takes_events = True

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, result: Result) -> None:
        self.events += result.events

    def close(self) -> None: ...


def ran(
    source: Path, at: dict[int, tuple[str, str, str]], folder: Path, **options: Any
) -> tuple[list[Event], dict[str, Any]]:
    """The events of a run over a file, and what became of the sink."""
    heard, sink = Heard(), ClipsSink(folder, **options)
    pipeline = InferencePipeline.init_with_custom_logic(
        str(source), seen, sinks=[sink, heard], stages=[lambda: Raise(at)],
        stream={"keep_packets": True, "name": "gate"},
    )  # fmt: skip
    pipeline.start()
    pipeline.join()
    return heard.events, next(s for s in pipeline.stats()["sinks"] if "clips" in s)


def clips(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.mp4"))


def index(folder: Path) -> dict[str, dict[str, Any]]:
    lines = map(json.loads, (folder / "clips.jsonl").read_text().splitlines())
    return {line["file"]: line for line in lines if line.get("end")}


@pytest.mark.parametrize(("codec", "b_frames"), [("libx264", 0), ("libx264", 2), ("libx265", 0)])
def test_a_clip_goes_from_the_key_frame_before_to_the_end_after(
    tmp_path: Path, codec: str, b_frames: int
) -> None:
    source = clip(tmp_path / "in.mp4", frames=250, gop=20, codec=codec, b_frames=b_frames)

    # Frame 126 shows number 125, at 5.0 s: asked is 3.0 s, and the key frame before that is 60.
    (event,), _ = ran(source, instant(126), tmp_path / "out", before=2, after=1)

    path = event_path(tmp_path / "out", "gate", event.id, ".mp4")
    pictures = sorted(pictures_of(path), key=lambda found: found[1])
    numbers = [number for _, number in pictures]
    assert numbers[:91] == list(range(60, 151))
    assert len(numbers) <= 91 + b_frames  # those that others refer to
    assert [at for at, _ in pictures[:91]] == pytest.approx([n / 25 for n in range(91)], abs=0.001)
    line = index(tmp_path / "out")[f"gate/{event.id}.mp4"]
    assert (line["events"], line["packets"]) == ([event.id], len(numbers))
    assert list((tmp_path / "out" / "gate").iterdir()) == [path]


def test_its_index_comes_first_so_that_it_plays_while_it_is_fetched(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", frames=50)

    (event,), _ = ran(source, instant(25), tmp_path / "out", before=1, after=1)

    data = event_path(tmp_path / "out", "gate", event.id, ".mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"moof" not in data


def test_what_happens_meanwhile_at_the_same_place_prolongs_the_clip(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", frames=300, gop=25)
    at = instant(101, 126, 151) | {110: ("test.seen", "instant", "gate")}

    events, account = ran(source, at, tmp_path / "out", before=1, after=1)

    first, other, *merged = events
    found = {path.stem: [n for _, n in pictures_of(path)] for path in clips(tmp_path / "out")}
    shown = {first.id: list(range(75, 176)), other.id: list(range(75, 135))}
    assert found == shown | {late.id: shown[first.id] for late in merged}
    assert (account["clips"], account["merged"]) == (2, 2)
    assert len(index(tmp_path / "out")[f"gate/{first.id}.mp4"]["events"]) == 3


def test_no_clip_is_longer_than_allowed_and_the_next_one_waits(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", frames=400, gop=25)
    at = instant(*range(51, 400, 10))

    _, account = ran(
        source, at, tmp_path / "out", before=1, after=1, longest=4, cool_down=3
    )  # fmt: skip

    # Events from 2 s on: clips 1 to 5 s and, after the cool-down, 7 to 11 s and 13 s to the end.
    files = {path.stat().st_ino: path for path in reversed(clips(tmp_path / "out"))}
    lengths = [len(pictures_of(path)) for path in sorted(files.values())]
    assert lengths == [101, 101, 75]
    assert account["passed_over"] > 0


def test_only_chosen_events_begin_a_clip(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", frames=100)
    at = {
        20: ("zone.enter", "start", "a"), 30: ("line.in", "instant", "b"),
        40: ("zone.enter", "end", "a"), 90: ("zone.enter", "end", "a"),
    }  # fmt: skip

    events, _ = ran(source, at, tmp_path / "out", kinds=["zone.*"], before=0.2, after=0.4)

    assert [path.stem for path in clips(tmp_path / "out")] == [events[0].id]


def test_stopped_in_the_middle_it_leaves_a_file_that_plays(tmp_path: Path) -> None:
    source, heard = clip(tmp_path / "in.mp4", frames=250, gop=5), Heard()
    pipeline = InferencePipeline.init_with_custom_logic(
        f"replay:{source}", seen, stages=[lambda: Raise(instant(30))],
        sinks=[ClipsSink(tmp_path / "out", before=1, after=60), heard],
        stream={"keep_packets": True, "name": "gate"},
    )  # fmt: skip
    with pipeline:
        fakes.until(lambda: bool(list((tmp_path / "out").rglob(".*.part"))))
        assert clips(tmp_path / "out") == []

    (path,) = clips(tmp_path / "out")
    numbers = [number for _, number in pictures_of(path)]
    assert path.stem == heard.events[0].id
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) >= 25
    assert not list((tmp_path / "out").rglob(".*.part"))


KILLED = """
import os, sys
from tests.sinks.test_clips import *
def die(frames):
    if frames[0].frame_id > 150:
        os.kill(os.getpid(), 9)
    return [None for _ in frames]
InferencePipeline.init_with_custom_logic(
    sys.argv[1], die, sinks=[ClipsSink(sys.argv[2], before=1, after=60)],
    stages=[lambda: Raise(instant(30, 60, 90, 120, 148))],
    stream={"keep_packets": True, "name": "gate"},
).start()
"""


def test_killed_in_the_middle_it_appears_with_the_next_start(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", frames=250, gop=5)
    done = subprocess.run([sys.executable, "-c", KILLED, str(source), str(tmp_path / "out")])
    assert done.returncode == -signal.SIGKILL
    assert clips(tmp_path / "out") == []

    ClipsSink(tmp_path / "out").close()

    (path,) = clips(tmp_path / "out")
    numbers = [number for _, number in pictures_of(path)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 60
    assert index(tmp_path / "out")[f"gate/{path.name}"]["cut_off"]


@pytest.mark.timeout(60)
def test_a_camera_that_goes_away_in_the_middle_leaves_both_parts(tmp_path: Path) -> None:
    source, go = clip(tmp_path / "in.mp4", frames=500, gop=5), threading.Event()

    class Once:
        def __call__(self, result: Result) -> Result:
            if go.is_set():
                go.clear()
                result.events = (Witness(result, "door").event("test.seen"),)
            return result

    sink = ClipsSink(tmp_path / "out", before=1, after=4)
    with camera(source, real_fps=25) as cam:
        pipeline = InferencePipeline.init_with_custom_logic(
            cam.url, seen, sinks=[sink], stages=[Once],
            stream={"keep_packets": True, "name": "gate", "restart_delay": 0.2},
        )  # fmt: skip
        with pipeline:
            stream = pipeline.stats()["streams"][0]
            fakes.until(lambda: pipeline.stats()["streams"][0]["captured"] > 50)
            go.set()
            fakes.until(lambda: bool(list((tmp_path / "out").rglob(".*.part"))))
            seen_before = pipeline.stats()["streams"][0]["captured"]
            cam.drop()
            fakes.until(lambda: pipeline.stats()["streams"][0]["captured"] > seen_before + 5)
            fakes.until(lambda: len(clips(tmp_path / "out")) == 2, 30)
    assert stream["source_id"] == 0
    second, first = sorted(clips(tmp_path / "out"), key=lambda path: len(path.stem), reverse=True)
    assert second.stem == f"{first.stem}-2"
    for path in (first, second):
        numbers = [number for _, number in pictures_of(path)]
        steps = [(b - a) % 500 for a, b in pairwise(numbers)]
        assert numbers[0] % 5 == 0
        assert steps == [1] * len(steps)
    assert len(pictures_of(first)) >= 25


def test_a_stream_without_packets_and_wrong_options_say_so(tmp_path: Path) -> None:
    sink = ClipsSink(tmp_path / "out")
    result = Result(frame(), None)
    result.events = (Witness(result, "door").event("test.seen"),)
    with pytest.raises(SinkError, match="keep_packets"):
        sink.write(result)
    for wrong in ({"before": -1}, {"before": 0, "after": 0}, {"longest": 1}, {"kinds": "zone"}):
        with pytest.raises(ConfigError):
            open_sink("clips", {"folder": tmp_path / "out", **wrong})


def test_a_camera_that_stays_away_does_not_keep_a_clip_open(tmp_path: Path) -> None:
    packets = retimed(list(packets_of(clip(tmp_path / "in.mp4", frames=50, gop=10))))
    ring, sink = PacketRing(RingOptions()), ClipsSink(tmp_path / "out", before=1, after=30)
    for packet in packets:
        ring.put(packet)
    at = datetime.fromtimestamp(packets[-1].at, UTC)
    live = VideoFrame(
        frame().image, 50, at, source_id=0, comes_from_video_file=False, packets=ring
    )  # fmt: skip
    result = Result(live, None)
    result.events = (Witness(result, "door").event("test.seen"),)

    sink.write(result)
    sink.tick()
    assert clips(tmp_path / "out") == []
    for open_clip in sink._open.values():
        assert open_clip.deadline is not None
        assert 30 < open_clip.deadline - time.monotonic() < 60
        open_clip.deadline = time.monotonic() - 1
    sink.tick()

    (path,) = clips(tmp_path / "out")
    assert [number for _, number in pictures_of(path)] == list(range(20, 50))


def test_a_clock_that_is_set_back_keeps_no_clip_open_and_none_away(tmp_path: Path) -> None:
    first, *packets = packets_of(clip(tmp_path / "in.mp4", frames=250, gop=25))
    ring, now, ticks = PacketRing(RingOptions(seconds=1e5, megabytes=100)), 1_800_000_000.0, 0
    sink = ClipsSink(tmp_path / "out", before=2, after=2, longest=10)

    def film(seconds: float) -> None:
        nonlocal now, ticks
        for number in range(round(seconds * 25)):
            packet = [first, *packets][number % 250]
            ring.put(replace(packet, pts=ticks, dts=ticks, at=now, track=first.track))
            now, ticks = now + 1 / 25, ticks + round(1 / 25 / first.track.time_base)

    def happens(name: str) -> None:
        result = Result(
            VideoFrame(PICTURE, 1, datetime.fromtimestamp(now, UTC), packets=ring), None
        )
        seen = Event("test", 0, "door", result.frame.timestamp, 1, id=name, source="gate")
        result.events = (seen,)
        sink.write(result)

    film(4)
    happens("before")
    now -= 3600
    film(4)
    happens("after")
    film(20)
    sink.tick()
    assert not sink._open
    now -= 3600
    film(4)
    happens("later")
    film(20)
    sink.close()
    made = {path.stem: len(pictures_of(path)) for path in clips(tmp_path / "out")}
    assert set(made) == {"before", "after", "later"}
    assert max(made.values()) <= 10 * 25 + 25
