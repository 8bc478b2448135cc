"""A second model in a running pipeline: loaded once, asked from every stream, stopped with it."""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from streamkit.errors import ConfigError, ModelNotFoundError
from streamkit.frame import Clock, Image, VideoFrame
from streamkit.models import get_model
from streamkit.models.base import Tensor
from streamkit.models.lease import Lease
from streamkit.models.manager import ModelManager
from streamkit.models.shared import SharedModel
from streamkit.models.store import Store
from streamkit.models.store.local import LocalFolder
from streamkit.options import SourceReference
from streamkit.pipeline import InferencePipeline
from streamkit.predictions import Classification, Detections
from streamkit.sources.base import Capture, Captures, Source, SourceProperties
from streamkit.spec import PipelineSpec, build_pipeline
from streamkit.stages import Stage, open_stage
from streamkit.stages.crops import crops, cut
from tests.fakes import START, Camera, Collector, until
from tests.models.graphs import STRETCH, write_heads
from tests.models.test_shared import Scale
from tests.needs import needs_real_data
from tests.stages.making import SAMPLES

STREET = str(SAMPLES / "models" / "street" / "1")
PAINTS = {"0": "red", "1": "green", "2": "blue"}


class Reel(Source):
    """A recording of these pictures."""

    live = False

    def __init__(self, pictures: Sequence[Image]) -> None:
        self.reference = f"reel of {len(pictures)}"
        height, width = pictures[0].shape[:2]
        self.properties: SourceProperties | None = SourceProperties(
            width, height, len(pictures), True, 25.0
        )
        self._pictures = pictures

    def read(self) -> Captures:
        for number, picture in enumerate(self._pictures):
            yield Capture(picture, START + timedelta(seconds=number / 25), Clock.PTS)

    def interrupt(self) -> None:
        pass


@cache
def street(count: int = 9, step: int = 45) -> list[Image]:
    """Pictures of the sample clip."""
    with av.open(str(SAMPLES / "street.mp4")) as container:
        found: list[Image] = []
        for number, picture in enumerate(container.decode(video=0)):
            if number % step == 0:
                found.append(np.asarray(picture.to_ndarray(format="bgr24"), np.uint8))
            if len(found) == count:
                break
    return found


def photo(path: Path) -> Image:
    picture = cv2.imread(str(path))
    assert picture is not None
    return np.asarray(picture, np.uint8)


def classifier(folder: Path, *scores: float, names: dict[str, str] = PAINTS) -> Path:
    """A classifier that says the same about everything."""
    folder.mkdir(parents=True)
    write_heads(folder / "weights.onnx", np.array(scores, np.float32), batch="n")
    environment = {"PREPROCESSING": STRETCH, "CLASS_MAP": names}
    (folder / "environment.json").write_text(json.dumps(environment))
    kind = {"project_task_type": "classification", "model_type": "vit"}
    (folder / "model_type.json").write_text(json.dumps(kind))
    return folder


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ModelManager]:
    """Knows a classifier of paints, its successor, and a project that has not been trained."""
    classifier(tmp_path / "paint" / "1", 0, 5, 1)
    classifier(tmp_path / "paint" / "2", 5, 0, 1, names={"0": "matt", "1": "gloss", "2": "rust"})
    (tmp_path / "new" / "0").mkdir(parents=True)
    stub = {"project_task_type": "classification", "model_type": "stub"}
    (tmp_path / "new" / "0" / "model_type.json").write_text(json.dumps(stub))
    made = ModelManager(Store([LocalFolder(tmp_path)]))
    yield made
    made.close()


def users(manager: ModelManager) -> list[int]:
    return [shared.users for shared in manager.models()]


def stages(*steps: tuple[str, dict[str, Any]]) -> list[Callable[[], Stage]]:
    return [functools.partial(open_stage, name, options) for name, options in steps]


