"""From picture to input: sizes, edges, colours, and numbers derived by hand or by others."""

from __future__ import annotations

from typing import Any, get_args

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streamkit.errors import InferenceError
from streamkit.models import pixels
from streamkit.models.geometry import Geometry
from streamkit.models.preprocess import FILL, LETTERBOX, Recipe, ResizeFormat

Planes = npt.NDArray[np.float32]


def write(picture: npt.NDArray[Any], recipe: Recipe) -> tuple[Planes, Geometry]:
    planes = np.full((3, recipe.size[1], recipe.size[0]), np.nan, np.float32)
    return planes, recipe.write(picture, planes)


def plain(width: int, height: int, bgr: tuple[int, int, int] = (10, 100, 200)) -> Any:
    return np.full((height, width, 3), bgr, np.uint8)


def columns(*levels: int) -> Any:
    """A picture two high whose columns have these grey levels."""
    return np.repeat(np.array(levels, np.uint8)[None, :, None], 3, axis=2).repeat(2, axis=0)


def test_channels_become_planes_in_rgb_from_0_to_1() -> None:
    planes, _ = write(plain(8, 8), Recipe((4, 4)))
    assert (planes[:, 2, 2] * 255).round().tolist() == [200, 100, 10]


def test_the_values_are_those_of_the_usual_chain() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    planes, _ = write(picture, Recipe((64, 64)))
    chain = picture[..., ::-1].transpose(2, 0, 1).astype(np.float32) / 255
    assert np.array_equal(planes, chain)


@given(
    st.sampled_from([1, 2, 3, 5, 7, 9, 11, 13]),
    st.sampled_from([1, 2, 3, 5, 7, 9, 11, 13]),
    st.integers(1, 90),
    st.integers(1, 50),
    st.integers(0, 2),
)
def test_whole_ratios_give_what_the_bilinear_filter_gives(
    across: int, down: int, width: int, height: int, more: int
) -> None:
    shape = (height * down, width * across + more, 3)
    picture = np.random.default_rng(width).integers(0, 256, shape, np.uint8)
    assert np.array_equal(
        pixels.resized(picture, (width, height)), cv2.resize(picture, (width, height))
    )


def test_1080p_becomes_640_as_by_the_bilinear_filter() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (1080, 1920, 3), np.uint8)
    expected = cv2.resize(picture, (640, 360))
    assert np.array_equal(pixels.resized(picture, (640, 360)), expected)
    assert np.array_equal(
        pixels.resized(picture[:, ::-1], (640, 360)), cv2.resize(picture[:, ::-1], (640, 360))
    )


def test_stretching_fills_the_input() -> None:
    planes, geometry = write(plain(128, 96), Recipe((64, 64), "Stretch to"))
    assert (planes[0] == np.float32(200) / 255).all()
    assert geometry == Geometry((128, 96), (0, 0, 128, 96), (0, 0, 64, 64))


@pytest.mark.parametrize(
    ("resize", "level"),
    [
        ("Fit (black edges) in", 0),
        ("Fit (white edges) in", 255),
        ("Fit (grey edges) in", 114),
        ("Fit within", 0),
    ],
)
def test_fitting_puts_even_edges_around(resize: ResizeFormat, level: int) -> None:
    planes, geometry = write(plain(128, 96), Recipe((64, 64), resize))
    assert geometry == Geometry((128, 96), (0, 0, 128, 96), (0, 8, 64, 56))
    edge, inner = np.float32(level) / 255, np.float32(200) / 255
    assert (planes[:, :8] == edge).all()
    assert (planes[:, 56:] == edge).all()
    assert (planes[0, 8:56] == inner).all()


def test_an_odd_edge_has_its_last_pixel_at_the_end() -> None:
    planes, geometry = write(plain(64, 41), Recipe((64, 64), LETTERBOX))
    assert [*geometry.placed] == [0, 11, 64, 52]
    assert not np.isnan(planes).any()


def test_an_upright_picture_has_edges_at_its_sides() -> None:
    planes, geometry = write(plain(48, 64), Recipe((64, 64), LETTERBOX))
    assert [*geometry.placed] == [8, 0, 56, 64]
    assert (planes[:, :, :8] == np.float32(114) / 255).all()


