"""Snapshots: the right picture under the name known beforehand, whole or not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from streamkit import InferencePipeline
from streamkit.errors import ConfigError, SinkError
from streamkit.frame import Image, VideoFrame
from streamkit.predictions import Result
from streamkit.recording.naming import event_path
from streamkit.sinks import SnapshotsSink, open_sink
from streamkit.sources.numbered import decode_number
from streamkit.stages.seen import Witness
from tests.clips import clip
from tests.recording.making import Raise, instant
from tests.sinks.making import frame
from tests.sinks.test_clips import Heard


def picture(path: Path) -> Image:
    image = cv2.imread(str(path))
    assert image is not None
    return image.astype(np.uint8)


def eventful(number: int, at: float = 0.0, kind: str = "test.seen") -> Result:
    result = Result(frame(number, at=at), None)
    result.events = (Witness(result, "door").event(kind),)
    return result


def seen(frames: list[VideoFrame]) -> list[Any]:
    return [None for _ in frames]


def test_each_event_has_the_picture_it_happened_in(tmp_path: Path) -> None:
    source, heard = clip(tmp_path / "in.mp4", frames=100), Heard()
    pipeline = InferencePipeline.init_with_custom_logic(
        str(source), seen, sinks=[SnapshotsSink(tmp_path / "out"), heard],
        stages=[lambda: Raise(instant(20, 77))], stream={"name": "gate"},
    )  # fmt: skip
    pipeline.start()
    pipeline.join()

    paths = [event_path(tmp_path / "out", "gate", event.id, ".jpg") for event in heard.events]
    assert [decode_number(picture(path)) for path in paths] == [19, 76]
    text = (tmp_path / "out" / "snapshots.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["frame_id"] for line in lines if line["end"]] == [20, 77]


def test_one_every_so_often_by_the_frames_own_times(tmp_path: Path) -> None:
    sink = SnapshotsSink(tmp_path / "out", seconds=2)

    for number in range(50):
        sink.write(Result(frame(number, at=number / 10), None))
    sink.close()

    paths = sorted((tmp_path / "out").rglob("*.jpg"))
    assert [decode_number(picture(path)) for path in paths] == [0, 20, 40]
    assert paths[0].name == "20260329T005959.900Z.jpg"


@pytest.mark.parametrize("annotated", [True, False])
def test_what_was_drawn_is_in_it_unless_it_is_to_be_plain(tmp_path: Path, annotated: bool) -> None:
    result = eventful(0)
    result.drawn = np.full((240, 320, 3), 255, np.uint8)

    SnapshotsSink(tmp_path / "out", annotated=annotated).write(result)

    (path,) = (tmp_path / "out").rglob("*.jpg")
    assert bool(picture(path)[100, 100].min() > 200) is annotated


def test_a_picture_that_cannot_be_written_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    sink = SnapshotsSink(tmp_path / "out")
    (tmp_path / "out" / "0").write_text("no folder")

    with pytest.raises(SinkError, match="out/0"):
        sink.write(eventful(1))
    (tmp_path / "out" / "0").unlink()
    sink.write(eventful(2))

    assert [path.suffix for path in (tmp_path / "out" / "0").iterdir()] == [".jpg"]


def test_only_chosen_kinds_and_the_oldest_go_first(tmp_path: Path) -> None:
    sink = SnapshotsSink(tmp_path / "out", kinds=["zone.*"], keep_gb=1e-9)

    for number, kind in enumerate(("line.in", "zone.enter", "zone.leave")):
        sink.write(eventful(number, kind=kind))
    assert sink.stats()["files"] == 2
    sink.tick()

    assert sink.stats()["files"] == 0
    assert not list((tmp_path / "out").rglob("*.jpg"))


@pytest.mark.parametrize(
    "wrong", [{"seconds": 0}, {"seconds": 1, "kinds": ["a"]}, {"quality": 0}, {"keep_days": -1}]
)
def test_wrong_options_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        open_sink("snapshots", {"folder": tmp_path, **wrong})
