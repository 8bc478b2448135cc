"""The samples are what they say: the clip, the drawn street's truth, the detector, the scripts."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.video.frame import PictureType

from streamkit.models import get_model
from streamkit.options import SourceReference, plan
from streamkit.quality import control_of
from streamkit.spec import PipelineSpec, build_pipeline
from streamkit.streams.options import StreamOptions
from tests.coco import CocoSet
from tests.fakes import until

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
MODEL = SAMPLES / "models" / "street" / "1"


@pytest.fixture(scope="module")
def street() -> Any:
    """The drawing of the street, imported the way its own scripts do."""
    sys.path.insert(0, str(SAMPLES))
    yield importlib.import_module("street.scene")
    sys.path.remove(str(SAMPLES))


def test_the_clip_is_what_a_browser_and_a_stranger_expect() -> None:
    with av.open(str(SAMPLES / "street.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert (stream.width, stream.height) == (1280, 720)
        kinds = [PictureType(frame.pict_type).name for frame in container.decode(stream)]
    assert 20 * 25 <= len(kinds) <= 30 * 25
    assert {"I", "P", "B"} <= set(kinds)
    head = (SAMPLES / "street.mp4").read_bytes()[:200_000]
    assert head.index(b"moov") < head.index(b"mdat"), "playable while it downloads"


def test_equal_seeds_draw_equal_streets(street: Any) -> None:
    first, again = (street.Scene(3, frames=50).frame(40) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1]


def test_the_first_frame_of_the_clip_is_the_scene_it_was_rendered_from(street: Any) -> None:
    drawn, _ = street.Scene(street.CLIP_SEED).frame(0)
    with av.open(str(SAMPLES / "street.mp4")) as container:
        decoded = next(container.decode(video=0)).to_ndarray(format="bgr24")
    assert np.abs(drawn.astype(int) - decoded).mean() < 6


def test_who_crossed_a_line_agrees_with_the_truth_of_the_frames(street: Any) -> None:
    scene = street.Scene(5, frames=120)
    line = ((700.0, 330.0), (700.0, 720.0))
    counted = street.crossings(scene, line, anchor="bottom")
    seen: dict[int, list[float]] = {}
    names: dict[int, str] = {}
    for actor in scene.actors:
        points = scene.anchor(actor)
        seen[actor.id] = [x - 700 for x, y in points if not np.isnan(x) and y > 330]
        names[actor.id] = actor.kind
    for name, crossings in counted.items():
        flips = [np.sign(v) for k, v in seen.items() if names[k] == name]
        expected = sum(int((np.diff(signs) != 0).sum()) for signs in flips if len(signs))
        assert crossings.rightward + crossings.leftward == expected, name


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_detector_finds_what_it_has_never_seen(street: Any, tmp_path: Path) -> None:
    """mAP50 of at least 0.85 on streets of other seeds than it was trained on."""
    instances: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}
    instances["categories"] = [{"id": n, "name": name} for n, name in enumerate(street.CLASSES)]
    for number in range(36):
        scene_seed, at = 5000 + number // 3, 20 + 35 * (number % 3)
        image, truth = street.Scene(scene_seed, frames=120).frame(at)
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
        instances["images"].append({"id": number, "file_name": f"{number}.png"})
        instances["annotations"] += [annotation(number, one, street.CLASSES) for one in truth]
    for unique, row in enumerate(instances["annotations"], 1):
        row["id"] = unique
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    with get_model(MODEL) as model:
        assert model.names == street.CLASSES
        measured = CocoSet(tmp_path / "instances.json", tmp_path).evaluate(
            lambda image: model.infer(image, confidence=0.01, iou_threshold=0.6)[0]  # type: ignore[arg-type,return-value]
        )
    assert measured.ap50 >= 0.85


def annotation(image_id: int, truth: Any, classes: tuple[str, ...]) -> dict[str, Any]:
    """One true box; what is hardly visible counts neither way."""
    x1, y1, x2, y2 = truth.xyxy
    return {
        "image_id": image_id,
        "category_id": classes.index(truth.name),
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
        "iscrowd": int(truth.visible < 0.25),
    }


def test_the_model_card_and_the_artifacts_agree() -> None:
    card = (MODEL / "README.md").read_text(encoding="utf-8")
    names = (MODEL / "class_names.txt").read_text(encoding="utf-8").splitlines()
    assert ", ".join(names) in card
    assert (MODEL / "weights.onnx").stat().st_size < 5_000_000
    environment = json.loads((MODEL / "environment.json").read_text(encoding="utf-8"))
    assert list(environment["CLASS_MAP"].values()) == names


@pytest.mark.timeout(120)
def test_the_shortest_script_runs() -> None:
    done = subprocess.run(
        [sys.executable, "samples/quickstart.py"],
        cwd=SAMPLES.parent,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) > 550
    assert lines[0].startswith("frame 1: ")


def test_the_clip_can_be_rendered_again(tmp_path: Path) -> None:
    clip = tmp_path / "few.mp4"
    subprocess.run(
        [sys.executable, "samples/render_street.py", "--frames", "6", "--out", str(clip)],
        cwd=SAMPLES.parent,
        check=True,
        timeout=50,
    )
    with av.open(str(clip)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6


@pytest.mark.timeout(300)
def test_the_detector_can_be_trained_again(tmp_path: Path) -> None:
    """A few steps only, and only where torch is installed: the project does not depend on it."""
    pytest.importorskip("torch", reason="training the sample detector needs torch")
    command = [sys.executable, "samples/train_street.py", "--steps", "3", "--out", str(tmp_path)]
    subprocess.run([*command, "--batch", "2"], cwd=SAMPLES.parent, check=True, timeout=280)
    assert (tmp_path / "weights.onnx").exists()


DOCUMENTS = sorted((SAMPLES.parent / "pipelines").glob("*.yaml"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_every_document_says_only_what_its_sources_take(
    document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CAM_HOST", "CAM_USER", "CAM_PASSWORD"):
        monkeypatch.setenv(name, "example")
    spec = PipelineSpec.load(document)
    own = StreamOptions().but(spec.stream)
    for source in spec.sources:
        plan(SourceReference(source.reference, source.options), None, own)
    control_of(spec.degrade, spec.ladder, spec.admission)


def test_a_clip_plays_as_two_cameras_wherever_the_document_is_run_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = PipelineSpec.load(SAMPLES.parent / "pipelines" / "replay.yaml")
    with build_pipeline(spec.model_copy(update={"sinks": []})) as pipeline:
        until(lambda: all(s["delivered"] > 3 for s in pipeline.stats()["streams"]), 40)
        names = [stream["source"] for stream in pipeline.stats()["streams"]]
    assert names == ["entrance", "yard"]


def test_boxes_that_are_moved_along_are_nearer_to_the_truth_than_those_left_alone() -> None:
    few = ["--every", "4", "--seeds", "11", "--frames", "24"]
    done = subprocess.run(
        [sys.executable, "samples/carry_street.py", *few],
        cwd=SAMPLES.parent,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    words = done.stdout.replace(",", "").split()
    assert float(words[4]) > float(words[7]) > 0.5


def test_the_pictures_of_drawing_and_privacy_are_made_again(tmp_path: Path) -> None:
    command = [sys.executable, "samples/draw_layers.py", "--frame", "4", "--out", str(tmp_path)]
    subprocess.run(command, cwd=SAMPLES.parent, check=True, timeout=50)
    made = [cv2.imread(str(tmp_path / f"{name}.jpg")) for name in ("layers", "privacy")]
    shown = [picture for picture in made if picture is not None]
    assert [picture.shape for picture in shown] == [(720, 1280, 3)] * 2
    assert shown[1][10:200, 10:240].max() < 60, "the corner is filled"