def run(sources: Any, *steps: tuple[str, dict[str, Any]], **more: Any) -> Collector:
    """Everything that comes of ``sources``."""
    seen = Collector()
    options: dict[str, Any] = {"confidence": 0.5, "sinks": [seen], **more}
    pipeline = InferencePipeline.init(sources, STREET, stages=stages(*steps), **options)
    pipeline.start()
    pipeline.join()
    return seen


PAINT = ("cascade", {"model": "paint/1", "name": "paint", "classes": ["car"], "most": 30})


def test_two_streams_ask_one_instance_and_let_it_go(manager: ModelManager) -> None:
    seen = run([Reel(street()), Reel(street()[:4])], PAINT, manager=manager)
    assert manager.loads == 2
    assert users(manager) == [0, 0]
    assert (len(seen.ids(0)), len(seen.ids(1))) == (9, 4)
    cars = 0
    for result in seen.results:
        for row in result.prediction.dict()["predictions"]:
            cars += row["class"] == "car"
            told = row.get("attributes", {}).get("paint")
            assert (told is not None) == (row["class"] == "car")
            if told:
                assert told["class"] == "green"
                assert told["confidence"] == pytest.approx(0.976, abs=0.001)
    assert cars > 40
    last = [[r for r in seen.results if r.frame.source_id == source][-1] for source in (0, 1)]
    assert sum(result.measures["paint"]["answered"] for result in last) == cars


def test_carried_frames_keep_what_was_said(manager: ModelManager) -> None:
    reel = Reel(street(12, 1))
    seen = run(reel, PAINT, manager=manager, stream={"infer_every": 3})
    carried = [r for r in seen.results if not r.inferred]
    assert len(carried) == 8
    for result in carried:
        found = result.prediction
        assert [bool(a) for a in found.attributes] == [label == "car" for label in found.labels]


def test_the_pipelines_own_model_may_be_the_second_one(manager: ModelManager) -> None:
    objects = ("cascade", {"model": STREET, "classes": ["bus"], "smallest": 40, "name": "inside"})
    seen = run(Reel(street()), objects, manager=manager)
    assert manager.loads == 1
    whole = [r.prediction for r in seen.results if (r.prediction.parent >= 0).any()]
    assert whole, "buses are full of buses"
    for found in whole:
        children = np.flatnonzero(found.parent >= 0)
        parents = found.parent[children]
        assert {found.labels[i] for i in parents} == {"bus"}
        grown = found.xyxy[parents] + np.array((-1, -1, 1, 1)) * 0.12 * np.tile(
            found.xyxy[parents, 2:] - found.xyxy[parents, :2], 2
        )
        assert (found.xyxy[children, :2] >= grown[:, :2] - 2).all()
        assert (found.xyxy[children, 2:] <= grown[:, 2:] + 2).all()


