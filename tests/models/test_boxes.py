"""Which candidates are objects: against a slow reference that is obviously right."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from streamkit.models.base import InferenceOptions
from streamkit.models.boxes import Scores, candidates, corners, suppress
from streamkit.models.nms import GRAPH
from streamkit.predictions import Floats, Ints

Box = tuple[float, float, float, float]

quarters = st.integers(0, 60).map(lambda n: n / 4)
spans = st.integers(0, 40).map(lambda n: n / 4)
boxes = st.tuples(quarters, quarters, spans, spans).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
thresholds = st.sampled_from(["0", "0.1", "0.3", "0.5", "0.7", "1"])


def exact_iou(a: Box, b: Box) -> Fraction:
    """With whole fractions: nothing is rounded."""
    p, q = [Fraction(x) for x in a], [Fraction(x) for x in b]
    width = max(Fraction(0), min(p[2], q[2]) - max(p[0], q[0]))
    height = max(Fraction(0), min(p[3], q[3]) - max(p[1], q[1]))
    areas = (p[2] - p[0]) * (p[3] - p[1]) + (q[2] - q[0]) * (q[3] - q[1])
    union = areas - width * height
    return width * height / union if union else Fraction(0)


def greedy(
    found: list[Box], classes: list[int], threshold: str, most: int, agnostic: bool
) -> list[int]:
    """The definition, box by box."""
    kept: list[int] = []
    for i, box in enumerate(found):
        rivals = [j for j in kept if agnostic or classes[j] == classes[i]]
        if all(exact_iou(found[j], box) <= Fraction(threshold) for j in rivals):
            kept.append(i)
    return kept[:most]


def as_boxes(found: list[Box]) -> Floats:
    return np.array(found, np.float32).reshape(-1, 4)


@given(st.lists(st.tuples(boxes, st.integers(0, 3)), max_size=30), thresholds)
def test_a_box_with_swapped_corners_is_the_box_between_them(
    found: list[tuple[Box, int]], threshold: str
) -> None:
    """As heads give them whose sizes came out below 0."""
    upright = as_boxes([box for box, _ in found])
    swapped = upright.copy()
    for row, ((x1, y1, x2, y2), which) in zip(swapped, found, strict=True):
        row[[0, 2]] = (x2, x1) if which & 1 else (x1, x2)
        row[[1, 3]] = (y2, y1) if which & 2 else (y1, y2)
    options = InferenceOptions(iou_threshold=float(threshold))
    one_class = np.zeros(len(found), np.int64)
    kept = suppress(swapped, one_class, options).tolist()
    assert kept == suppress(upright, one_class, options).tolist()


@given(st.lists(st.tuples(boxes, st.integers(0, 2)), max_size=30), thresholds, st.booleans())
def test_nms_does_what_the_definition_says(
    found: list[tuple[Box, int]], threshold: str, agnostic: bool
) -> None:
    places, classes = [box for box, _ in found], [c for _, c in found]
    options = InferenceOptions(
        iou_threshold=float(threshold), class_agnostic_nms=agnostic, max_detections=8
    )
    kept = suppress(as_boxes(places), np.array(classes, np.int64), options)
    assert kept.tolist() == greedy(places, classes, threshold, 8, agnostic)


@pytest.mark.parametrize("seed", range(3))
def test_nms_of_many_boxes_does_what_the_definition_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = rng.integers(0, 200, (400, 2)) / 4
    found = np.hstack((places, places + rng.integers(4, 80, (400, 2)) / 4)).astype(np.float32)
    classes = rng.integers(0, 3, 400)
    kept = suppress(found, classes, InferenceOptions(iou_threshold=0.5))
    rows: list[Box] = [(a, b, c, d) for a, b, c, d in found.tolist()]
    assert kept.tolist() == greedy(rows, classes.tolist(), "0.5", 300, False)


def test_a_box_at_the_threshold_stays() -> None:
    found = as_boxes([(0, 0, 10, 10), (0, 0, 10, 5)])  # IoU 0.5
    same: Ints = np.zeros(2, np.int64)
    assert suppress(found, same, InferenceOptions(iou_threshold=0.5)).tolist() == [0, 1]
    assert suppress(found, same, InferenceOptions(iou_threshold=0.49)).tolist() == [0]


def test_a_suppressed_box_suppresses_nobody() -> None:
    found = as_boxes([(0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10)])  # a chain, IoU 3/7 each
    options = InferenceOptions(iou_threshold=0.4)
    assert suppress(found, np.zeros(3, np.int64), options).tolist() == [0, 2]


def scores(*columns: tuple[float, ...]) -> Scores:
    """(classes, N) from one tuple per box."""
    return np.array(columns, np.float32).T


def test_the_threshold_is_inclusive() -> None:
    found = candidates(scores((0.4, 0), (0.39, 0)), InferenceOptions(confidence=0.4), None)
    assert found.index.tolist() == [0]


def test_a_box_is_of_its_best_class() -> None:
    found = candidates(scores((0.5, 0.8), (0.9, 0.6)), InferenceOptions(), None)
    assert found.index.tolist() == [1, 0]
    assert found.class_id.tolist() == [0, 1]
    assert found.confidence.tolist() == pytest.approx([0.9, 0.8])


def test_a_box_may_be_of_several_classes_if_asked() -> None:
    options = InferenceOptions(multi_label=True)
    found = candidates(scores((0.5, 0.8), (0.9, 0.1)), options, None)
    assert list(zip(found.index.tolist(), found.class_id.tolist(), strict=True)) == [
        (1, 0),
        (0, 1),
        (0, 0),
    ]


def test_the_class_filter_comes_before_the_cap() -> None:
    rows = [(0.9, 0.1)] * 5 + [(0.1, 0.5)]
    options = InferenceOptions(max_candidates=3)
    assert candidates(scores(*rows), options, np.array([1])).index.tolist() == [5]


def test_the_class_filter_does_not_turn_a_truck_into_a_car() -> None:
    found = candidates(scores((0.6, 0.5)), InferenceOptions(), np.array([1]))
    assert len(found) == 0


@given(
    st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), min_size=1, max_size=40),
    st.integers(1, 12),
    st.booleans(),
)
def test_candidates_are_the_best_in_order(
    tenths: list[tuple[int, int]], most: int, multi_label: bool
) -> None:
    values = scores(*[(a / 10, b / 10) for a, b in tenths])
    options = InferenceOptions(confidence=0.3, max_candidates=most, multi_label=multi_label)
    found = candidates(values, options, None)
    rows = [
        (-values[c, i], c, i)
        for c in range(2)
        for i in range(len(tenths))
        if values[c, i] >= np.float32(0.3) and (multi_label or c == int(values[:, i].argmax()))
    ]
    confidences = sorted(row[0] for row in rows)[:most]
    assert (-found.confidence).tolist() == confidences
    assert {
        (-s, c, i) for s, c, i in zip(found.confidence, found.class_id, found.index, strict=True)
    } <= set(rows)


def test_corners_of_boxes_given_by_their_centres() -> None:
    centred = np.array([[10], [20], [4], [6]], np.float16)
    found = corners(centred)
    assert found.tolist() == [[8, 17, 12, 23]]
    assert found.dtype == np.float32


def test_nothing_comes_of_nothing() -> None:
    found = candidates(np.zeros((3, 0), np.float32), InferenceOptions(), None)
    assert len(found) == 0
    assert len(suppress(as_boxes([]), np.empty(0, np.int64), InferenceOptions())) == 0


def test_the_graph_is_what_it_says_it_is() -> None:
    told = helper.make_tensor_value_info
    inputs = [
        told("boxes", TensorProto.FLOAT, [1, "N", 4]),
        told("scores", TensorProto.FLOAT, [1, "C", "N"]),
        told("most", TensorProto.INT64, [1]),
        told("iou", TensorProto.FLOAT, [1]),
        told("least", TensorProto.FLOAT, [1]),
    ]
    kept = told("kept", TensorProto.INT64, ["K", 3])
    node = helper.make_node("NonMaxSuppression", [i.name for i in inputs], ["kept"])
    graph = helper.make_graph([node], "nms", inputs, [kept])
    opset = helper.make_opsetid("", 11)
    built = helper.make_model(graph, opset_imports=[opset], ir_version=7, producer_name="streamkit")
    assert onnx.load_from_string(GRAPH) == built


@pytest.mark.parametrize("agnostic", [False, True])
def test_many_classes_and_confidences_that_are_equal(agnostic: bool) -> None:
    rng = np.random.default_rng(5)
    places = rng.integers(0, 100, (600, 2)) / 4
    found = np.hstack((places, places + rng.integers(0, 60, (600, 2)) / 4)).astype(np.float32)
    classes = rng.integers(0, 80, 600)
    options = InferenceOptions(
        iou_threshold=0.25, max_detections=10_000, class_agnostic_nms=agnostic
    )
    rows: list[Box] = [(a, b, c, d) for a, b, c, d in found.tolist()]
    kept = suppress(found, classes, options)
    assert kept.tolist() == greedy(rows, classes.tolist(), "0.25", 10_000, agnostic)
