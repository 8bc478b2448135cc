"""Where a frame's CPU goes, what a further camera holds, and how old pictures are, measured."""

from __future__ import annotations

import json
import threading
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from streamkit.bench import profile
from streamkit.bench.contestants import Subject
from streamkit.bench.flame import svg
from streamkit.bench.glass import seen, watchers
from streamkit.bench.peers.ages import Ages
from streamkit.bench.still import answer, still
from streamkit.cli import app
from streamkit.errors import ConfigError
from streamkit.models.base import InferenceOptions
from streamkit.models.boxes import candidates, corners, suppress
from tests.needs import needs_rtsp_server

SAMPLES = Path(__file__).parents[2] / "samples"
MODEL = SAMPLES / "models" / "street" / "1"
CLIP = ["--clip", str(SAMPLES / "street.mp4"), "--rounds", "1"]


@pytest.mark.parametrize("objects", [0, 1, 7, 20, 60])
def test_a_still_model_answers_with_as_many_objects_as_are_asked_for(objects: int) -> None:
    head, options = answer(objects), InferenceOptions()
    found = candidates(head[4:], options, None)
    assert len(found) >= objects
    boxes = corners(head[:4].take(found.index, axis=1))
    assert len(suppress(boxes, found.class_id, options)) == objects


@pytest.mark.timeout(120)
def test_a_profile_adds_up_and_is_drawn(tmp_path: Path) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "flame.svg"
    given = [*CLIP, "--objects", "20", "--draw", "--frames", "40"]
    given += ["--json", str(figures), "--picture", str(picture)]
    done = CliRunner().invoke(app, ["bench", "profile", *given])
    assert done.exit_code == 0, done.exception
    told = json.loads(figures.read_text(encoding="utf-8"))["profile"]
    spent = {tuple(each["path"]): each["seconds"] for each in told["paths"]}
    assert sum(spent.values()) == pytest.approx(told["whole"]["median"])
    assert spent["model workers", "prepare", "planes to BGR"] > 0
    assert told["drawing"]["median"] > 0
    assert told["glue"]["median"] < told["whole"]["median"]
    assert told["found"] == pytest.approx(20, abs=3)  # some are still under way at the end
    assert ET.parse(picture).getroot().tag.endswith("svg")
    assert picture.stat().st_size < 50_000


def test_own_times_leave_out_what_is_called() -> None:
    whole = {("a",): 5.0, ("a", "b"): 3.0, ("a", "b", "c"): 1.0, ("d",): 0.5, ("d", "e"): 0.7}
    own = profile.own_times(whole)
    assert own == {("a",): 2, ("a", "b"): 2, ("a", "b", "c"): 1, ("d",): 0, ("d", "e"): 0.7}


class Work:
    """Something to be timed."""

    def __init__(self) -> None:
        self.begun, self.over = threading.Event(), threading.Event()

    def short(self) -> int:
        return sum(range(20_000))

    def long(self) -> None:
        self.short()
        self.begun.set()
        self.over.wait(30)


def test_calls_that_are_under_way_count_as_far_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("short", "long"):
        monkeypatch.setattr(Work, name, getattr(Work, name))  # put back at the end
    watch, work = profile.Stopwatch(), Work()
    watch.put_around(f"{__name__}:Work.long", "long")
    watch.put_around(f"{__name__}:Work.short", "short")
    thread = threading.Thread(target=work.long, name="streamkit model x 0")
    thread.start()
    assert work.begun.wait(30)
    spent = watch.read(profile.threads())
    work.over.set()
    thread.join()
    after = watch.read(profile.threads())
    assert spent["model workers", "long", "short"] > 0
    assert spent.get(("model workers", "long"), 0) <= after["model workers", "long"]


def test_a_flame_graph_escapes_names_and_leaves_out_what_cannot_be_seen() -> None:
    own = {("<a>",): 1.0, ("<a>", "b & c"): 0.5, ("tiny",): 1e-9}
    drawn = svg(own, "<title>")
    texts = [node.text for node in ET.fromstring(drawn).iter() if node.tag.endswith("title")]
    assert texts == ["one frame 1500.00 ms", "<a> 1500.00 ms", "b & c 500.00 ms"]


@pytest.mark.timeout(120)
def test_memory_is_told_for_each_further_camera(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    given = [*CLIP, "--model", str(MODEL), "--cameras", "1,2", "--seconds", "1"]
    done = CliRunner().invoke(app, ["bench", "memory", *given, "--json", str(figures)])
    assert done.exit_code == 0, done.exception
    told = json.loads(figures.read_text(encoding="utf-8"))["memory"]
    assert told["resident"]["2"] - told["resident"]["1"] == pytest.approx(told["each"])


def test_ages_are_those_of_pictures_after_the_first_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from streamkit.chaos.server.picture import BITS, BLOCK, coded

    def plane(moment: float) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
        bits = np.unpackbits(np.frombuffer(coded(1, int(moment * 1e6)), np.uint8))
        assert len(bits) == BITS
        grid = np.where(bits.reshape(4, 32), 235, 16).astype(np.uint8)
        return np.kron(grid, np.ones((BLOCK, BLOCK), np.uint8))

    ages = Ages({"root": "", "settle": 0, "seconds": 60})
    assert not ages.note(plane(time.time() - 2))
    assert not ages.note(np.full((64, 512), 126, np.uint8))  # no code in it
    ages.tell()
    told = json.loads(capsys.readouterr().out)
    assert told["taken"] == 2
    assert told["ages"] == [pytest.approx(2, abs=1)]


@pytest.mark.rtsp
@pytest.mark.timeout(120)
def test_ages_before_a_camera_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_rtsp_server()
    monkeypatch.setattr("streamkit.bench.glass.SECONDS", 1.5)
    monkeypatch.setattr("streamkit.bench.glass.SETTLE", 0.5)
    model = still(tmp_path / "still.onnx", 3)
    subject = Subject(SAMPLES / "street.mp4", str(model), model, (), (640, 640), 20)
    (told,) = seen(watchers(subject, {}, tmp_path), 10.0, None, 1, lambda _name: None)
    assert told.name == "streamkit"
    assert 0 < told.age_p50.median < 5
    with pytest.raises(ConfigError, match="before a camera there is inference"):
        watchers(subject, {"ultralytics": tmp_path}, tmp_path)
