"""Masks, keypoints and classes of whole pictures are compared too, and nothing proves nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streamkit.masks import Masks
from streamkit.predictions import Classification, Detections, MultiLabelClassification
from streamkit.tune.agreement import agreement, objects
from streamkit.tune.candidates import CPU, TENSORRT, Candidate, candidates
from streamkit.tune.told import bitmap, told
from streamkit.tune.tuner import Measured, Tuner, _middle, _steady

NAMES = ("cat", "dog", "owl")
SIZE = (200, 100)


def detections(**more: Any) -> Detections:
    xyxy = np.array([[10, 10, 50, 50]], np.float32)
    confidence, class_id = np.array([0.9], np.float32), np.array([1])
    return Detections(xyxy, confidence, class_id, NAMES, SIZE, **more)


def masked(shape: np.ndarray[Any, Any]) -> Detections:
    return detections(masks=Masks((shape,), np.array([[10, 10]]), SIZE))


def same(one: Any, other: Any) -> float:
    return agreement([told(one)], [told(other)], 0.4)


def test_a_mask_travels_bit_by_bit() -> None:
    shape = (np.arange(35).reshape(5, 7) % 3 == 0).astype(np.uint8)
    said = told(masked(shape))
    found, offset = bitmap(said["masks"][0])
    assert np.array_equal(found, shape > 0)
    assert offset == (10, 10)


def test_the_same_box_with_another_mask_is_another_answer() -> None:
    whole = np.ones((40, 40), np.uint8)
    half = whole.copy()
    half[:, 20:] = 0
    nearly = whole.copy()
    nearly[:, 38:] = 0
    assert same(masked(whole), masked(nearly)) == 1.0
    assert same(masked(whole), masked(half)) == 0.0
    empty = np.zeros((0, 0), np.uint8)
    assert same(masked(empty), masked(empty)) == 1.0
    assert same(masked(empty), masked(whole)) == 0.0


def test_visible_keypoints_must_be_in_their_places() -> None:
    points = np.array([[[20, 20, 0.9], [40, 20, 0.9], [30, 40, 0.1]]], np.float32)
    beside = points + np.array([1, 1, 0], np.float32)
    unseen = points.copy()
    unseen[0, 2, :2] = 0
    away = points.copy()
    away[0, 0, 0] = 35
    exact = detections(keypoints=points)
    assert same(exact, detections(keypoints=beside)) == 1.0
    assert same(exact, detections(keypoints=unseen)) == 1.0
    assert same(exact, detections(keypoints=away)) == 0.0


def test_a_class_of_a_whole_picture_is_its_best_one() -> None:
    def classified(*order: int) -> Classification:
        confidence = np.array([0.6, 0.3, 0.1], np.float32)
        return Classification(confidence, np.array(order), NAMES, SIZE)

    assert same(classified(0, 1, 2), classified(0, 2, 1)) == 1.0
    assert same(classified(0, 1, 2), classified(1, 0, 2)) == 0.0


def test_several_classes_of_a_picture_each_count() -> None:
    def labels(*scores: float) -> MultiLabelClassification:
        found = np.array(scores, np.float32)
        return MultiLabelClassification(found, np.flatnonzero(found >= 0.3), NAMES, SIZE)

    assert same(labels(0.9, 0.8, 0.0), labels(0.9, 0.7, 0.1)) == 1.0
    assert same(labels(0.9, 0.41, 0.0), labels(0.9, 0.39, 0.0)) == 1.0  # nearly the same
    assert same(labels(0.9, 0.8, 0.0), labels(0.9, 0.0, 0.0)) == 0.5


def measured(speed: float, *, agree: float = 1.0, lost: float | None = None) -> Measured:
    candidate = Candidate(CPU, "f32", 1, 2)
    return Measured(candidate, 10.0, 0.1, 0.1, agree, speed, 1.0, 1.0, lost=lost)


@pytest.mark.parametrize(
    ("speeds", "chosen"),
    [
        ((1.2, 1.3, 1.1), True),
        ((1.0, 1.3, 1.1), True),
        ((0.8, 1.3, 1.4), False),
        ((1.0, 1.0, 1.0), False),
    ],
)
def test_only_what_is_steadily_better_is_chosen(speeds: tuple[float, ...], chosen: bool) -> None:
    middle = _middle([measured(speed) for speed in speeds], "throughput")
    assert middle.speed == sorted(speeds)[1]
    assert middle.spread == (min(speeds), max(speeds))
    assert _steady(middle, "throughput") is chosen


def test_one_turn_that_failed_or_disagreed_is_not_forgotten() -> None:
    turns = [measured(1.5), measured(1.5, agree=0.5), measured(1.5)]
    assert _middle(turns, "throughput").agreement == 0.5
    broken = replace(measured(0.0), failure="no end in sight")
    assert not _middle([measured(1.5), broken, measured(1.5)], "throughput").equal(0.9)


def test_map_judges_where_there_is_one() -> None:
    assert measured(2, agree=0.9, lost=0.002).equal(0.99)
    assert measured(2, agree=0.9, lost=-0.01).equal(0.99)
    assert not measured(2, agree=1.0, lost=0.004).equal(0.99)


def test_pictures_that_show_nothing_prove_nothing(tmp_path: Any) -> None:
    nothing: list[dict[str, Any]] = [{"boxes": [], "classes": [], "scores": []}]
    assert objects(nothing, 0.4) == 0
    tuner = Tuner(tmp_path, np.empty(0), (CPU,), 2, inexact=True)
    said = {
        "provider": TENSORRT, "fps": 1.0, "cpu": 1.0, "latency": 1.0, "says": nothing,
        "precision": None,
    }  # fmt: skip
    half = tuner._compared(Candidate(TENSORRT, "f16", 1, 1), said, said)
    assert half.failure == "the pictures show nothing to judge it by"
    exactly = tuner._compared(Candidate(TENSORRT, "f32", 1, 1), said, said)
    assert exactly.failure is None


def test_batches_are_tried_where_the_graph_leaves_them_open() -> None:
    assert {c.batch for c in candidates(2, (CPU,), inexact=True)} == {1}
    assert {c.batch for c in candidates(2, (CPU,), inexact=True, batches=True)} == {1, 4}
    gpu = list(candidates(2, (TENSORRT,), inexact=True, batches=True))
    assert {c.batch for c in gpu} == {1, 4, 8, 16}
    assert {c.precision for c in gpu} == {"f32", "f16"}
    assert len(set(gpu)) == len(gpu)