def test_reflected_edges_are_the_picture_in_a_mirror() -> None:
    rows = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    planes, geometry = write(rows, Recipe((2, 6), "Fit (reflect edges) in"))
    assert [*geometry.placed] == [0, 2, 2, 4]
    red = (planes[0, :, 0] * 255).round().tolist()
    assert red == [8, 2, 2, 8, 8, 2]


def test_a_thin_picture_is_mirrored_as_often_as_it_takes() -> None:
    planes, _ = write(plain(64, 1), Recipe((64, 64), "Fit (reflect edges) in"))
    assert (planes[0] == np.float32(200) / 255).all()


def test_filling_cuts_off_what_is_too_much_on_both_sides() -> None:
    picture = columns(0, 50, 100, 150)
    planes, geometry = write(picture, Recipe((2, 2), "Fill (with center crop) in"))
    assert geometry == Geometry((4, 2), (1, 0, 3, 2), (0, 0, 2, 2))
    assert (planes[0, 0] * 255).round().tolist() == [50, 100]


def test_filling_enlarges_what_is_too_small() -> None:
    _, geometry = write(plain(30, 10), Recipe((20, 20), "Fill (with center crop) in"))
    assert geometry == Geometry((30, 10), (10, 0, 20, 10), (0, 0, 20, 20))


def test_a_static_crop_is_taken_first() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[10:90, 50:150] = 255
    planes, geometry = write(picture, Recipe((64, 64), "Stretch to", (25, 10, 75, 90)))
    assert (planes == 1).all()
    assert geometry == Geometry((200, 100), (50, 10, 150, 90), (0, 0, 64, 64))


def test_a_crop_of_a_fitted_picture_is_found_again() -> None:
    _, geometry = write(plain(200, 100), Recipe((64, 64), LETTERBOX, (50, 0, 100, 100)))
    assert geometry == Geometry((200, 100), (100, 0, 200, 100), (0, 0, 64, 64))


def test_a_crop_leaves_at_least_one_pixel() -> None:
    _, geometry = write(plain(3, 3), Recipe((8, 8), "Stretch to", (10, 10, 20, 20)))
    assert [*geometry.region] == [0, 0, 1, 1]


# The sums are those of the neighbour's own code for this picture.
SPECIMEN = np.random.default_rng(0).integers(40, 200, (8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("contrast", "total"),
    [
        ("Contrast Stretching", 24677),
        ("Histogram Equalization", 24735),
        ("Adaptive Equalization", 32343),
    ],
)
def test_contrast_is_that_of_the_neighbour(contrast: pixels.ContrastType, total: int) -> None:
    assert SPECIMEN.sum() == 22855
    assert pixels.CONTRAST[contrast](SPECIMEN).sum() == total


def test_grayscale_is_that_of_the_neighbour() -> None:
    assert pixels.grayscale(SPECIMEN).sum() == 22728


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_stretching_uses_the_percentiles_of_numpy(picture: npt.NDArray[np.uint8]) -> None:
    low, high = np.percentile(picture, (2, 98))
    expected = picture
    if low != high:
        expected = ((np.clip(picture, low, high) - low) / (high - low) * 255).astype(np.uint8)
    assert np.array_equal(pixels.stretch(picture), expected)


def test_contrast_comes_before_grayscale() -> None:
    recipe = Recipe((8, 8), "Stretch to", contrast="Contrast Stretching", grayscale=True)
    planes, _ = write(SPECIMEN, recipe)
    expected = pixels.grayscale(pixels.stretch(SPECIMEN))[..., 0].astype(np.float32) / 255
    assert np.array_equal(planes, np.stack([expected] * 3))


def test_gray_and_transparent_pictures_are_taken_too() -> None:
    gray = np.full((4, 4), 51, np.uint8)
    assert (write(gray, Recipe((4, 4)))[0] == np.float32(0.2)).all()
    assert (write(gray[..., None], Recipe((4, 4)))[0] == np.float32(0.2)).all()
    clear = np.dstack((plain(4, 4), gray))
    assert np.array_equal(write(clear, Recipe((4, 4)))[0], write(plain(4, 4), Recipe((4, 4)))[0])


def test_a_picture_may_be_read_only_or_a_view() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    wanted = write(picture[::-1].copy(), Recipe((16, 16)))[0]
    picture.flags.writeable = False
    assert np.array_equal(write(picture[::-1], Recipe((16, 16)))[0], wanted)


@pytest.mark.parametrize("resize", get_args(ResizeFormat))
def test_a_picture_is_left_as_it_was(resize: ResizeFormat) -> None:
    picture = SPECIMEN.copy()
    write(picture, Recipe((5, 9), resize, (10, 10, 90, 90), "Adaptive Equalization", True))
    assert np.array_equal(picture, SPECIMEN)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        "picture.jpg",
        None,
    ],
)
def test_what_is_no_picture_is_refused(picture: Any) -> None:
    with pytest.raises(InferenceError, match="must be uint8 of height x width x 3"):
        write(picture, Recipe((4, 4)))


