"""What is drawn follows from columns and from the neighbour's dictionaries alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streamkit.imaging.marks import Labels, marks_from_detections, marks_from_dict, marks_of
from streamkit.masks import Masks
from streamkit.predictions import (
    Classification,
    Detections,
    MultiLabelClassification,
    StubPrediction,
)
from tests.sinks.making import NAMES, classification, detections


def test_labels_say_class_confidence_and_confirmed_track() -> None:
    marks = marks_from_detections(detections(tracked=True))

    assert marks.labels == ["person 0.88 #12", "car 0.50"]


def test_labels_leave_out_what_is_not_wanted() -> None:
    labels = Labels(names=False, confidence=False)

    assert marks_from_detections(detections(tracked=True), labels).labels == ["#12", ""]


@pytest.mark.parametrize("tracked", [False, True])
def test_the_dictionary_gives_the_same_marks_as_the_columns(tracked: bool) -> None:
    found = detections(tracked=tracked)

    columns, rows = marks_from_detections(found), marks_from_dict(found.dict())

    np.testing.assert_allclose(rows.xyxy, columns.xyxy, atol=1e-3)
    assert rows.labels == columns.labels
    assert list(rows.keys) == list(columns.keys)


def test_colours_follow_the_class_or_the_track() -> None:
    found = replace(detections(), tracker_id=np.array([7, 8], np.int64))

    assert list(marks_from_detections(found).keys) == [0, 2]
    assert list(marks_from_detections(found, Labels(color_by="track")).keys) == [7, 8]
    assert list(marks_from_detections(detections(), Labels(color_by="track")).keys) == [0, 2]


def test_a_class_without_a_number_keeps_its_colour() -> None:
    row = {"x": 5, "y": 5, "width": 4, "height": 4, "class": "cat"}

    first = marks_from_dict({"predictions": [row]})
    later = marks_from_dict({"predictions": [dict(row, **{"class": "dog"}), row]})

    assert first.keys[0] == later.keys[1] != later.keys[0]
    assert first.labels == ["cat 1.00"]


@pytest.mark.parametrize(
    "prediction",
    [
        None,
        {},
        [],
        "text",
        7,
        classification(),
        {"predictions": {"cat": {"confidence": 0.9}}},
        {"predictions": [{"x": "left", "y": 1, "width": 1, "height": 1, "class": "cat"}]},
        {"predictions": None},
    ],
)
def test_what_has_no_boxes_has_no_marks(prediction: Any) -> None:
    assert marks_of(prediction) is None


def test_masks_and_keypoints_leave_the_boxes_as_they_are() -> None:
    found = detections()
    masks = Masks((np.ones((2, 2), np.uint8),) * 2, np.array([[40, 100], [160, 120]]), (320, 240))
    points = np.ones((2, 1, 3), np.float32)
    more = replace(found, masks=masks, keypoints=points, keypoint_names=(("hub",),) * 3)

    assert marks_from_detections(more).labels == marks_from_detections(found).labels
    assert marks_from_dict(more.dict()).labels == marks_from_detections(found).labels


@pytest.mark.parametrize(
    "prediction",
    [
        StubPrediction("new/0", "object-detection"),
        Classification(np.ones(1, np.float32), np.zeros(1, np.int64), NAMES, (320, 240)),
        MultiLabelClassification(np.ones(3, np.float32), np.arange(3), NAMES, (320, 240)),
    ],
)
def test_a_word_about_the_whole_picture_has_no_marks(prediction: Any) -> None:
    assert marks_of(prediction) is None
    assert marks_of(prediction.dict()) is None


def test_finding_nothing_is_a_finding() -> None:
    nothing = marks_of(Detections.empty(NAMES, (320, 240)))

    assert nothing is not None
    assert len(nothing) == 0
    assert marks_of({"predictions": []}) is not None
