"""Predictions are columns; their wire form is the neighbour's."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import supervision

from streamkit.frame import VideoFrame
from streamkit.masks import Masks
from streamkit.predictions import (
    Classification,
    Detections,
    MultiLabelClassification,
    Prediction,
    Result,
    StubPrediction,
    random_uuids,
)

TWO = Detections(
    xyxy=np.array([[10, 20, 30, 60], [0.5, 0, 2, 3]], np.float32),
    confidence=np.array([0.9, 0.25], np.float32),
    class_id=np.array([1, 0]),
    names=("cat", "dog"),
    image_size=(640, 480),
)


BITMAP = np.ones((4, 6), np.uint8)
SHAPED = replace(
    TWO,
    masks=Masks((BITMAP, BITMAP[:0, :0]), np.array([[12, 30], [0, 0]]), (640, 480)),
    keypoints=np.array([[[11, 21, 0.9], [12, 22, 0.5]], [[1, 2, 0.25], [0, 0, 0]]], np.float32),
    keypoint_names=(("paw",), ("nose", "tail")),
)


def test_the_wire_form_has_the_neighbours_keys_in_its_order() -> None:
    wire = TWO.dict()
    assert wire["image"] == {"width": 640, "height": 480}
    first = wire["predictions"][0]
    assert list(first) == [
        "x", "y", "width", "height", "confidence", "class", "class_id", "detection_id",
    ]  # fmt: skip
    assert (first["x"], first["y"], first["width"], first["height"]) == (20, 40, 20, 40)
    assert (first["class"], first["class_id"]) == ("dog", 1)
    assert first["confidence"] == pytest.approx(0.9)
    assert uuid.UUID(first["detection_id"]).version == 4
    json.dumps(wire)


def test_boxes_are_not_rounded() -> None:
    assert TWO.dict()["predictions"][1]["x"] == 1.25


def test_no_objects_are_an_empty_list() -> None:
    empty = Detections.empty(("cat",), (8, 8))
    assert len(empty) == 0
    assert empty.xyxy.shape == (0, 4)
    assert empty.dict()["predictions"] == []


def test_choosing_keeps_every_column() -> None:
    tracked = Detections(
        TWO.xyxy, TWO.confidence, TWO.class_id, TWO.names, TWO.image_size, np.array([7, 8])
    )
    second = tracked[np.array([False, True])]
    assert second.labels == ["cat"]
    assert second.tracker_id is not None
    assert second.dict()["predictions"][0]["tracker_id"] == 8
    assert len(tracked[[1, 0]]) == 2
    assert tracked[:1].labels == ["dog"]


def test_choosing_keeps_masks_and_keypoints() -> None:
    second = SHAPED[[1, 0]]
    assert second.masks is not None
    assert second.masks.areas.tolist() == [0, 24]
    assert second.keypoints is not None
    assert second.keypoints[1, 0].tolist() == pytest.approx([11, 21, 0.9])
    assert second.keypoint_names is SHAPED.keypoint_names


def test_masks_are_points_before_the_class_id() -> None:
    first, second = SHAPED.dict()["predictions"]
    keys = list(first)
    assert keys.index("class") < keys.index("points") < keys.index("class_id")
    corners = [(12, 30), (12, 33), (17, 33), (17, 30)]
    assert first["points"] == [{"x": x, "y": y} for x, y in corners]
    assert second["points"] == []
    assert first["mask_format"] == "polygon"
    json.dumps(first)


def test_masks_are_rle_where_asked_for() -> None:
    first = SHAPED.dict("rle")["predictions"][0]
    assert "points" not in first
    assert first["rle"]["size"] == [480, 640]
    assert first["mask_format"] == "rle"
    json.dumps(first)


def test_keypoints_are_those_that_the_class_has_and_the_model_found() -> None:
    first, second = SHAPED.dict()["predictions"]
    assert [point["class"] for point in first["keypoints"]] == ["nose", "tail"]
    assert list(first["keypoints"][0]) == ["x", "y", "confidence", "class_id", "class"]
    assert second["keypoints"] == [
        {"x": 1.0, "y": 2.0, "confidence": 0.25, "class_id": 0, "class": "paw"}
    ]
    json.dumps(first)


def test_supervision_gets_masks_and_keypoints() -> None:
    given = SHAPED.to_supervision()
    assert given.mask is not None
    assert given.mask.sum(axis=(1, 2)).tolist() == [24, 0]
    assert np.asarray(given.data["keypoints"]).shape == (2, 2, 3)


@pytest.mark.parametrize("masks", ["polygon", "rle"])
def test_supervision_reads_the_masks_of_the_wire_form(masks: Any) -> None:
    first = SHAPED[[0]]
    assert first.masks is not None
    read = supervision.Detections.from_inference(first.dict(masks))
    assert read.mask is not None
    assert (np.asarray(read.mask) == first.masks.dense()).all()


def test_supervision_reads_the_keypoints_of_the_wire_form() -> None:
    read = supervision.KeyPoints.from_inference(SHAPED[[0]].dict())
    assert SHAPED.keypoints is not None
    np.testing.assert_allclose(read.xy[0], SHAPED.keypoints[0, :, :2])


def test_a_class_of_a_picture_has_the_neighbours_keys() -> None:
    found = Classification(
        np.array([0.75, 0.25], np.float32), np.array([1, 0]), ("cat", "dog"), (640, 480)
    )
    assert found.dict() == {
        "image": {"width": 640, "height": 480},
        "predictions": [
            {"class": "dog", "class_id": 1, "confidence": 0.75},
            {"class": "cat", "class_id": 0, "confidence": 0.25},
        ],
        "top": "dog",
        "confidence": 0.75,
    }


def test_every_kind_of_answer_is_a_prediction() -> None:
    several = MultiLabelClassification(
        np.array([0.75, 0.25], np.float32), np.array([0]), ("cat", "dog"), (640, 480)
    )
    assert several.labels == several.dict()["predicted_classes"] == ["cat"]
    stub = StubPrediction("new/0", "classification")
    assert all(isinstance(one, Prediction) for one in (TWO, several, stub))


def test_supervision_reads_the_wire_form_and_gets_the_columns() -> None:
    read = supervision.Detections.from_inference(TWO.dict())
    given = TWO.to_supervision()
    np.testing.assert_allclose(read.xyxy, given.xyxy)
    assert read.confidence is not None
    np.testing.assert_allclose(read.confidence, TWO.confidence)
    assert list(given.data["class_name"]) == list(read.data["class_name"]) == ["dog", "cat"]


def test_a_result_builds_its_wire_form_once_and_hands_on_what_is_no_prediction() -> None:
    frame = VideoFrame(np.zeros((2, 4, 3), np.uint8), 1, datetime.now(UTC))
    result = Result(frame, TWO)
    assert result.wire is result.wire
    assert result.image is frame.image
    assert Result(frame, [1, 2]).wire == [1, 2]
    drawn = np.ones((2, 4, 3), np.uint8)
    assert Result(frame, None, drawn=drawn).image is drawn


def test_random_uuids_are_of_version_four_and_differ() -> None:
    made = set(random_uuids(1000))
    assert len(made) == 1000
    parsed = {uuid.UUID(text) for text in made}
    assert {one.version for one in parsed} == {4}
    assert {one.variant for one in parsed} == {uuid.RFC_4122}