class Stuck(Scale):
    """Sits in its run until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.open = threading.Event(), threading.Event()

    def prepare(self, pictures: Sequence[VideoFrame | Image]) -> tuple[Tensor, Sequence[Any]]:
        if len(pictures[0].image if isinstance(pictures[0], VideoFrame) else pictures[0]) != 240:
            self.entered.set()
            assert self.open.wait(20)
        return np.zeros((len(pictures), 4, 4, 3), np.float32), [None] * len(pictures)


class OneMore(ModelManager):
    """A manager that also has a model made by a test."""

    def __init__(self, model: Scale) -> None:
        super().__init__(Store([]))
        self.extra = SharedModel(model, 1)

    def lease(self, model: Any, *args: Any, **options: Any) -> Lease:
        if model != "extra/1":
            return super().lease(model, *args, **options)
        self.extra.start()
        return Lease(self.extra, self.extra.stop)


EXTRA = ("cascade", {"model": "extra/1", "confidence": 0.0})


def test_stopping_in_the_middle_of_an_answer_waits_for_nobody() -> None:
    stuck = Stuck()
    manager = OneMore(stuck)
    pipeline = InferencePipeline.init(
        [Reel(street()), Reel(street())], STREET, stages=stages(EXTRA), manager=manager
    )
    pipeline.start(use_main_thread=False)
    assert stuck.entered.wait(20)
    assert manager.extra.users == 2
    pipeline.terminate()
    stuck.open.set()
    until(lambda: not pipeline.running)
    until(lambda: manager.extra.users == 0)
    for account in pipeline.stats()["streams"]:
        assert not account["dropped"].get("failed")
        assert account["captured"] == account["delivered"] + sum(account["dropped"].values())
    manager.close()


def test_removing_one_stream_leaves_the_model_to_the_other() -> None:
    stuck = Stuck()
    stuck.open.set()
    manager = OneMore(stuck)
    seen = Collector()
    cameras = [Camera(), Camera()]
    pipeline = InferencePipeline.init(
        cameras, STREET, stages=stages(EXTRA), sinks=[seen], manager=manager
    )
    with pipeline:
        seen.await_results(4)
        assert manager.extra.users == 2
        pipeline.remove_source(0)
        until(lambda: manager.extra.users == 1)
        number = pipeline.add_source(Camera())
        until(lambda: bool(seen.ids(number)))
        assert manager.extra.users == 2
    assert manager.extra.users == 0
    manager.close()


class Moody(Scale):
    """Fails on every other picture."""

    asked = 0

    def prepare(self, pictures: Sequence[VideoFrame | Image]) -> tuple[Tensor, Sequence[Any]]:
        self.asked += 1
        if self.asked % 2 == 0:
            raise ZeroDivisionError("not today")
        return np.zeros((len(pictures), 4, 4, 3), np.float32), [None] * len(pictures)


def test_a_second_model_that_fails_ends_nothing_and_is_counted() -> None:
    manager = OneMore(Moody())
    seen = run(Reel(street(4)), EXTRA, manager=manager)
    assert seen.ids() == [1, 2, 3, 4]
    told = seen.results[-1].measures["cascade"]
    assert told["failed"] > 0
    assert told["answered"] > 0
    assert told["asked"] == told["answered"] + told["failed"]
    manager.close()


def test_the_second_model_is_swapped_under_way(manager: ModelManager) -> None:
    swapped = threading.Event()

    def swap(_: Any) -> None:
        if not swapped.is_set():
            swapped.set()
            manager.swap("paint/1", "paint/2")

    seen = run(Reel(street()), PAINT, manager=manager, on_result=swap)
    said = [{a["paint"]["class"] for a in r.prediction.attributes if a} for r in seen.results]
    assert said[0] == {"green"}
    assert said[-1] == {"matt"}


@pytest.mark.parametrize(
    ("step", "error", "told"),
    [
        (("cascade", {"model": "new/0"}), ConfigError, "is a stub.*classifies, detects"),
        (("cascade", {"model": "paint/9"}), ModelNotFoundError, "paint/9"),
        (("cascade", {"model": "paint/1", "options": {"sure": 1}}), ConfigError, "there are conf"),
        (("cascade", {"model": STREET, "replace": True}), ConfigError, "one class"),
        (("slice", {"model": "paint/1"}), ConfigError, "name a model that detects"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start_and_holds_nothing(
    manager: ModelManager, step: Any, error: type[Exception], told: str
) -> None:
    pipeline = InferencePipeline.init(
        [Reel(street()), Reel(street())], STREET, stages=stages(PAINT, step), manager=manager
    )
    with pytest.raises(error, match=told):
        pipeline.start()
    assert not pipeline.running
    assert set(users(manager)) == {0}


def test_a_function_in_the_models_place_has_no_model_of_its_own_to_slice() -> None:
    pipeline = InferencePipeline.init_with_custom_logic(
        Reel(street(1)), lambda frames: [None] * len(frames), stages=stages(("slice", {}))
    )
    with pytest.raises(ConfigError, match="name the model"):
        pipeline.start()


# -- slices ----------------------------------------------------------------------------------


def wall(pictures: Sequence[Image]) -> Image:
    """Nine pictures at half their size, side by side."""
    small = [cv2.resize(p, (640, 360), interpolation=cv2.INTER_AREA) for p in pictures]
    return np.vstack([np.hstack(small[i : i + 3]) for i in (0, 3, 6)]).astype(np.uint8)


def test_slices_find_what_is_too_small_in_the_whole_picture(manager: ModelManager) -> None:
    picture = wall(street())
    [plain] = run(Reel([picture]), manager=manager).results
    [sliced] = run(Reel([picture]), ("slice", {"columns": 3, "rows": 3}), manager=manager).results
    with get_model(STREET, manager=manager) as model:
        said = model.infer(street(), confidence=0.5)
    alone = sum(len(found) for found in said if isinstance(found, Detections))
    assert manager.loads == 1
    assert len(plain.prediction) < 0.3 * alone
    assert abs(len(sliced.prediction) - alone) < 0.15 * alone
    assert sliced.measures["slice"]["answered"] == 9


# -- against real weights --------------------------------------------------------------------


def nearest(points: Any, others: Any) -> float:
    """The mean distance of a person's sure keypoints to those of the person that is nearest."""
    apart = []
    for other in others:
        both = (points[:, 2] > 0.5) & (other[:, 2] > 0.5)
        apart.append(np.linalg.norm(points[both, :2] - other[both, :2], axis=1).mean())
    return float(min(apart))


