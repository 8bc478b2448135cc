"""Predictions about parts of a picture, moved and joined: nothing gets lost or made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamkit.masks import Masks
from streamkit.parts import joined, moved, objects_moved, shapes_moved
from streamkit.predictions import Classification, Detections, StubPrediction

SIZE = (100, 80)


def found(*boxes: tuple[float, float, float, float], names: tuple[str, ...] = ("a",)) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(count, 0.5, np.float32),
        np.arange(count) % len(names),
        names,
        SIZE,
    )


def test_classes_are_one_by_name_and_the_first_ones_keep_their_numbers() -> None:
    first = found((0, 0, 1, 1), (0, 0, 2, 2), names=("car", "bus"))
    second = found((0, 0, 3, 3), (0, 0, 4, 4), (0, 0, 5, 5), names=("face", "bus", "car"))
    whole = joined(first, second)
    assert whole.names == ("car", "bus", "face")
    assert whole.labels == ["car", "bus", "face", "bus", "car"]
    assert joined(first, found(names=("face",))).names == ("car", "bus", "face")
    assert joined(first) is first


def test_what_only_some_have_the_others_have_not() -> None:
    shape = Masks((np.ones((2, 2), np.uint8),), np.array([[3, 4]]), SIZE)
    points = np.ones((1, 2, 3), np.float32)
    plain = found((0, 0, 5, 5))
    rich = replace(
        found((1, 1, 6, 6), names=("b",)),
        tracker_id=np.array([9]),
        masks=shape,
        keypoints=points,
        keypoint_names=(("x", "y"),),
        attributes=({"k": 1},),
        parent=np.array([-1]),
    )
    for whole, row in ((joined(plain, rich), 1), (joined(rich, plain), 0)):
        other = 1 - row
        assert whole.tracker_id is not None
        assert whole.masks is not None
        assert whole.keypoints is not None
        assert whole.attributes is not None
        assert whole.parent is not None
        assert (whole.tracker_id[row], whole.tracker_id[other]) == (9, -1)
        assert whole.masks.areas.tolist()[row] == 4
        assert whole.masks.areas.tolist()[other] == 0
        assert not whole.keypoints[other].any()
        assert (whole.attributes[row], whole.attributes[other]) == ({"k": 1}, {})
        assert whole.parent.tolist() == [-1, -1]
        rows = whole.dict()["predictions"]
        assert [k["class"] for k in rows[row]["keypoints"]] == ["x", "y"]
        assert rows[other]["keypoints"] == []
        assert whole.masks.dense().shape == (2, 80, 100)


def test_parents_count_on() -> None:
    family = replace(found((0, 0, 9, 9), (1, 1, 2, 2)), parent=np.array([-1, 0]))
    whole = joined(found((0, 0, 5, 5)), family, family)
    assert whole.parent is not None
    assert whole.parent.tolist() == [-1, -1, 1, -1, 3]


def test_more_keypoints_than_the_other_has() -> None:
    two = replace(found((0, 0, 1, 1)), keypoints=np.ones((1, 2, 3), np.float32))
    three = replace(found((0, 0, 1, 1)), keypoints=np.ones((1, 3, 3), np.float32))
    whole = joined(two, three)
    assert whole.keypoints is not None
    assert whole.keypoints.shape == (2, 3, 3)
    assert not whole.keypoints[0, 2].any()


def test_moving_keeps_everything_else() -> None:
    rich = replace(found((1, 2, 6, 8)), attributes=({"k": 1},), parent=np.array([-1]))
    there = objects_moved(rich, (10, 20), (300, 200))
    assert there.xyxy.tolist() == [[11, 22, 16, 28]]
    assert there.attributes == rich.attributes
    assert there.image_size == (300, 200)
    said = Classification(np.ones(1, np.float32), np.zeros(1, np.int64), ("a",), SIZE)
    whole = moved(said, (1, 1), (9, 9))
    assert isinstance(whole, Classification)
    assert whole.image_size == (9, 9)
    stub = StubPrediction("a/0", "classification")
    assert moved(stub, (1, 1), (9, 9)) is stub


def test_shapes_that_leave_the_picture_are_cut() -> None:
    shape = Masks((np.ones((4, 6), np.uint8),), np.array([[0, 0]]), SIZE)
    cut = shapes_moved(shape, np.array([[-3, 78]]))
    assert cut.areas.tolist() == [3 * 2]
    assert cut.offsets.tolist() == [[0, 78]]
    gone = shapes_moved(shape, np.array([[200, 0]]))
    assert gone.areas.tolist() == [0]
    assert gone.dense().sum() == 0


@pytest.mark.parametrize("which", [[1, 0], slice(None, None, -1), np.array([False, True])])
def test_a_choice_of_objects_keeps_attributes_and_counts_parents_anew(which: object) -> None:
    family = replace(
        found((0, 0, 9, 9), (1, 1, 2, 2)), parent=np.array([-1, 0]), attributes=({}, {"n": 2})
    )
    chosen = family[which]  # type: ignore[index]
    assert chosen.attributes is not None
    assert chosen.parent is not None
    assert chosen.attributes[0] == {"n": 2}
    assert chosen.parent.tolist() == ([1, -1] if len(chosen) == 2 else [-1])
    sv = family.to_supervision()
    assert list(sv.data["parent"]) == [-1, 0]
    assert list(sv.data["attributes"]) == [{}, {"n": 2}]