def test_resizing_is_done_in_whole_numbers() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    planes, _ = write(picture, Recipe((33, 47)))
    small = cv2.resize(picture, (33, 47))
    assert np.array_equal(planes, small[..., ::-1].transpose(2, 0, 1).astype(np.float32) / 255)


def by_triangle(picture: Any, size: int) -> Any:
    """The method itself, value by value: along each side, a weight that falls from the centre of a
    new pixel to nothing at as many old pixels as go into one (one, where there are fewer)."""
    for axis in (1, 0):
        length = picture.shape[axis]
        ratio, reach = length / size, max(1.0, length / size)
        centres = (np.arange(size) + 0.5) * ratio
        distance = np.abs(np.arange(length)[None] + 0.5 - centres[:, None])
        weights = np.maximum(0, 1 - distance / reach)
        weights /= weights.sum(axis=1, keepdims=True)
        picture = np.moveaxis(np.tensordot(weights, picture, (1, axis)), 0, axis)
    return picture


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40))
def test_smooth_is_a_triangle_as_wide_as_the_reduction(width: int, height: int, size: int) -> None:
    picture = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    planes, _ = write(picture, Recipe((size, size), smooth=True))
    expected = by_triangle(picture.astype(np.float64), size)[..., ::-1].transpose(2, 0, 1)
    assert np.abs(planes * 255 - expected).max() <= 1.001  # rounded after each of the two sides


@pytest.mark.parametrize(
    ("width", "height", "inner", "left", "top"),
    [
        (1920, 1080, (398, 224), 87, 0),
        (427, 640, (224, 335), 0, 56),  # 55.5: to the even side
        (641, 480, (299, 224), 38, 0),  # 299.1, then 37.5
        (50, 80, (224, 358), 0, 67),
        (224, 224, (224, 224), 0, 0),
    ],
)
def test_the_middle_is_the_one_that_classifiers_are_trained_on(
    width: int, height: int, inner: tuple[int, int], left: int, top: int
) -> None:
    """The shorter side first, the longer one cut off to a whole pixel; pixel for pixel Pillow's."""
    picture = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    planes, geometry = write(picture, Recipe((224, 224), FILL, smooth=True))
    small = PIL.Image.fromarray(picture).resize(inner, PIL.Image.Resampling.BILINEAR)
    middle = np.asarray(small.crop((left, top, left + 224, top + 224)))
    assert np.array_equal((planes * 255).round(), middle[..., ::-1].transpose(2, 0, 1))
    x1, y1, _, _ = geometry.region
    assert (x1, y1) == pytest.approx((left * width / inner[0], top * height / inner[1]))


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("shape", [(1, 30000, 3), (30000, 1, 3)])
def test_the_middle_of_a_line_costs_no_gigabytes(shape: tuple[int, ...], smooth: bool) -> None:
    """All of it would be 224 x 6,720,000 before its middle is cut out."""
    picture = np.zeros(shape, np.uint8)
    picture[14999:15001, :] = 255
    picture[:, 14999:15001] = 255
    planes, geometry = write(picture, Recipe((224, 224), FILL, smooth=smooth))
    assert planes.max() == 1
    long = 1 if shape[0] > 1 else 0
    left, right = geometry.region[long], geometry.region[long + 2]
    assert (left, right) == pytest.approx((14999.5, 15000.5), abs=1e-3)
