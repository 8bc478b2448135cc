"""Boxes land where objects are, labels stay inside the picture, the original stays untouched."""

from __future__ import annotations

import numpy as np
import pytest

from streamkit.frame import Image, read_only
from streamkit.imaging.draw import Style, annotated, annotated_at, draw, draw_statistics
from streamkit.imaging.layout import blank
from streamkit.imaging.marks import Marks, marks_from_detections
from streamkit.imaging.palette import INK, PALETTE, WHITE, bgr, ink_on
from tests.sinks.making import detections

GREY = (90, 90, 90)


def one(box: list[float], label: str = "", key: int = 0) -> Marks:
    return Marks(np.array([box], np.float32), [label], [key])


def touched(image: Image) -> int:
    """How many pixels were drawn on."""
    return int(np.count_nonzero(np.any(image != np.array(GREY, np.uint8), axis=2)))


def test_a_box_has_the_colour_of_its_class_on_its_edges_only() -> None:
    image = annotated(blank((200, 200), GREY), one([50, 60, 150, 160], key=3))

    for x, y in [(50, 110), (150, 110), (100, 60), (100, 160)]:
        assert tuple(image[y, x].tolist()) == PALETTE[3]
    assert tuple(image[110, 100].tolist()) == GREY


def test_the_original_stays_as_it_was() -> None:
    original = read_only(blank((320, 240), GREY))

    drawn = annotated(original, marks_from_detections(detections()))

    assert np.all(original == 90)
    assert drawn.flags.writeable
    assert not np.array_equal(drawn, original)


def test_without_marks_the_copy_is_exact() -> None:
    nothing = Marks(np.empty((0, 4), np.float32), [], [])

    assert np.all(annotated(blank((32, 32), GREY), nothing) == 90)


def test_a_label_stands_on_a_filled_tab_above_its_box() -> None:
    image = annotated(blank((400, 400), GREY), one([100, 200, 300, 300], "person", key=2))

    above = image[182:199, 101:145]
    assert np.mean(np.all(above == PALETTE[2], axis=2)) > 0.4
    assert np.any(np.all(np.abs(above.astype(int) - ink_on(PALETTE[2])) < 40, axis=2))


@pytest.mark.parametrize("box", [[0, 0, 60, 60], [360, 0, 399, 30], [380, 380, 399, 399]])
def test_a_label_at_the_border_stays_in_the_picture(box: list[float]) -> None:
    bare = touched(annotated(blank((400, 400), GREY), one(box, "")))
    with_label = touched(annotated(blank((400, 400), GREY), one(box, "bicycle 0.50 #7")))

    assert with_label > bare + 500


@pytest.mark.parametrize(
    "box",
    [
        [np.nan, 0, 10, 10],
        [-np.inf, -np.inf, np.inf, np.inf],
        [-1e9, 5, 1e9, 10],
        [500, 500, 600, 600],
        [30, 30, 10, 10],
    ],
)
def test_no_box_is_too_odd_to_draw(box: list[float]) -> None:
    annotated(blank((100, 80), GREY), one(box, "odd"))


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (33, 17), (2000, 16)])
def test_no_picture_is_too_small_to_draw_on(size: tuple[int, int]) -> None:
    annotated(blank(size, GREY), one([0, 0, 10, 10], "person 0.99 #12345"))


def test_lines_and_text_follow_the_size_of_the_picture() -> None:
    style = Style()

    assert style.line((160, 120)) < style.line((1280, 720)) < style.line((3840, 2160))
    assert style.text((320, 240)) < style.text((1280, 720)) < style.text((3840, 2160))
    assert Style(thickness=7).line((320, 240)) == 7


def test_small_boxes_come_out_on_top_of_large_ones() -> None:
    boxes = np.array([[10, 10, 50, 50], [10, 10, 90, 90]], np.float32)
    image = blank((100, 100), GREY)

    draw(image, Marks(boxes, ["", ""], [0, 1]))

    assert tuple(image[30, 10].tolist()) == PALETTE[0]
    assert tuple(image[80, 10].tolist()) == PALETTE[1]


def test_drawing_at_another_size_moves_the_boxes_along() -> None:
    image = annotated_at(blank((200, 100), GREY), one([50, 20, 150, 80]), (400, 400))

    assert image.shape == (400, 400, 3)
    assert tuple(image[200, 100].tolist()) == PALETTE[0]
    assert tuple(image[200, 300].tolist()) == PALETTE[0]
    assert tuple(image[140, 200].tolist()) == PALETTE[0]
    assert tuple(image[50, 200].tolist()) == (0, 0, 0)


def test_statistics_are_written_in_green_at_the_lower_left() -> None:
    both, none = blank((640, 360)), blank((640, 360))

    draw_statistics(both, 0.0123, 24.9)
    draw_statistics(none, None, None)

    green = np.argwhere(np.all(both == (0, 255, 0), axis=2))
    assert green[:, 0].min() > 300
    assert green[:, 1].max() < 250
    assert not none.any()


def test_ink_is_dark_on_light_colours_and_light_on_dark_ones() -> None:
    assert ink_on((0, 255, 255)) == INK
    assert ink_on((120, 0, 20)) == WHITE


def test_a_colour_is_written_as_in_html() -> None:
    assert bgr("#4892EA") == bgr("4892ea") == (0xEA, 0x92, 0x48)
    for wrong in ("#123", "red", "#GGGGGG", ""):
        with pytest.raises(ValueError, match=r"."):
            bgr(wrong)
