"""Predictions are columns; their wire form is the neighbour's."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

import numpy as np
import pytest
import supervision

from streamkit.frame import VideoFrame
from streamkit.predictions import Detections, Result, random_uuid

TWO = Detections(
    xyxy=np.array([[10, 20, 30, 60], [0.5, 0, 2, 3]], np.float32),
    confidence=np.array([0.9, 0.25], np.float32),
    class_id=np.array([1, 0]),
    names=("cat", "dog"),
    image_size=(640, 480),
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
    assert Result(frame, None, drawn).image is drawn


def test_random_uuids_are_of_version_four_and_differ() -> None:
    made = {random_uuid() for _ in range(1000)}
    assert len(made) == 1000
    parsed = {uuid.UUID(text) for text in made}
    assert {one.version for one in parsed} == {4}
    assert {one.variant for one in parsed} == {uuid.RFC_4122}
