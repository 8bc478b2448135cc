"""Each layer shows what it is for, only when it is asked for, and nothing is too odd to draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamkit.frame import Image, VideoFrame
from streamkit.imaging.heat import warmed
from streamkit.imaging.layout import blank
from streamkit.imaging.palette import PALETTE
from streamkit.imaging.style import LAYERS
from streamkit.masks import Masks
from streamkit.predictions import Classification, Detections, MultiLabelClassification, Result
from streamkit.stages import open_stage
from tests.sinks.making import START

GOLDEN = Path(__file__).parent / "golden"
GREY = (90, 90, 90)
NAMES = ("person", "Straßenbahn", "自行车", "car")
BODY = ("nose", "left_shoulder", "right_shoulder", "left_hip", "right_hip")
SIZE = (640, 360)
MEASURES: Mapping[str, Any] = {
    "door": {"kind": "zone", "points": [[20, 150], [180, 150], [150, 340], [30, 340]], "count": 1},
    "yard": {"kind": "zone", "points": [[420, 220], [620, 220], [620, 340]], "count": 0},
    "gate": {"kind": "line", "points": [[330, 350], [330, 60]], "in": 6, "out": 9},
    "trails": {"kind": "trails", "paths": [
        {"tracker_id": 7, "points": [[30 + 5 * i, 300 + (i % 3)] for i in range(12)]}]},
    "minute": {"kind": "window", "of": "objects", "avg": 2.25, "max": 5, "begin": "now"},
}  # fmt: skip


def found() -> Detections:
    """A person with a shape and keypoints, a tram with an attribute, a bicycle."""
    boxes = np.array([[60, 160, 120, 310], [210, 100, 310, 160], [400, 250, 470, 310]], np.float32)
    disc = np.zeros((150, 60), np.uint8)
    cv2.ellipse(disc, (30, 75), (28, 73), 0, 0, 360, (1,), -1)
    nothing = np.zeros((0, 0), np.uint8)
    points = np.zeros((3, 5, 3), np.float32)
    points[0] = [[90, 175, 1], [110, 200, 1], [70, 200, 1], [105, 240, 1], [75, 240, 1]]
    return Detections(
        boxes,
        np.array([0.92, 0.81, 0.55], np.float32),
        np.array([0, 1, 2]),
        NAMES,
        SIZE,
        tracker_id=np.array([7, 8, -1]),
        masks=Masks((disc, nothing, nothing), np.array([[60, 160], [0, 0], [0, 0]]), SIZE),
        keypoints=points,
        keypoint_names=(BODY,) * 4,
        attributes=({}, {"make": {"class": "Tatra", "confidence": 0.9}}, {}),
    )


def seen(prediction: Any = None, *, measures: Mapping[str, Any] = MEASURES, **more: Any) -> Result:
    picture = VideoFrame(blank(SIZE, GREY), 1, START, source_id=0)
    result = Result(picture, found() if prediction is None else prediction, **more)
    result.measures, result.source = dict(measures), "Tür"
    return result


def drawn(*layers: str, prediction: Any = None, options: Any = None, **more: Any) -> Image:
    result = seen(prediction, **more)
    return open_stage("annotate", {"layers": list(layers), **(options or {})})(result).image


def touched(image: Image) -> Any:
    """(H, W): where something was drawn."""
    return np.any(image != np.array(GREY, np.uint8), axis=2)


PLACES = {
    "zones": (slice(320, 338), slice(40, 140)),
    "masks": (slice(200, 270), slice(80, 100)),
    "polygons": (slice(155, 165), slice(80, 100)),
    "traces": (slice(298, 304), slice(30, 90)),
    "boxes": (slice(98, 103), slice(220, 300)),
    "keypoints": (slice(196, 204), slice(75, 105)),
    "lines": (slice(100, 300), slice(328, 333)),
    "labels": (slice(80, 98), slice(215, 260)),
    "panel": (slice(8, 60), slice(8, 60)),
    "stamp": (slice(345, 358), slice(500, 630)),
}
"""Where each layer draws, and leaves nothing of what was there untouched for long."""


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_is_drawn_when_it_is_asked_for_and_else_not(layer: str) -> None:
    alone = touched(drawn(layer))
    others = touched(drawn(*[other for other in LAYERS if other != layer]))
    everything = touched(drawn(*LAYERS))

    assert alone[PLACES[layer]].mean() > 0.2
    assert (alone | others)[everything].all()
    assert not touched(drawn()).any()


@pytest.mark.parametrize("layer", set(LAYERS) - {"labels", "panel", "stamp"})
def test_a_layer_has_a_colour_and_a_width_of_its_own(layer: str) -> None:
    options = {"layers": {layer: {"color": "#FF0000", "thickness": 5, "opacity": 1}}}
    thin = {"layers": {layer: {"color": "#FF0000", "thickness": 1, "opacity": 0.2}}}

    bold, fine = (open_stage("annotate", o)(seen()).image for o in (options, thin))

    assert np.all(bold == (0, 0, 255), axis=2).any()
    assert np.abs(bold.astype(int) - GREY).sum() > 1.5 * np.abs(fine.astype(int) - GREY).sum()


def test_masks_shine_through_by_their_opacity() -> None:
    half = open_stage("annotate", {"layers": {"masks": {"color": "#FFFFFF", "opacity": 0.5}}})

    assert half(seen()).image[235, 90].tolist() == [172, 172, 172]


def test_a_zone_is_filled_while_somebody_is_in_it() -> None:
    image = drawn("zones")

    assert touched(image)[300, 100]
    assert not touched(image)[250, 590]


def test_the_arrow_of_a_line_points_where_in_is() -> None:
    """From its start at the bottom to its end at the top, the left-hand side is left."""
    arrow = touched(drawn("lines"))[195:215]

    assert arrow[:, 300:325].any()
    assert not arrow[:, 336:360].any()


def test_boxes_that_were_carried_over_are_dashed() -> None:
    seen_, carried = drawn("boxes"), drawn("boxes", inferred=False)

    assert touched(seen_)[100, 210:310].all()
    assert 0.3 < touched(carried)[100, 210:310].mean() < 0.8
    assert touched(carried)[[100, 160], [210, 310]].all(), "corners are there"


def test_round_corners_leave_the_corner_free() -> None:
    image = drawn("boxes", options={"corners": "round"})

    assert not touched(image)[98:102, 208:212].any()
    assert touched(image)[100, 230:290].all()
    assert touched(image)[130, 210]


def test_labels_do_not_stand_upon_each_other_or_leave_the_picture() -> None:
    rng = np.random.default_rng(5)
    low = rng.uniform(0, 300, (12, 2))
    boxes = np.hstack((low, low + 20)).astype(np.float32)
    crowd = Detections(boxes, np.ones(12, np.float32), np.arange(12) % 4, NAMES, SIZE)

    def area(prediction: Detections) -> int:
        return int(touched(drawn("labels", prediction=prediction, measures={})).sum())

    each = [area(crowd[i : i + 1]) for i in range(12)]
    assert min(each) > 500
    assert area(crowd) > 0.8 * sum(each)


def test_a_label_wider_than_the_picture_is_cut() -> None:
    name = "a very long name of something " * 8
    one = Detections(
        np.array([[5, 5, 90, 30]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64),
        (name,), SIZE,
    )  # fmt: skip

    assert touched(drawn("labels", prediction=one, measures={})).any()


def test_a_whole_pictures_classes_are_written_on_it() -> None:
    sure = np.array([0.9, 0.1], np.float32)
    single = Classification(sure, np.array([1, 0]), NAMES, SIZE)
    scores = np.array([0.2, 0.7, 0.1, 0.8], np.float32)
    several = MultiLabelClassification(scores, np.array([1, 3]), NAMES, SIZE)

    for prediction in (single, several):
        image = drawn("labels", prediction=prediction, measures={})
        assert touched(image)[:30, :60].mean() > 0.5
        assert not touched(image)[60:].any()


def test_dictionaries_have_shapes_and_keypoints_too() -> None:
    columns = drawn("polygons", "keypoints", measures={})
    rows = drawn("polygons", "keypoints", prediction=found().dict(), measures={})

    assert np.mean(touched(columns) != touched(rows)) < 0.002


def test_the_panel_and_the_stamp_stand_on_any_picture() -> None:
    image = drawn("panel", "stamp", prediction=0.5)

    assert touched(image)[PLACES["stamp"]].all()
    assert touched(image)[10:40, 10:40].any()


def test_colours_by_class_by_track_and_one_for_all() -> None:
    def color(by: str, options: Any = None) -> Any:
        image = drawn("boxes", options={"color_by": by, **(options or {})})
        return tuple(image[130, 210].tolist())

    assert color("class") == PALETTE[1]
    assert color("track") == PALETTE[8 % len(PALETTE)]
    assert color("fixed") == PALETTE[0]
    assert color("fixed", {"colors": ["#010203"]}) == (3, 2, 1)


def test_the_usual_colours_are_told_apart_by_who_sees_no_red_or_no_green() -> None:
    """Simulated after Viénot, Brettel and Mollon (1999), in linear light; the distance in Lab is
    that of colours that nobody takes for each other."""
    dichromats = {
        "protan": ((0.11238, 0.88762, 0), (0.11238, 0.88762, 0), (0.00401, -0.00401, 1)),
        "deutan": ((0.29275, 0.70725, 0), (0.29275, 0.70725, 0), (-0.02234, 0.02234, 1)),
    }
    rgb = np.array(PALETTE, np.float64)[:, ::-1] / 255
    for matrix in dichromats.values():
        light = np.clip(rgb**2.2 @ np.array(matrix).T, 0, 1) ** (1 / 2.2)
        lab = cv2.cvtColor(light[None].astype(np.float32), cv2.COLOR_RGB2Lab)[0]
        far = np.linalg.norm(lab[:, None] - lab[None], axis=2)
        assert far[~np.eye(len(lab), dtype=bool)].min() > 9


def test_heat_shows_those_who_passed_beside_one_who_stayed() -> None:
    seconds = np.zeros((72, 128), np.float32)
    seconds[20, 20], seconds[50, 20:120] = 60, 0.5

    warm = warmed(blank(SIZE, GREY), seconds)

    height, width = warm.shape[:2]
    road = warm[int(height * 50.5 / 72), int(width * 60 / 128)].astype(int)
    assert np.abs(road - 90).max() > 20


def test_heat_is_red_where_most_was_and_lets_the_cold_shine_through() -> None:
    seconds = np.zeros((18, 32), np.float32)
    seconds[9, 16] = 4
    image = blank(SIZE, GREY)

    warm = warmed(image, seconds)

    assert warm[190, 330, 2] > warm[190, 330, 0] + 40
    assert np.abs(warm[:50].astype(int) - 90).max() <= 1
    assert np.all(image == 90)
    assert np.array_equal(warmed(image, np.zeros((0, 0), np.float32)), image)


# -- whatever comes ----------------------------------------------------------------------------

ODD = st.one_of(
    st.floats(-2000, 2000, width=32),
    st.sampled_from([np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0]),
)


@settings(max_examples=60, deadline=None)
@given(
    boxes=st.lists(st.tuples(ODD, ODD, ODD, ODD), max_size=12),
    inferred=st.booleans(),
    corners=st.sampled_from(["square", "round"]),
    size=st.sampled_from([(1, 1), (16, 16), (33, 200), (320, 180)]),
)
def test_any_boxes_are_drawn_and_the_frame_stays_as_it_was(
    boxes: Any, inferred: bool, corners: str, size: tuple[int, int]
) -> None:
    count = len(boxes)
    nowhere = np.full((count, 5, 3), np.nan, np.float32)
    prediction = Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.ones(count, np.float32),
        np.zeros(count, np.int64), NAMES, size, keypoints=nowhere, keypoint_names=(BODY,) * 4,
    )  # fmt: skip
    image = blank(size, GREY)
    result = Result(VideoFrame(image, 1, START), prediction, inferred)

    open_stage("annotate", {"layers": LAYERS, "corners": corners})(result)

    assert np.all(image == 90)
    assert result.image is not result.frame.image


@pytest.mark.parametrize("count", [0, 1000])
def test_none_or_a_thousand_objects_are_drawn(count: int) -> None:
    rng = np.random.default_rng(1)
    low = rng.uniform(0, 300, (count, 2))
    crowd = Detections(
        np.hstack((low, low + rng.uniform(0, 50, (count, 2)))).astype(np.float32),
        np.ones(count, np.float32), rng.integers(0, 4, count), NAMES, SIZE,
        tracker_id=np.arange(count),
    )  # fmt: skip

    assert drawn(*LAYERS, prediction=crowd).shape == (360, 640, 3)


@pytest.mark.parametrize(
    "measure",
    [
        {"kind": "zone"},
        {"kind": "zone", "points": [[1, "x"]], "count": None},
        {"kind": "zone", "points": [[np.nan, 1], [2, 2], [3, 3]], "count": 3},
        {"kind": "zone", "points": [[-1e9, -1e9], [1e9, 0], [0, 1e9]], "count": 3},
        {"kind": "line", "points": [[5, 5], [5, 5]], "in": 1, "out": 1},
        {"kind": "line", "points": [[5, 5]]},
        {"kind": "trails", "paths": [{"points": None}, {"points": [[1, 2]], "tracker_id": 3}]},
        {"kind": ["?"]},
        {},
    ],
)
def test_measures_of_strangers_are_drawn_as_far_as_they_are_understood(measure: Any) -> None:
    drawn(*LAYERS, measures={"odd": measure, "text": "no mapping", **MEASURES})


@pytest.mark.parametrize("carried", [False, True])
def test_the_whole_of_it_looks_as_it_did(carried: bool) -> None:
    """Within a tolerance: other versions of OpenCV may round an edge in another way."""
    layers = [layer for layer in LAYERS if layer != "stamp"]  # that has this machine's time zone
    image = drawn(*layers, inferred=not carried, options={"corners": "round"})
    path = GOLDEN / f"layers{'-carried' * carried}.png"
    known = cv2.imread(str(path))
    assert known is not None, f"make it with cv2.imwrite({str(path)!r}, image) and look at it"

    off = np.abs(image.astype(int) - known)

    assert off.mean() < 1
    assert (off.max(axis=2) > 60).mean() < 0.005


def test_attributes_of_cascades_are_told_after_the_label() -> None:
    plain = replace(found(), attributes=None)

    with_, without = (
        touched(drawn("labels", prediction=p, measures={}))[75:98].sum() for p in (found(), plain)
    )
    assert with_ > without + 500