def test_poses_within_crops_are_those_of_the_whole_picture() -> None:
    detector = str(needs_real_data("models/yolov8n_640.onnx"))
    pose = str(needs_real_data("models/yolo11n-pose_640.onnx"))
    picture = photo(needs_real_data("images/bus.jpg"))
    seen = Collector()
    step = ("cascade", {"model": pose, "classes": ["person"], "at_least": 0.8})
    pipeline = InferencePipeline.init(
        Reel([picture]), detector, stages=stages(step), sinks=[seen], confidence=0.5
    )
    pipeline.start()
    pipeline.join()
    found = seen.results[0].prediction
    with get_model(pose) as model:
        [alone] = model.infer(picture, confidence=0.5)
    assert isinstance(alone, Detections)
    people = [i for i, a in enumerate(found.attributes) if a]
    assert len(people) == 3
    for i in people:
        assert nearest(found.keypoints[i], alone.keypoints) < 12
    rows = found.dict()["predictions"]
    assert {k["class"] for row in rows for k in row["keypoints"]} >= {"nose", "left_knee"} or all(
        k["class"].startswith("keypoint_") for row in rows for k in row["keypoints"]
    )
    assert not rows[found.labels.index("bus")]["keypoints"]


def test_a_classifier_says_of_a_crop_what_it_says_of_that_picture() -> None:
    detector = str(needs_real_data("models/yolov8n_640.onnx"))
    kinds = str(needs_real_data("models/yolo11n-cls_imagenet_224.onnx"))
    picture = photo(needs_real_data("images/bus.jpg"))
    seen = Collector()
    step = ("cascade", {"model": kinds, "confidence": 0.05, "padding": 0.2})
    pipeline = InferencePipeline.init(
        Reel([picture]), detector, stages=stages(step), sinks=[seen], confidence=0.5
    )
    pipeline.start()
    pipeline.join()
    found = seen.results[0].prediction
    places = crops(found.xyxy, 0.2, found.image_size)
    with get_model(kinds) as model:
        said = model.infer([cut(picture, place) for place in places], confidence=0.05)
    for attributes, alone in zip(found.attributes, said, strict=True):
        assert isinstance(alone, Classification)
        told = attributes["cascade"]
        assert told["class"] == alone.labels[0]
        assert told["confidence"] == pytest.approx(float(alone.confidence[0]), abs=1e-6)


