"""Evidence: pictures that show what events tell, on disk before any sink hears of the event."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from streamkit import InferencePipeline
from streamkit.errors import ConfigError
from streamkit.events import Event, Evidence, Phase
from streamkit.frame import VideoFrame
from streamkit.predictions import Detections, Result
from streamkit.recording.naming import event_path
from streamkit.stages import Stage, open_stage
from streamkit.wire import checked_event
from tests.clips import clip
from tests.fakes import Collector
from tests.stages.making import frame, objects

PICTURE = np.zeros((480, 640, 3), np.uint8)
PICTURE[220:300, 280:320] = (0, 0, 255)
"""A red object, where ``objects((7, 0, 300, 300))`` says that it is."""


class Alarms(Collector):
    takes_events = True


def happened(
    *kinds: str, phase: Phase = "instant", track: int | None = 7, where: Detections | None = None
) -> Result:
    """A frame with the red object, at which this happened."""
    shown = VideoFrame(PICTURE, 42, frame(0).timestamp, source_id=0)
    found = objects((7, 0, 300, 300)) if where is None else where
    at = shown.timestamp
    events = tuple(Event(kind, 0, "door", at, 42, track, phase=phase) for kind in kinds)
    return Result(shown, found, events=events, source="front door")


def evidence(folder: Path, **options: Any) -> Stage:
    return open_stage("evidence", {"folder": folder, **options})


def shown(each: Evidence) -> np.ndarray[Any, Any]:
    assert each.path is not None
    return np.asarray(cv2.imread(each.path), np.uint8)


def test_an_event_gets_the_frame_and_the_object(tmp_path: Path) -> None:
    (event,) = evidence(tmp_path)(happened("line.in")).events
    snapshot, crop = event.evidence
    assert (snapshot.kind, snapshot.what) == ("snapshot", "frame")
    assert (crop.kind, crop.what) == ("crop", "object")
    assert snapshot.path == str(event_path(tmp_path, "front door", event.id, ".jpg"))
    for each in event.evidence:
        assert each.error is None
        assert each.path is not None
        data = Path(each.path).read_bytes()
        assert each.size == len(data)
        assert each.sha256 == hashlib.sha256(data).hexdigest()
    assert shown(snapshot).shape == (480, 640, 3)
    assert np.abs(shown(snapshot).astype(int) - PICTURE).mean() < 2
    cut = shown(crop)
    assert cut.shape == (80 + 32, 40 + 32, 3), "a fifth of the longer side around it"
    assert cut[16:-16, 16:-16].mean(axis=(0, 1)) == pytest.approx([0, 0, 255], abs=12)
    checked_event(event.dict())


def test_only_what_was_asked_for_is_shown_and_only_of_these_kinds(tmp_path: Path) -> None:
    stage = evidence(tmp_path, kinds=["zone.*"], crop=False)
    entered, crossed = stage(happened("zone.enter", "line.in")).events
    assert [each.kind for each in entered.evidence] == ["snapshot"]
    assert crossed.evidence == ()
    (window,) = evidence(tmp_path)(happened("window", track=None)).events
    assert [each.kind for each in window.evidence] == ["snapshot"]
    quiet = happened()
    assert evidence(tmp_path / "never")(quiet) is quiet
    assert not (tmp_path / "never").exists()


def test_the_events_of_one_frame_share_a_snapshot(tmp_path: Path) -> None:
    first, second = evidence(tmp_path)(happened("line.in", "zone.enter")).events
    assert first.evidence[0] == second.evidence[0]
    assert first.evidence[1].path != second.evidence[1].path
    assert len(list(tmp_path.rglob("*.jpg"))) == 3


def test_phases_of_one_happening_keep_files_of_their_own(tmp_path: Path) -> None:
    stage = evidence(tmp_path, crop=False)
    result = happened("zone.enter", phase="start")
    happening = result.events[0].id
    paths = [stage(result).events[0].evidence[0].path]
    for kind, phase, number in (("zone.loiter", "update", 50), ("zone.leave", "end", 60)):
        later = Event(kind, 0, "door", frame(0).timestamp, number, 7, id=happening, phase=phase)  # type: ignore[arg-type]
        more = Result(frame(1), objects(), events=(later,), source="front door")
        paths.append(stage(more).events[0].evidence[0].path)
    names = [Path(str(path)).name.removeprefix(happening) for path in paths]
    assert names == [".start.jpg", ".update-50.jpg", ".end.jpg"]


def test_what_other_stages_drew_is_shown_only_where_it_is_asked_for(tmp_path: Path) -> None:
    drawn = np.full((480, 640, 3), 200, np.uint8)
    for annotated, level, what in ((True, 200, "annotated frame"), (False, 1, "frame")):
        result = happened("line.in")
        result.drawn = drawn
        stage = evidence(tmp_path / str(annotated), annotated=annotated)
        snapshot = stage(result).events[0].evidence[0]
        assert snapshot.what == what
        assert shown(snapshot).mean() == pytest.approx(level, abs=5)


def test_behind_privacy_it_shows_no_more_than_everybody_may_see(tmp_path: Path) -> None:
    privacy = open_stage("privacy", {"how": "fill", "color": "#00ff00", "margin": 0})
    result = privacy(happened("line.in"))
    (event,) = evidence(tmp_path, padding=0)(result).events
    for each in event.evidence:
        picture = shown(each).astype(int)
        assert not ((picture[..., 2] > 150) & (picture[..., 1] < 100)).any(), "red is covered"
    assert shown(event.evidence[1])[..., 1].mean() > 200


def test_the_clip_of_an_event_is_where_the_sink_puts_it(tmp_path: Path) -> None:
    stage = evidence(tmp_path, snapshot=False, crop=False, clip=tmp_path / "clips")
    (event,) = stage(happened("line.in")).events
    (found,) = event.evidence
    assert found.kind == "clip"
    assert found.path == str(event_path(tmp_path / "clips", "front door", event.id, ".mp4"))
    assert found.sha256 is None


# -- what goes wrong -----------------------------------------------------------------------------


def test_who_is_not_in_the_picture_cannot_be_cut_out_of_it(tmp_path: Path) -> None:
    for where, why in (
        (objects((8, 0, 300, 300)), "track 7 is not in this frame"),
        (objects((7, 0, 5000, 300)), "track 7 is outside"),
        (objects((7, 0, 300, 300), tracked=False), "nobody tracks"),
    ):
        (event,) = evidence(tmp_path)(happened("zone.leave", where=where)).events
        snapshot, crop = event.evidence
        assert snapshot.path is not None
        assert crop.path is None
        assert why in str(crop.error)


def test_a_folder_that_cannot_be_written_is_told_in_the_event_and_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    (event,) = evidence(tmp_path / "file")(happened("line.in")).events
    for each in event.evidence:
        assert each.path is None
        assert each.size is None
        assert "cannot write" in str(each.error)
    checked_event(event.dict())
    assert "evidence failed 1 times, last: cannot write" in caplog.text


def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    stage, result = evidence(tmp_path), happened("line.in")
    for ending in (".jpg", ".crop.jpg"):  # what is being written goes to where there is no room
        path = event_path(tmp_path, "front door", result.events[0].id, ending)
        path.parent.mkdir(exist_ok=True)
        path.with_name(f".{path.name}.part").symlink_to("/dev/full")
    (event,) = stage(result).events
    assert all("No space left" in str(each.error) for each in event.evidence)
    assert not [path for path in tmp_path.rglob("*") if ".jpg" in path.name]
    (after,) = stage(happened("line.in")).events
    assert all(each.error is None for each in after.evidence)


def test_a_picture_that_is_none_is_told(tmp_path: Path) -> None:
    result = happened("line.in")
    result.frame = VideoFrame(np.zeros((0, 0, 3), np.uint8), 1, frame(0).timestamp)
    (event,) = evidence(tmp_path)(result).events
    assert "no picture" in str(event.evidence[0].error)


def test_names_of_streams_and_events_cannot_leave_the_folder(tmp_path: Path) -> None:
    result = happened("line.in")
    result.source = "../../etc/rtsp://cam:554/x"
    result.events = (Event("line.in", 0, "door", frame(0).timestamp, 1, 7, id="../../x"),)
    (event,) = evidence(tmp_path / "in")(result).events
    for each in event.evidence:
        assert Path(str(each.path)).resolve().is_relative_to(tmp_path / "in")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_no_more_is_kept_than_was_asked_for(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8)
    stage = evidence(tmp_path, crop=False, keep_gb=2e-3, quality=95)
    paths = []
    for number in range(61):
        result = happened("line.in")
        result.frame = VideoFrame(noise, number, frame(0).timestamp, source_id=0)
        paths.append(Path(str(stage(result).events[0].evidence[0].path)))
    kept = [path for path in paths if path.exists()]
    assert kept == paths[-len(kept) :], "the newest"
    size = sum(path.stat().st_size for path in kept)
    assert size < 2e6 + 31 * paths[-1].stat().st_size, "it is looked after every thirty files"
    del stage
    again = evidence(tmp_path, crop=False, keep_gb=1e-6)
    newest = again(happened("line.in")).events[0].evidence[0].path
    assert not any(path.exists() for path in kept), "those of an earlier run, too"
    assert newest is not None
    assert Path(newest).exists(), "never the one that is just being told of"


def test_its_index_is_bounded_too(tmp_path: Path) -> None:
    stage = evidence(tmp_path, snapshot=False, keep_gb=1e-5)
    for _ in range(600):
        stage(happened("line.in"))
    index = next(tmp_path.rglob("evidence.jsonl"))
    assert len(index.read_text().splitlines()) < 1100, "three lines for each"
    kept = {path.name for path in tmp_path.rglob("*.jpg")}
    assert 0 < len(kept) < 60
    last = {row["file"]: row for row in map(json.loads, index.read_text().splitlines())}
    assert {name for name, row in last.items() if "deleted" not in row} == kept


def test_what_a_killed_process_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    stage = evidence(tmp_path)
    stage(happened("line.in"))
    folder = next(tmp_path.iterdir())
    (folder / ".x.jpg.part").write_bytes(b"half")
    line = {"file": "x.jpg", "start": "2026-01-01T00:00:00.000Z", "end": None, "bytes": 0}
    with (folder / "evidence.jsonl").open("a") as index:
        index.write(json.dumps(line) + "\n")
    del stage
    evidence(tmp_path)(happened("line.in"))
    assert not list(folder.glob(".*.part"))
    assert len(list(folder.glob("*.jpg"))) == 4


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"kinds": "line.in"}, "kinds"),
        ({"quality": 0}, "quality"),
        ({"padding": -1}, "padding"),
        ({"folder": ""}, "folder"),
        ({"keep_days": 0}, "days"),
    ],
)
def test_wrong_options_are_told(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        open_stage("evidence", {"folder": tmp_path, **options})


# -- in a pipeline -------------------------------------------------------------------------------


def test_sinks_hear_of_an_event_when_its_pictures_are_there(tmp_path: Path) -> None:
    def someone(frames: Sequence[VideoFrame]) -> list[Detections]:
        return [objects((1, 0, 100, 150), size=frame.size) for frame in frames]

    missing: list[str] = []

    def look(result: Result) -> None:
        for event in result.events:
            for each in event.evidence:
                if each.path is None or not Path(each.path).exists():
                    missing.append(f"{event.kind} {each}")

    alarms = Alarms(before=look)
    area = {"polygon": [[0, 0], [999, 0], [999, 999], [0, 999]]}
    pipeline = InferencePipeline.init_with_custom_logic(
        [str(clip(tmp_path / f"{n}.mp4", frames=12)) for n in range(2)],
        on_video_frame=someone,
        stages=[
            lambda: open_stage("zone", area),
            lambda: open_stage("annotate", {}),
            lambda: evidence(tmp_path / "evidence", annotated=True),
        ],
        sinks=[alarms],
    )
    pipeline.start()
    pipeline.join()
    assert not missing
    events = [event for result in alarms.results for event in result.events]
    assert sorted(event.kind for event in events) == ["zone.enter"] * 2 + ["zone.leave"] * 2
    assert all(len(event.evidence) == 2 for event in events), "also those that the end brought"
    assert len(list((tmp_path / "evidence").iterdir())) == 2, "a folder for each stream"
