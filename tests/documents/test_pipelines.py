"""The documents in ``pipelines`` run on the sample, by ``streamkit run``, and find the truth."""

from __future__ import annotations

import csv
import importlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from streamkit.documents.check import problems_of
from streamkit.spec import PipelineSpec

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where documents write that lie in a folder of their own, beside the samples."""
    shutil.copytree(ROOT / "pipelines", tmp_path / "pipelines")
    (tmp_path / "samples").symlink_to(SAMPLES)
    return tmp_path / "out"


@pytest.fixture(scope="module")
def scene() -> Iterator[Any]:
    """What the sample was drawn from."""
    sys.path.insert(0, str(SAMPLES))
    street = importlib.import_module("street.scene")
    yield street.Scene(street.CLIP_SEED)
    sys.path.remove(str(SAMPLES))


def crossings(scene: Any, line: tuple[Any, Any]) -> dict[str, tuple[int, int]]:
    """By class: how many went to the right-hand side of who walks along it, and to the left."""
    counted = importlib.import_module("street.scene").crossings(scene, line)
    return {name: (each.rightward, each.leftward) for name, each in counted.items()}


def run(out: Path, name: str) -> None:
    document = out.parent / "pipelines" / f"{name}.yaml"
    command = [sys.executable, "-W", "error", "-m", "streamkit", "run", str(document), "--quiet"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=out.parent, timeout=170, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def pictures(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def test_people_are_counted_exactly(out: Path, scene: Any) -> None:
    run(out, "people-counter")
    with (out / "people.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    told = Counter(row["kind"] for row in rows)
    right, left = crossings(scene, ((600, 640), (600, 720)))["person"]
    assert (told["line.out"], told["line.in"]) == (right, left)
    per_minute = [json.loads(row["data"]) for row in rows if row["key"] == "in-per-minute"]
    assert sum(each["count"] for each in per_minute) == left


def test_vehicles_are_counted_exactly_by_class(out: Path, scene: Any) -> None:
    run(out, "line-crossing")
    with sqlite3.connect(out / "crossings.db") as database:
        rows = database.execute("SELECT kind, data FROM events").fetchall()
    database.close()
    told = Counter((kind, json.loads(data)["class"]) for kind, data in rows)
    truth = crossings(scene, ((600, 555), (600, 720)))
    for name in ("bicycle", "bus", "car", "truck"):
        assert (told["line.out", name], told["line.in", name]) == truth[name]
    drawn = pictures(out / "line-crossing.mp4")
    assert len(drawn) > 150
    green = drawn[-1][600, 596:605].astype(int)  # the line itself
    assert np.ptp(green[:, 1] - green[:, 2]) > 60


def test_who_waits_at_the_crossing_raises_one_alert_each_with_a_picture(out: Path) -> None:
    run(out, "loitering-alert")
    told = events(out / "loitering.jsonl")
    alerts = [event for event in told if event["kind"] == "zone.loiter"]
    # Three people and a dog wait there for six to nine seconds; nobody else does.
    assert Counter(event["data"]["class"] for event in alerts) == {"person": 3, "dog": 1}
    assert len({event["tracker_id"] for event in alerts}) == 4
    begun = {event["id"] for event in told if event["phase"] == "start"}
    ended = {event["id"] for event in told if event["phase"] == "end"}
    assert {event["id"] for event in alerts} <= begun & ended
    for event in alerts:
        assert event["data"]["dwell"] >= 5
        kinds = {each["kind"]: Path(each["path"]) for each in event["evidence"]}
        picture = cv2.imread(str(kinds["snapshot"]))
        assert picture is not None
        assert picture.shape == (720, 1280, 3)
        assert cv2.imread(str(kinds["crop"])) is not None


def test_each_bay_is_taken_once_while_the_light_is_red(out: Path) -> None:
    run(out, "parking-occupancy")
    told = events(out / "parking.jsonl")
    visits = Counter((event["key"], event["kind"]) for event in told if "zone" in event["kind"])
    assert visits == {
        (bay, kind): 1 for bay in ("bay-1", "bay-2") for kind in ("zone.enter", "zone.leave")
    }
    left = [event["data"]["dwell"] for event in told if event["kind"] == "zone.leave"]
    assert all(6 < dwell < 12 for dwell in left)
    frames = events(out / "parking-frames.jsonl")
    taken = [frame["measures"]["bay-1"]["count"] for frame in frames]
    assert set(taken) == {0, 1}
    heat = cv2.imread(str(out / "parking-heat.png"))
    assert heat is not None
    assert heat.shape == (720, 1280, 3)


def test_people_cannot_be_recognised_in_what_is_recorded(out: Path, scene: Any) -> None:
    run(out, "privacy-recorder")
    recorded = pictures(out / "privacy.mp4")
    with av.open(str(SAMPLES / "street.mp4")) as container:
        clip = {n: f.to_ndarray(format="bgr24") for n, f in enumerate(container.decode(video=0))}
    looked = 0
    for picture in recorded[10::20]:
        number = min(clip, key=partial(apart, clip, picture))
        for box in scene.boxes(number):
            x1, y1, x2, y2 = (max(0, round(c)) for c in box.xyxy)
            if box.name == "person" and box.visible > 0.9 and x2 - x1 > 40 and x2 < 1280:
                before, after = clip[number][y1:y2, x1:x2], picture[y1:y2, x1:x2]
                assert alike(before, after) < 0.4
                looked += 1
        assert alike(clip[number][40:240, 300:900], picture[40:240, 300:900]) > 0.7, "the houses"
    assert looked >= 5
    assert len(list((out / "privacy").rglob("*.jpg"))) >= 4


def apart(clip: dict[int, Any], picture: Any, number: int) -> float:
    return float(np.abs(clip[number][::9, ::9].astype(int) - picture[::9, ::9]).mean())


def alike(one: Any, other: Any) -> float:
    """How far their outlines are the same, 0 to 1."""
    grey = [cv2.cvtColor(each, cv2.COLOR_BGR2GRAY) for each in (one, other)]
    edges = [cv2.Laplacian(each, cv2.CV_64F) for each in grey]
    return float(np.corrcoef(edges[0].ravel(), edges[1].ravel())[0, 1])


def test_four_cameras_are_one_picture_each_in_its_own_way(out: Path) -> None:
    run(out, "camera-wall")
    wall = pictures(out / "wall.mp4")
    assert len(wall) >= 40
    picture = wall[len(wall) // 2]
    assert picture.shape == (720, 1280, 3)
    tiles = [picture[y : y + 360, x : x + 640] for y in (0, 360) for x in (0, 640)]
    assert all(tile.std() > 20 for tile in tiles), "each shows something"
    assert {event["source"] for event in events(out / "wall.jsonl")} == {"north", "south"}


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_document_is_right_as_far_as_can_be_seen(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"CAM_HOST": "camera.example", "CAM_USER": "me", "CAM_PASSWORD": "x"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert problems_of(PipelineSpec.load(path, given), files=True) == []