def test_small_objects_of_real_pictures_are_found_and_keep_their_shapes() -> None:
    model = str(needs_real_data("models/yolov8n-seg_640.onnx"))
    folder = needs_real_data("images/coco_val_a")
    files = sorted(folder.rglob("*.jpg"))[:12]
    picture = np.full((720, 1280, 3), 114, np.uint8)
    for i, file in enumerate(files):
        small = cv2.resize(photo(file), (320, 240), interpolation=cv2.INTER_AREA)
        top, left = divmod(i, 4)
        picture[240 * top : 240 * top + 240, 320 * left : 320 * left + 320] = small
    counts = []
    for steps in ([], [("slice", {"columns": 3, "rows": 2, "same": 0.5})]):
        seen = Collector()
        pipeline = InferencePipeline.init(
            Reel([picture]), model, stages=stages(*steps), sinks=[seen], confidence=0.4
        )
        pipeline.start()
        pipeline.join()
        counts.append(len(seen.results[0].prediction))
    found = seen.results[0].prediction
    assert counts[1] >= 2 * max(counts[0], 4)
    shapes = found.masks.dense()
    inside = [int(s.sum()) for s in shapes]
    areas = (found.xyxy[:, 2:] - found.xyxy[:, :2]).prod(axis=1)
    assert all(0.05 * area < count < 1.1 * area for area, count in zip(areas, inside, strict=True))


def test_stages_that_are_exchanged_under_way_let_go_of_their_models() -> None:
    first, second = Stuck(), Stuck()
    first.open.set()
    second.open.set()
    manager = OneMore(first)
    seen = Collector()
    pipeline = InferencePipeline.init(
        [Camera()], STREET, stages=stages(EXTRA), sinks=[seen], manager=manager
    )
    with pipeline:
        seen.await_results(2)
        assert manager.extra.users == 1
        named = ("cascade", {"model": "extra/1", "name": "again"})
        pipeline.restaged(0, stages(named)).go_over()
        until(lambda: "again" in seen.results[-1].measures)
        assert manager.extra.users == 1
        pipeline.restaged(0, stages(("select", {"confidence": 0.1}))).go_over()
        until(lambda: manager.extra.users == 0)
    assert pipeline.stats()["streams"][0]["dropped"].get("failed", 0) == 0
    manager.close()


def test_changes_that_are_given_up_hold_no_model() -> None:
    manager = OneMore(Scale(1))
    wrong = ("cascade", {"model": "no/1"})
    with InferencePipeline.init([Camera()], STREET, manager=manager) as pipeline:
        for _ in range(3):
            with pytest.raises(ModelNotFoundError):
                pipeline.restaged(0, stages(EXTRA, wrong))
        assert manager.extra.users == 0
        prepared = pipeline.restaged(0, stages(EXTRA))
        assert manager.extra.users == 1
        prepared.give_up()
        assert manager.extra.users == 0
    manager.close()


def test_whoever_does_not_start_holds_no_model() -> None:
    entered, arrived = threading.Event(), threading.Event()

    class Slow(OneMore):
        def lease(self, model: Any, *args: Any, **options: Any) -> Lease:
            if model == "extra/1":
                entered.set()
                assert arrived.wait(20)
            return super().lease(model, *args, **options)

    manager, wrong = Slow(Scale(1)), ("cascade", {"model": "no/1"})
    asking = SourceReference(Camera(), stages=stages(EXTRA))
    with InferencePipeline.init([Camera()], STREET, manager=manager) as pipeline:
        adding = threading.Thread(target=pipeline.add_source, args=(asking,))
        adding.start()
        assert entered.wait(20)
        pipeline.remove_source(1)
        arrived.set()
        adding.join(20)
        assert manager.extra.users == 0
        bad = SourceReference(Camera(), stages=stages(EXTRA, wrong))
        with pytest.raises(ModelNotFoundError):
            pipeline.add_source(bad)
        assert manager.extra.users == 0
    failing = InferencePipeline.init([asking, bad], STREET, manager=manager)
    with pytest.raises(ModelNotFoundError):
        failing.start()
    assert manager.extra.users == 0
    assert [model.users for model in manager.models()] == [0]
    manager.close()


