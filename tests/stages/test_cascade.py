"""Cascades: whom a second model is asked about, how often, and what becomes of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streamkit.asking import Answer, Unanswered
from streamkit.errors import ConfigError, TrackingRequiredError
from streamkit.frame import Image
from streamkit.masks import Masks
from streamkit.predictions import (
    Classification,
    Detections,
    MultiLabelClassification,
    Result,
    StubPrediction,
)
from streamkit.stages.cascade import Cascade
from streamkit.stages.filter import Filter
from tests.stages.asked import Access, Answers, Told, brightness
from tests.stages.making import NAMES, SIZE, frame, objects

LATE = Unanswered()
FAILED = Unanswered(RuntimeError("broken"))


def cascade(answer: Answers = brightness, **options: Any) -> tuple[Cascade, Told]:
    model, stage = Told(answer), Cascade(**{"model": "told/1", "padding": 0, **options})
    stage.bind(Access(model))
    return stage, model


def said(name: str, confidence: float, names: tuple[str, ...] = ("dark", "bright")) -> Answer:
    number = np.array([names.index(name)])
    return Classification(np.array([confidence], np.float32), number, names, (8, 8))


def result(at: float, found: Detections, *, inferred: bool = True) -> Result:
    return Result(frame(at, 1 + round(at * 10)), found, inferred)


def attributes(done: Result) -> Sequence[Any]:
    assert isinstance(done.prediction, Detections)
    assert done.prediction.attributes is not None
    return done.prediction.attributes


def boxes(*rows: tuple[int, int, int, int], class_id: Sequence[int] = ()) -> Detections:
    """Untracked objects at these places, the surest first."""
    return Detections(
        np.array(rows, np.float32).reshape(-1, 4),
        np.linspace(0.9, 0.5, len(rows), dtype=np.float32),
        np.array(class_id or [0] * len(rows), np.int64),
        NAMES,
        SIZE,
    )


def inner(*rows: tuple[float, float, float, float], confidence: float = 0.8) -> Detections:
    """Faces in a crop."""
    return Detections(
        np.array(rows, np.float32).reshape(-1, 4),
        np.full(len(rows), confidence, np.float32),
        np.zeros(len(rows), np.int64),
        ("face",),
        (40, 80),
    )


# -- whom, and how often ---------------------------------------------------------------------


def test_only_the_wanted_objects_are_cut_out_padded_and_inside_the_picture() -> None:
    stage, model = cascade(classes=["car"], smallest=20, at_least=0.4, padding=0.5)
    found = boxes((100, 100, 140, 160), (600, 400, 640, 480), (0, 0, 10, 50), class_id=(0, 2, 2))
    stage(result(0, found))
    assert model.rounds == [[(60, 120)]]


def test_of_too_many_the_best_are_asked_about_and_the_rest_is_counted() -> None:
    stage, model = cascade(most=2)
    found = boxes((0, 0, 20, 20), (0, 0, 90, 90), (0, 0, 50, 50))
    done = stage(result(0, found))
    assert model.rounds == [[(90, 90), (50, 50)]]
    assert done.measures["cascade"] | {"kind": ""} == {
        "kind": "", "asked": 2, "answered": 2, "late": 0, "failed": 0, "left_out": 1,
    }  # fmt: skip
    assert [bool(each) for each in attributes(done)] == [False, True, True]


def test_who_was_never_asked_about_comes_first_then_who_was_longest_ago() -> None:
    asked: list[float] = []

    def answer(picture: Image) -> Answer:
        asked.append(picture.shape[1])
        return said("dark", 0.9)

    stage, _ = cascade(answer, most=1, every=0.05)
    widths = (40, 60, 80)
    for step in range(6):
        rows = boxes(*((0, 100 * i, w, 100 * i + 90) for i, w in enumerate(widths)))
        stage(result(step / 10, replace(rows, tracker_id=np.array([1, 2, 3]))))
    assert sorted(asked[1:4]) == [40, 60, 80]
    assert asked[1:4] == asked[4:]


def test_looks_are_enough_for_a_track_and_its_class_stays_with_it() -> None:
    stage, model = cascade(looks=2)
    for step in range(8):
        done = stage(result(step / 10, objects((7, 0, 100 + step, 200))))
    assert model.asked == 2
    [known] = attributes(done)
    assert known == {"cascade": {"class": "dark", "class_id": 0, "confidence": 1.0}}


def test_every_few_seconds_of_the_streams_own_time() -> None:
    stage, model = cascade(every=1.0)
    for step in range(31):
        stage(result(step / 10, objects((7, 0, 100, 200))))
    assert model.asked == 4


def test_until_it_is_sure() -> None:
    answers = iter([said("dark", 0.4), said("bright", 0.5), *[said("bright", 0.95)] * 30])
    stage, model = cascade(lambda _: next(answers), until=0.6, votes=3)
    done = [stage(result(step / 10, objects((7, 0, 100, 200)))) for step in range(12)]
    assert [each["cascade"]["class"] for each in attributes(done[-1])] == ["bright"]
    told = attributes(done[-1])[0]["cascade"]["confidence"]
    assert told == pytest.approx((0.5 + 0.95 + 0.95) / 3, abs=1e-6) or told >= 0.6
    assert len(model.rounds) < 6


def test_the_majority_of_the_last_answers_counts_and_each_track_is_its_own() -> None:
    def answer(picture: Image) -> Answer:
        return next(first if picture.shape[1] == 40 else second)

    first = iter([said("dark", 0.9), said("bright", 0.6), said("dark", 0.9), said("bright", 0.6)])
    second = iter([said("bright", 0.7)] * 4)
    stage, _ = cascade(lambda _: said("dark", 1))
    stage.bind(Access(Told(lambda p: said("dark", 1) if p.shape[0] == 240 else answer(p))))
    for step in range(4):
        wide = replace(boxes((10, 10, 50, 90), (100, 10, 160, 90)), tracker_id=np.array([4, 5]))
        done = stage(result(step / 10, wide))
    told = [each["cascade"] for each in attributes(done)]
    assert [each["class"] for each in told] == ["dark", "bright"]
    assert told[0]["confidence"] == pytest.approx(0.45)
    assert told[1]["confidence"] == pytest.approx(0.7)


@pytest.mark.parametrize("options", [{"every": 1}, {"looks": 1}, {"until": 0.9}])
def test_how_often_wants_tracks(options: dict[str, Any]) -> None:
    stage, _ = cascade(**options)
    with pytest.raises(TrackingRequiredError, match=r"'cascade' .*put a 'track' stage before it"):
        stage(result(0, boxes((0, 0, 40, 40))))


def test_objects_without_a_track_yet_wait_for_it() -> None:
    stage, model = cascade(looks=1)
    done = stage(result(0, objects((-1, 0, 100, 200), (3, 0, 300, 200))))
    assert len(model.rounds[-1]) == 1
    assert [bool(each) for each in attributes(done)] == [False, True]


def test_what_was_carried_over_is_not_asked_about_and_keeps_what_was_said() -> None:
    stage, model = cascade()
    found = boxes((0, 0, 40, 40), (100, 100, 190, 190))
    stage(result(0, found))
    moved = replace(found, xyxy=found.xyxy + np.float32(3))
    done = stage(result(0.1, moved[1:], inferred=False))
    assert len(model.rounds) == 1
    assert attributes(done)[0]["cascade"]["class"] == "dark"


# -- late, failed, wrong ---------------------------------------------------------------------


def test_late_and_failed_answers_leave_the_object_as_it_was_and_are_counted() -> None:
    def answer(picture: Image) -> Answer:
        return {40: LATE, 60: FAILED}.get(picture.shape[1]) or said("dark", 0.9)

    stage, model = cascade(answer, deadline=0.25, replace=True)
    found = boxes((0, 0, 40, 40), (0, 0, 60, 60), (0, 0, 80, 80))
    done = stage(Result(frame(0, comes_from_video_file=False), found))
    assert model.within == 0.25
    assert [bool(each) for each in attributes(done)] == [False, False, True]
    assert done.prediction.labels == ["person", "person", "dark"]
    told = done.measures["cascade"]
    assert (told["asked"], told["answered"], told["late"], told["failed"]) == (3, 1, 1, 1)


def test_a_recording_waits_for_every_answer() -> None:
    stage, model = cascade(deadline=0.25)
    stage(result(0, boxes((0, 0, 40, 40))))
    assert model.within is None


def test_a_failing_object_does_not_keep_the_others_from_being_asked_about() -> None:
    asked: list[int] = []

    def answer(picture: Image) -> Answer:
        asked.append(picture.shape[1])
        return FAILED if picture.shape[1] == 90 else said("dark", 0.9)

    stage, _ = cascade(answer, most=1, looks=1)
    for step in range(4):
        rows = boxes((0, 0, 90, 90), (0, 0, 40, 40))
        stage(result(step / 10, replace(rows, tracker_id=np.array([1, 2]))))
    assert asked[1:] == [90, 40, 90, 90]


def test_a_stub_and_a_model_without_classes_to_replace_are_refused_with_the_choices() -> None:
    stub = Cascade(model="my/0")
    with pytest.raises(ConfigError, match=r"told/1 is a stub.*classifies, detects, segments or"):
        stub.bind(Access(Told(lambda _: StubPrediction("my/0", "classification"))))
    replaces = Cascade(model="faces/1", replace=True)
    with pytest.raises(ConfigError, match=r"replace wants .* one class.*Detections"):
        replaces.bind(Access(Told(lambda _: inner())))


def test_it_says_so_where_nobody_gave_it_its_model() -> None:
    with pytest.raises(ConfigError, match="no pipeline has given it its model 'x/1'"):
        Cascade(model="x/1")(result(0, boxes((0, 0, 40, 40))))


def test_a_class_that_nobody_knows_is_an_error_also_while_nothing_is_found() -> None:
    stage, _ = cascade(classes=["lorry"])
    with pytest.raises(ConfigError, match="no class lorry; it knows person, bicycle, car"):
        stage(result(0, boxes()))


@pytest.mark.parametrize(
    "wrong",
    [{"most": 0}, {"every": -1}, {"until": 2}, {"deadline": 0}, {"votes": 0}, {"classes": "car"}],
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Cascade(model="x/1", **wrong)


def test_two_of_one_name_would_hide_one_another() -> None:
    first, _ = cascade()
    second, _ = cascade()
    done = first(result(0, boxes((0, 0, 40, 40))))
    with pytest.raises(ConfigError, match="two stages tell 'cascade'"):
        second(done)


# -- what becomes of the answers -------------------------------------------------------------


def test_attributes_are_on_the_wire_and_in_supervision_and_follow_their_object() -> None:
    stage, _ = cascade(name="light")
    found = stage(result(0, boxes((0, 0, 40, 40), (50, 50, 150, 150)))).prediction
    wire = found.dict()["predictions"]
    assert wire[1]["attributes"]["light"]["class"] == "dark"
    assert list(wire[0])[:8] == [
        "x", "y", "width", "height", "confidence", "class", "class_id", "detection_id",
    ]  # fmt: skip
    sv = found.to_supervision()
    assert sv[[1]].data["attributes"][0]["light"]["class"] == "dark"
    assert found[[1]].attributes == found.attributes[1:]
    assert found[np.array([True, False])].attributes == found.attributes[:1]


def test_several_classes_at_once() -> None:
    def answer(_: Image) -> Answer:
        scores = np.array([0.9, 0.1, 0.7], np.float32)
        names = ("hat", "bag", "coat")
        return MultiLabelClassification(scores, np.array([0, 2]), names, (8, 8))

    stage, _ = cascade(answer, confidence=0.5)
    [told] = attributes(stage(result(0, boxes((0, 0, 40, 40)))))
    assert told["cascade"]["predicted_classes"] == ["hat", "coat"]
    assert set(told["cascade"]["predictions"]) == {"hat", "coat"}


def test_a_replaced_class_is_known_in_every_frame_and_the_old_one_is_told() -> None:
    stage, _ = cascade(replace=True)
    done = stage(result(0, boxes((0, 0, 40, 40))))
    assert done.prediction.labels == ["dark"]
    assert done.prediction.confidence.tolist() == [1.0]
    assert attributes(done)[0]["cascade"]["instead_of"] == "person"
    only = Filter(classes=["bright"])
    assert len(only(stage(result(0.1, boxes()))).prediction) == 0


def test_objects_within_objects_come_behind_them_with_their_parent() -> None:
    stage, _ = cascade(lambda _: inner((5, 10, 15, 30)), classes=["person"])
    found = boxes((100, 100, 140, 180), (300, 100, 340, 180), (0, 0, 90, 90), class_id=(2, 0, 0))
    whole = stage(result(0, found)).prediction
    assert whole.labels == ["car", "person", "person", "face", "face"]
    assert whole.names == (*NAMES, "face")
    assert sorted(whole.parent.tolist()) == [-1, -1, -1, 1, 2]
    places = {int(p): box.tolist() for p, box in zip(whole.parent[3:], whole.xyxy[3:], strict=True)}
    assert places == {1: [305, 110, 315, 130], 2: [5, 10, 15, 30]}
    rows = whole.dict()["predictions"]
    parents = {row["detection_id"]: row["class"] for row in rows}
    assert [parents[row["parent_id"]] for row in rows if "parent_id" in row] == ["person"] * 2
    assert "parent_id" not in rows[0]


def test_a_child_whose_parent_is_left_out_stands_for_itself() -> None:
    stage, _ = cascade(lambda _: inner((5, 10, 15, 30)))
    whole = stage(result(0, boxes((100, 100, 140, 180), (300, 100, 340, 180)))).prediction
    kept = whole[whole.xyxy[:, 0] > 200]
    assert kept.labels == ["person", "face"]
    assert kept.parent.tolist() == [-1, 0]
    assert whole[[3, 2]].parent.tolist() == [-1, -1]
    assert whole[::-1].parent.tolist() == [3 - p if p >= 0 else -1 for p in whole.parent[::-1]]


def test_one_face_seen_in_two_crops_is_one_and_the_surer_one() -> None:
    def answer(picture: Image) -> Answer:
        if picture.shape[1] == 100:
            return inner((50, 10, 70, 30), confidence=0.6)
        return inner((10, 10, 30, 30), confidence=0.9)

    stage, _ = cascade(answer)
    whole = stage(result(0, boxes((0, 0, 100, 90), (40, 0, 120, 90)))).prediction
    assert whole.labels == ["person", "person", "face"]
    assert whole.parent.tolist() == [-1, -1, 1]


def test_shapes_of_children_are_kept_and_others_have_none() -> None:
    def answer(picture: Image) -> Answer:
        size = picture.shape[1], picture.shape[0]
        shape = Masks((np.ones((20, 10), np.uint8),), np.array([[5, 10]]), size)
        return replace(inner((5, 10, 15, 30)), masks=shape, image_size=size)

    stage, _ = cascade(answer)
    whole = stage(result(0, boxes((100, 100, 140, 180)))).prediction
    assert whole.masks.areas.tolist() == [0, 200]
    assert whole.masks.offsets[1].tolist() == [105, 110]
    assert whole.masks.dense().shape == (2, 480, 640)


def pose(*rows: tuple[float, float, float, float], size: tuple[int, int]) -> Detections:
    count = len(rows)
    box = np.array(rows, np.float32).reshape(-1, 4)
    points = np.zeros((count, 2, 3), np.float32)
    points[:, 0] = np.column_stack((box[:, :2], np.full(count, 0.9)))
    return Detections(
        box, np.full(count, 0.8, np.float32), np.zeros(count, np.int64), ("person",), size,
        keypoints=points, keypoint_names=(("nose", "tail"),),
    )  # fmt: skip


def test_keypoints_become_those_of_the_object_that_fits() -> None:
    def answer(picture: Image) -> Answer:
        size = picture.shape[1], picture.shape[0]
        return pose((70, 0, 79, 9), (1, 2, size[0] - 1, size[1]), size=size)

    stage, _ = cascade(answer, classes=["person"])
    found = boxes((300, 100, 380, 180), (10, 10, 60, 60), class_id=(0, 2))
    whole = stage(result(0, found)).prediction
    assert whole.labels == ["person", "car"]
    assert whole.keypoints[0].tolist() == [[301, 102, pytest.approx(0.9)], [0, 0, 0]]
    assert not whole.keypoints[1].any()
    [person, _] = whole.dict()["predictions"]
    assert [(k["class"], k["x"], k["y"]) for k in person["keypoints"]] == [("nose", 301, 102)]
    assert person["attributes"]["cascade"]["class"] == "person"


def test_what_was_found_within_moves_and_grows_with_its_object_and_does_not_outlive_hold() -> None:
    stage, model = cascade(lambda _: inner((0, 0, 20, 20)), every=10, hold=0.5)

    def at(when: float, box: tuple[int, int, int, int]) -> Any:
        tracked = replace(boxes(box), tracker_id=np.array([3]))
        return stage(result(when, tracked)).prediction

    at(0, (100, 100, 140, 180))
    moved = at(0.2, (200, 100, 280, 260))
    assert moved.xyxy[1].tolist() == [200, 100, 240, 140]
    assert moved.tracker_id.tolist() == [3, -1]
    assert len(at(0.4, (630, 100, 670, 180))) == 2
    assert at(0.45, (650, 100, 690, 180)).labels == ["person"]
    gone = at(0.8, (200, 100, 280, 260))
    assert gone.labels == ["person"]
    assert gone.names == (*NAMES, "face")
    assert len(model.rounds) == 1


def test_a_frame_without_objects_asks_nobody() -> None:
    stage, model = cascade()
    done = stage(result(0, boxes()))
    assert model.rounds == []
    assert len(done.prediction) == 0
    assert done.prediction.dict()["predictions"] == []
