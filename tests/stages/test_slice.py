"""Slices: tiles that cover the picture, and each object once, whole, wherever the seams are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamkit.asking import Answer, Unanswered
from streamkit.errors import ConfigError
from streamkit.frame import Image, VideoFrame
from streamkit.masks import Masks
from streamkit.predictions import Classification, Detections, Floats, Result
from streamkit.stages.slice import Slice
from streamkit.stages.tiles import merged, tiles
from tests.stages.asked import Access, Told, nothing
from tests.stages.making import START

WHOLE = (0.0, 0.0, 1.0, 1.0)
SIZE = (400, 200)
NAMES = ("ant", "bee")
Box = tuple[float, float, float, float]


def found(
    *boxes: Box, size: tuple[int, int] = SIZE, classes: Any = None, **more: Any
) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.linspace(0.9, 0.6, len(boxes), dtype=np.float32),
        np.array(classes or [0] * len(boxes), np.int64),
        NAMES,
        size,
        **more,
    )


def views(truth: Floats, columns: int, rows: int, overlap: float) -> tuple[list[Detections], Any]:
    """What each tile shows of objects at ``truth``: whatever is left of them there."""
    places = tiles(SIZE, WHOLE, columns, rows, overlap)
    seen = []
    for left, top, right, bottom in places.tolist():
        edges = np.array((left, top, right, bottom), np.float32)
        low = np.maximum(truth[:, :2], edges[:2])
        high = np.minimum(truth[:, 2:], edges[2:])
        there = ((high - low) > 1).all(axis=1)
        boxes = np.concatenate((low, high), axis=1)[there] - np.array((left, top) * 2)
        seen.append(found(*boxes.tolist(), size=(right - left, bottom - top)))
    return seen, places


# -- tiles -----------------------------------------------------------------------------------


@given(
    st.tuples(st.integers(8, 4000), st.integers(8, 3000)),
    st.integers(1, 6),
    st.integers(1, 6),
    st.floats(0, 0.6),
)
@settings(max_examples=60, deadline=None)
def test_tiles_cover_everything_and_share_what_they_should(
    size: tuple[int, int], columns: int, rows: int, overlap: float
) -> None:
    places = tiles(size, WHOLE, columns, rows, overlap)
    assert len(places) == columns * rows
    assert places.min() == 0
    assert places[:, 2].max() == size[0]
    assert places[:, 3].max() == size[1]
    assert (places[:, 2:] > places[:, :2]).all()
    first = places[:columns]
    shared = first[:-1, 2] - first[1:, 0]
    assert (shared >= overlap * (first[0, 2] - first[0, 0]) - 3).all()


def test_tiles_of_a_region_stay_in_it() -> None:
    places = tiles((1000, 500), (0.2, 0.5, 0.8, 1.0), 3, 1, 0.1)
    assert places[:, 0].min() == 200
    assert places[:, 2].max() == 800
    assert set(places[:, 1].tolist()) == {250}
    assert set(places[:, 3].tolist()) == {500}


# -- seams -----------------------------------------------------------------------------------


def test_an_object_in_the_overlap_is_told_once_and_whole() -> None:
    truth = np.array([[190, 80, 210, 120]], np.float32)
    seen, places = views(truth, 2, 1, 0.2)
    whole = merged(found(), seen, places, 0.4)
    assert whole.xyxy.tolist() == truth.tolist()


def test_an_object_larger_than_a_tile_is_the_whole_pictures() -> None:
    truth = np.array([[20, 20, 380, 180]], np.float32)
    seen, places = views(truth, 4, 2, 0.2)
    whole = merged(found((21, 19, 379, 181)), seen, places, 0.4)
    assert whole.xyxy.tolist() == [[21, 19, 379, 181]]


def test_pieces_that_no_look_saw_whole_are_put_together() -> None:
    truth = np.array([[100, 80, 330, 120], [50, 20, 70, 40]], np.float32)
    seen, places = views(truth, 2, 1, 0.2)
    whole = merged(found(), seen, places, 0.4)
    assert sorted(whole.xyxy.tolist()) == sorted(truth.tolist())


def test_neighbours_that_a_seam_cuts_stay_two() -> None:
    truth = np.array([[100, 80, 130, 180], [125, 80, 155, 180]], np.float32)
    seen, places = views(truth, 1, 2, 0.1)
    whole = merged(found(), seen, places, 0.4)
    assert sorted(whole.xyxy.tolist()) == sorted(truth.tolist())


def test_a_surer_piece_does_not_win_over_the_whole() -> None:
    seen = [found((180, 50, 220, 90), size=(220, 200))]
    whole = merged(found((180, 50, 300, 90)), seen, [np.array((0, 0, 220, 200))], 0.4)
    assert whole.xyxy.tolist() == [[180, 50, 300, 90]]


def test_other_classes_at_the_same_place_are_kept() -> None:
    seen = [found((10, 10, 40, 40), (11, 10, 41, 40), classes=[0, 1], size=(220, 200))]
    whole = merged(found((10, 10, 40, 40)), seen, [np.array((0, 0, 220, 200))], 0.4)
    assert sorted(whole.labels) == ["ant", "bee"]


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=80, deadline=None)
def test_objects_smaller_than_the_overlap_come_out_as_they_are(
    seed: int, columns: int, rows: int
) -> None:
    rng = np.random.default_rng(seed)
    places = tiles(SIZE, WHOLE, columns, rows, 0.3)
    room = 0.3 * (places[0, 2:] - places[0, :2]).min() - 8
    cells = rng.permutation(32)[: rng.integers(1, 12)]
    corner = np.column_stack((cells % 8 * 50, cells // 8 * 50)) + rng.uniform(0, 8, (len(cells), 2))
    side = np.minimum(rng.uniform(6, 34, (len(cells), 2)), room)
    truth = np.concatenate((corner, corner + side), axis=1).astype(np.float32)
    seen, places = views(truth, columns, rows, 0.3)
    whole = merged(found(), seen, places, 0.4)
    assert np.allclose(sorted(whole.xyxy.tolist()), sorted(truth.tolist()), atol=1e-3)


def test_shapes_and_keypoints_are_kept_and_joined() -> None:
    def piece(box: Box, size: tuple[int, int]) -> Detections:
        left, top, right, bottom = map(int, box)
        shape = Masks(
            (np.ones((bottom - top, right - left), np.uint8),), np.array([[left, top]]), size
        )
        points = np.array([[[left, top, 0.9], [0, 0, 0]]], np.float32)
        return found(box, size=size, masks=shape, keypoints=points, keypoint_names=(("n", "t"), ()))

    empty = found(
        masks=Masks((), np.zeros((0, 2), np.int64), SIZE),
        keypoints=np.zeros((0, 2, 3), np.float32),
        keypoint_names=(("n", "t"), ()),
    )
    places = [np.array((0, 0, 222, 200)), np.array((178, 0, 400, 200))]
    seen = [piece((100, 80, 222, 120), (222, 200)), piece((0, 80, 152, 120), (222, 200))]
    whole = merged(empty, seen, places, 0.4)
    assert whole.xyxy.tolist() == [[100, 80, 330, 120]]
    assert whole.masks is not None
    assert whole.masks.areas.tolist() == [230 * 40]
    assert whole.keypoints is not None
    assert whole.keypoints[0].tolist() == [[100, 80, pytest.approx(0.9)], [0, 0, 0]]


# -- the stage -------------------------------------------------------------------------------


def result(at: int, prediction: Any, inferred: bool = True) -> Result:
    picture, taken = np.zeros((SIZE[1], SIZE[0], 3), np.uint8), START + timedelta(seconds=at / 10)
    return Result(
        VideoFrame(picture, at + 1, taken, comes_from_video_file=True), prediction, inferred
    )


def slicing(answer: Any, **options: Any) -> tuple[Slice, Told, Access]:
    model, stage = Told(answer), Slice(**options)
    access = Access(model)
    stage.bind(access)
    return stage, model, access


def test_it_asks_the_pipelines_own_model_about_all_tiles_at_once() -> None:
    stage, model, access = slicing(nothing, columns=2, rows=1, overlap=0.2)
    done = stage(result(0, found((10, 10, 20, 20))))
    assert access.opened == [(None, {"most": 2, "priority": -1})]
    assert model.rounds == [[(223, 200), (223, 200)]]
    assert len(done.prediction) == 1
    assert done.measures["slice"] == {
        "kind": "slice", "asked": 2, "answered": 2, "late": 0, "failed": 0,
    }  # fmt: skip


def test_tiles_that_are_late_or_fail_are_done_without_and_counted() -> None:
    first = nothing(np.zeros((4, 4, 3), np.uint8))
    answers: Iterator[Answer] = iter([first, Unanswered(), Unanswered(ValueError())])

    def answer(_: Image) -> Answer:
        return next(answers)

    stage, _, _ = slicing(answer, columns=2, rows=1)
    done = stage(result(0, found((10, 10, 20, 20))))
    assert done.prediction.labels == ["ant"]
    told = done.measures["slice"]
    assert (told["late"], told["failed"], told["answered"]) == (1, 1, 0)


def test_between_inferences_small_objects_are_moved_along_too() -> None:
    step = 0

    def answer(picture: Image) -> Answer:
        here = (20.0 + 10 * step, 20.0, 40.0 + 10 * step, 40.0)
        return found(here, size=(picture.shape[1], picture.shape[0]))

    stage, model, _ = slicing(answer, columns=1, rows=1)
    places = []
    for step in range(3):
        places.append(stage(result(step, found(), inferred=step < 2)).prediction.xyxy[0, 0])
    assert places == [20, 30, pytest.approx(40, abs=0.5)]
    assert len(model.rounds) == 2


def test_what_is_no_detector_is_refused_and_so_are_wrong_options() -> None:
    def classifies(_: Image) -> Answer:
        return Classification(np.ones(1, np.float32), np.zeros(1, np.int64), NAMES, SIZE)

    with pytest.raises(ConfigError, match=r"Classification; name a model that detects"):
        slicing(classifies)
    with pytest.raises(ConfigError, match="no pipeline has given it a model"):
        Slice()(result(0, found()))
    for wrong in (
        {"columns": 0}, {"columns": 9, "rows": 8}, {"overlap": 1}, {"region": (0, 0, 2, 1)},
        {"same": 0}, {"deadline": -1},
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            Slice(**wrong)


def test_tracks_of_the_whole_look_are_not_made_up_for_tiles() -> None:
    def answer(picture: Image) -> Answer:
        return found((100, 100, 120, 120), size=(picture.shape[1], picture.shape[0]))

    stage, _, _ = slicing(answer, columns=1, rows=1)
    tracked = replace(found((10, 10, 20, 20)), tracker_id=np.array([5]))
    assert sorted(stage(result(0, tracked)).prediction.tracker_id.tolist()) == [-1, 5]