def test_a_model_that_one_source_waits_for_holds_up_no_other_and_no_stop() -> None:
    entered, arrived = threading.Event(), threading.Event()

    class Slow(OneMore):
        def pin(self, model: Any, *args: Any, **options: Any) -> Lease:
            if model != "extra/1":
                return super().pin(model, *args, **options)
            entered.set()
            assert arrived.wait(20)
            return Lease(self.extra, lambda _: None)

    manager = Slow(Scale(1))
    pipeline = InferencePipeline.init([Camera()], STREET, manager=manager, keep_alive=True)
    adding = threading.Thread(
        target=pipeline.add_source, args=(Camera(),), kwargs={"model": {"id": "extra/1"}}
    )
    with pipeline:
        adding.start()
        assert entered.wait(20)
    assert not pipeline.running
    arrived.set()
    adding.join(20)
    assert manager.extra.users == 0
    manager.close()


@cache
def scripts(name: str) -> Any:
    """A script of the samples, imported the way they import one another."""
    sys.path.insert(0, str(SAMPLES))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(SAMPLES))


def test_the_sample_tells_the_colours_of_cars_on_the_clip(tmp_path: Path) -> None:
    document = tmp_path / "paint.yaml"
    model = os.path.relpath(SAMPLES / "models" / "paint" / "1", tmp_path)
    document.write_text(
        f"""
sources: [{SAMPLES / "street.mp4"}]
model: {STREET}
stages:
  - track
  - cascade: {{model: {model}, name: paint, classes: [car], every: 0.3, looks: 7}}
stream: {{infer_every: 2}}
"""
    )
    seen = Collector()
    pipeline = build_pipeline(PipelineSpec.load(document), sinks=[seen])
    with pipeline:
        seen.await_results(150, 60)
    words, street = scripts("train_paint"), scripts("street.scene")
    scene = street.Scene(street.CLIP_SEED)
    told: dict[int, tuple[str, float, str]] = {}
    for result in seen.results[:150:10]:
        found, truths = result.prediction, scene.boxes(result.frame.frame_id - 1)
        cars = [(car, words.word(scene, car)) for car in truths if car.name == "car"]
        for i, attributes in enumerate(found.attributes):
            apart = [(abs(np.array(car.xyxy) - found.xyxy[i]).sum(), word) for car, word in cars]
            off, word = min(apart, default=(np.inf, 0))
            if attributes and off < 40:
                said, true = attributes["paint"], words.NAMES[word]
                told[int(found.tracker_id[i])] = said["class"], said["confidence"], true
    sure = [(said, true) for said, confidence, true in told.values() if confidence > 0.6]
    assert len(sure) > 4
    assert all(said == true for said, true in sure), told
    asked = seen.results[-1].measures["paint"]["asked"]
    assert asked < 0.3 * sum("car" in r.prediction.labels for r in seen.results) * 3


def test_slices_of_a_source_with_a_region_and_a_confidence_of_its_own(
    manager: ModelManager,
) -> None:
    picture = wall(street())
    tiles = ("slice", {"columns": 3, "rows": 3})
    [usual] = run(Reel([picture]), tiles, manager=manager).results
    options = {"region": [0, 0, 0.5, 0.5], "model": {"confidence": 0.8}}
    source = SourceReference(Reel([picture]), options)
    [own] = run([source], tiles, manager=manager).results
    assert own.measures["slice"]["answered"] == 9
    assert own.prediction.confidence.min() >= 0.8
    sure = usual.prediction[usual.prediction.confidence >= 0.8]
    assert abs(len(own.prediction) - len(sure)) <= 0.1 * len(sure) + 1
