"""Letterbox and mosaic: shapes, colours, and nothing distorted."""

from __future__ import annotations

import numpy as np
import pytest

from streamkit.frame import Image, read_only
from streamkit.imaging.layout import blank, fit, grid, letterbox, mosaic, tile_size, tiles


def plain(value: int, size: tuple[int, int] = (100, 100)) -> Image:
    return blank(size, (value, value, value))


@pytest.mark.parametrize(
    ("count", "height", "width"),
    [
        (1, 100, 100),
        (2, 100, 215),
        (3, 100, 330),
        (4, 215, 215),
        (5, 215, 330),
        (7, 330, 330),
        (10, 330, 445),
    ],
)
def test_tiles_have_the_shapes_scripts_know(count: int, height: int, width: int) -> None:
    assert tiles([plain(50)] * count).shape == (height, width, 3)


def test_tiles_are_separated_by_white_and_missing_ones_are_black() -> None:
    canvas = tiles([plain(10 + i) for i in range(5)])

    assert canvas.dtype == np.uint8
    assert canvas[50, 50].tolist() == [10, 10, 10]
    assert canvas[50, 165].tolist() == [11, 11, 11]
    assert canvas[165, 165].tolist() == [14, 14, 14]
    assert canvas[50, 107].tolist() == [255, 255, 255]
    assert canvas[107, 50].tolist() == [255, 255, 255]
    assert canvas[165, 280].tolist() == [0, 0, 0]


def test_a_tile_is_as_large_as_the_average_picture_and_bars_are_black() -> None:
    canvas = tiles([plain(9, (100, 100)), plain(9, (200, 100))])

    assert canvas.shape == (100, 315, 3)
    assert canvas[50, 75].tolist() == [9, 9, 9]
    assert canvas[50, 5].tolist() == [0, 0, 0]
    assert canvas[5, 240].tolist() == [0, 0, 0]


def test_tiles_take_other_colours_and_sizes() -> None:
    canvas = tiles(
        [plain(9, (40, 20))] * 2,
        tile=(30, 30),
        margin=4,
        margin_color=(1, 2, 3),
        padding_color=(4, 5, 6),
    )

    assert canvas.shape == (30, 64, 3)
    assert canvas[0, 31].tolist() == [1, 2, 3]
    assert canvas[0, 0].tolist() == [4, 5, 6]


@pytest.mark.parametrize("count", range(1, 30))
def test_a_grid_has_room_for_everybody_and_no_empty_row(count: int) -> None:
    rows, columns = grid(count)

    assert (rows - 1) * columns < count <= rows * columns


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 16])
def test_a_mosaic_has_exactly_the_size_asked_for(count: int) -> None:
    canvas = mosaic([plain(100 + i, (160, 90)) for i in range(count)], (640, 361))

    assert canvas.shape == (361, 640, 3)
    assert {100 + i for i in range(count)} <= set(np.unique(canvas).tolist())


def test_a_mosaic_without_pictures_or_room_says_so() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        mosaic([], (640, 360))
    with pytest.raises(ValueError, match="at least one picture"):
        tiles([])
    with pytest.raises(ValueError, match="25 pictures do not fit into 16x16"):
        tile_size(25, (16, 16))


def test_letterbox_centres_and_does_not_distort() -> None:
    wide = letterbox(plain(200, (200, 100)), (100, 100))

    assert wide.shape == (100, 100, 3)
    assert wide[50, 50].tolist() == [200, 200, 200]
    assert wide[24, 50].tolist() == [0, 0, 0]
    assert wide[76, 50].tolist() == [0, 0, 0]
    assert np.all(wide[25:75] == 200)


def test_letterbox_never_hands_back_the_picture_itself() -> None:
    image = read_only(plain(7))

    copy = letterbox(image, (100, 100))
    copy[:] = 0

    assert image[0, 0, 0] == 7


@pytest.mark.parametrize(
    ("size", "into"),
    [((1, 1000), (100, 100)), ((1000, 1), (64, 48)), ((3, 3), (1, 1)), ((1919, 1081), (1280, 720))],
)
def test_a_fitted_picture_lies_inside(size: tuple[int, int], into: tuple[int, int]) -> None:
    left, top, width, height = fit(size, into)

    assert left >= 0
    assert top >= 0
    assert 1 <= width <= into[0] - left
    assert 1 <= height <= into[1] - top
