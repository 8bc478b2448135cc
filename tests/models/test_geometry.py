"""The way back from a model's input to the picture's own pixels."""

from __future__ import annotations

from typing import get_args

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamkit.models.geometry import Geometry
from streamkit.models.preprocess import Recipe, ResizeFormat

sides = st.integers(1, 300)
formats = st.sampled_from(get_args(ResizeFormat))
crops = st.one_of(
    st.none(),
    st.tuples(st.floats(0, 49), st.floats(0, 49), st.floats(50, 100), st.floats(50, 100)),
)


def test_a_stretched_box_is_stretched_back() -> None:
    geometry = Geometry((128, 96), (0, 0, 128, 96), (0, 0, 64, 64))
    box = np.array([[22, 22, 42, 42]], np.float32)
    assert geometry.to_picture(box).tolist() == [[44, 33, 84, 63]]


def test_padding_is_not_part_of_the_picture() -> None:
    geometry = Geometry((128, 96), (0, 0, 128, 96), (0, 8, 64, 56))
    boxes = np.array([[22, 22, 42, 42], [0, 0, 64, 64]], np.float32)
    assert geometry.to_picture(boxes).tolist() == [[44, 28, 84, 68], [0, 0, 128, 96]]


def test_boxes_end_where_the_model_saw_nothing() -> None:
    geometry = Geometry((100, 100), (25, 10, 75, 90), (0, 0, 64, 64))
    boxes = np.array([[-10, -10, 80, 80]], np.float32)
    assert geometry.to_picture(boxes).tolist() == [[25, 10, 75, 90]]


def test_points_may_lie_anywhere() -> None:
    geometry = Geometry((128, 96), (0, 0, 128, 96), (0, 0, 64, 48))
    points = np.array([[-1, 50]], np.float32)
    assert geometry.points_to_picture(points).tolist() == [[-2, 100]]


def test_no_boxes_are_no_boxes() -> None:
    geometry = Geometry((4, 4), (0, 0, 4, 4), (0, 0, 8, 8))
    assert geometry.to_picture(np.empty((0, 4), np.float32)).shape == (0, 4)


@given(sides, sides, sides, sides, formats, crops)
def test_what_was_written_is_found_where_the_geometry_says(
    width: int,
    height: int,
    input_width: int,
    input_height: int,
    resize: ResizeFormat,
    crop: tuple[float, float, float, float] | None,
) -> None:
    recipe = Recipe((input_width, input_height), resize, crop)
    planes = np.full((3, input_height, input_width), np.nan, np.float32)
    geometry = recipe.write(np.zeros((height, width, 3), np.uint8), planes)
    assert not np.isnan(planes).any()
    assert geometry.size == (width, height)
    left, top, right, bottom = geometry.region
    assert 0 <= left < right <= width + 1e-6
    assert 0 <= top < bottom <= height + 1e-6
    x1, y1, x2, y2 = geometry.placed
    assert 0 <= x1 < x2 <= input_width
    assert 0 <= y1 < y2 <= input_height
    corners = np.array([geometry.placed], np.float32)
    assert np.allclose(geometry.to_picture(corners), [geometry.region], atol=1e-3)


@given(
    st.integers(20, 300),
    st.integers(20, 300),
    formats,
    st.lists(st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)), min_size=1, max_size=9),
)
def test_there_and_back_is_where_it_was(
    width: int, height: int, resize: ResizeFormat, places: list[tuple[float, float]]
) -> None:
    recipe = Recipe((64, 48), resize)
    planes = np.empty((3, 48, 64), np.float32)
    geometry = recipe.write(np.zeros((height, width, 3), np.uint8), planes)
    left, top, right, bottom = geometry.region
    there = np.array(places) * (right - left, bottom - top) + (left, top)
    inside = (there - (left, top)) * geometry.scale + geometry.placed[:2]
    back = geometry.points_to_picture(inside.astype(np.float32))
    assert np.allclose(back, there, atol=1e-2)


@given(st.integers(20, 300), st.integers(20, 300), formats)
def test_a_fitted_picture_keeps_its_shape(width: int, height: int, resize: ResizeFormat) -> None:
    if resize == "Stretch to":
        return
    planes = np.empty((3, 480, 640), np.float32)
    geometry = Recipe((640, 480), resize).write(np.zeros((height, width, 3), np.uint8), planes)
    across, down = geometry.scale
    x1, y1, x2, y2 = geometry.placed
    rounding = 1 / min(x2 - x1, y2 - y1)
    assert abs(across / down - 1) <= rounding * 1.01
