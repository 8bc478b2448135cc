"""Masks sampled where the objects are, against the same sampled for whole pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.masks import Masks
from streamkit.models.base import InferenceOptions
from streamkit.models.geometry import Geometry
from streamkit.models.planes import decode
from streamkit.models.preprocess import Recipe, ResizeFormat

Wide = npt.NDArray[np.float64]

FORMATS: Sequence[ResizeFormat] = (
    "Stretch to",
    "Fit (grey edges) in",
    "Fill (with center crop) in",
)


def geometry_of(
    size: tuple[int, int],
    canvas: tuple[int, int],
    resize: ResizeFormat,
    crop: tuple[float, float, float, float] | None = None,
) -> Geometry:
    planes = np.empty((3, canvas[1], canvas[0]), np.float32)
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    return Recipe(canvas, resize, crop).write(picture, planes)


def places(way: int, cells: int, canvas: int, geometry: Geometry, options: Any) -> Wide:
    """Where in a plane the sample of each pixel in a row lies, counted from the first centre."""
    in_input = [
        (i + 0.5 - geometry.region[way]) * geometry.scale[way] + geometry.placed[way]
        for i in range(geometry.size[way])
    ]
    place = np.array(in_input) / canvas * cells
    mode, share = options.mask_decode_mode, options.tradeoff_factor
    if mode == "fast" or (mode == "tradeoff" and share < 1):
        whole = canvas / geometry.scale[way]
        wanted = round(cells * (1 - share) + whole * share)
        count = cells if mode == "fast" else max(1, wanted)
        place = (np.floor(place / cells * count + 1e-9) + 0.5) / count * cells
    shown = [
        i
        for i in range(cells)
        if geometry.placed[way] <= (i + 0.5) / cells * canvas < geometry.placed[way + 2]
    ]
    if not shown:  # the picture is smaller than a cell: the next one
        shown = [min(cells - 1, int(np.ceil(geometry.placed[way] / canvas * cells - 0.5)))]
    return np.clip(place - 0.5, shown[0], shown[-1])


def whole(
    plane: Any, box: Any, geometry: Geometry, canvas: tuple[int, int], options: InferenceOptions
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Every pixel of the picture: whether it is set, and whether rounding could decide that."""
    height, width = plane.shape
    x = places(0, width, canvas[0], geometry, options)[None, :]
    y = places(1, height, canvas[1], geometry, options)[:, None]
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    u, v = x - x0, y - y0
    values = (
        plane[y0, x0] * (1 - u) * (1 - v)
        + plane[y0, x1] * u * (1 - v)
        + plane[y1, x0] * (1 - u) * v
        + plane[y1, x1] * u * v
    )
    centre_x, centre_y = np.arange(geometry.size[0]) + 0.5, np.arange(geometry.size[1]) + 0.5
    inside = ((centre_x >= box[0]) & (centre_x < box[2]))[None, :] & (
        (centre_y >= box[1]) & (centre_y < box[3])
    )[:, None]
    return (values > 0) & inside, np.abs(values) < 1e-4


modes = st.one_of(
    st.just(InferenceOptions()),
    st.just(InferenceOptions(mask_decode_mode="fast")),
    st.floats(0, 1).map(
        lambda share: InferenceOptions(mask_decode_mode="tradeoff", tradeoff_factor=share)
    ),
)
crops = st.sampled_from([None, (25.0, 10.0, 80.0, 90.0)])


def random_case(rng: np.random.Generator, size: tuple[int, int], cells: tuple[int, int]) -> Any:
    """Planes and boxes, some of them empty, beyond the picture or without any mask."""
    planes = rng.normal(rng.normal(0, 1, (6, 1, 1)), 1, (6, *cells)).astype(np.float32)
    planes[0] = -1
    corner = rng.uniform(-5, max(size), (6, 2))
    boxes = np.hstack((corner, corner + rng.uniform(-2, max(size), (6, 2))))
    return planes, boxes.astype(np.float32)


@given(
    st.tuples(st.integers(2, 60), st.integers(2, 60)),
    st.tuples(st.integers(4, 40), st.integers(4, 40)),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.sampled_from(FORMATS),
    crops,
    modes,
    st.integers(0, 2**32),
)
def test_a_crop_says_what_the_whole_picture_would(
    size: tuple[int, int],
    canvas: tuple[int, int],
    cells: tuple[int, int],
    resize: ResizeFormat,
    crop: Any,
    options: InferenceOptions,
    seed: int,
) -> None:
    check(size, canvas, cells, geometry_of(size, canvas, resize, crop), options, seed)


@pytest.mark.parametrize("seed", range(20))
def test_thousands_of_random_masks_are_those_of_the_whole_picture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for number in range(20):
        size = (int(rng.integers(2, 80)), int(rng.integers(2, 80)))
        canvas = (int(rng.integers(8, 64)), int(rng.integers(8, 64)))
        cells = (int(rng.integers(2, 20)), int(rng.integers(2, 20)))
        geometry = geometry_of(size, canvas, FORMATS[number % 3])
        mode = ("accurate", "fast", "tradeoff")[number % 3 - 1]
        options = InferenceOptions(mask_decode_mode=mode, tradeoff_factor=rng.random())  # type: ignore[arg-type]
        check(size, canvas, cells, geometry, options, seed * 1000 + number)


def check(
    size: tuple[int, int],
    canvas: tuple[int, int],
    cells: tuple[int, int],
    geometry: Geometry,
    options: InferenceOptions,
    seed: int,
) -> None:
    planes, boxes = random_case(np.random.default_rng(seed), size, cells)
    masks = decode(planes, boxes, geometry, canvas, options)
    for plane, box, full in zip(planes, boxes, masks.dense(), strict=True):
        expected, close = whole(plane, box, geometry, canvas, options)
        assert ((full == expected) | close).all()


def sizes(masks: Masks) -> list[tuple[int, ...]]:
    return [bitmap.shape for bitmap in masks.bitmaps]


def test_a_mask_takes_no_more_room_than_its_object() -> None:
    plane = np.full((1, 16, 16), -1, np.float32)
    plane[0, 4:6, 4:6] = 1
    geometry = Geometry((1600, 1600), (0, 0, 1600, 1600), (0, 0, 640, 640))
    everywhere = np.array([[0, 0, 1600, 1600]], np.float32)
    masks = decode(plane, everywhere, geometry, (640, 640), InferenceOptions())
    [(height, width)] = sizes(masks)
    assert height <= 4 * 100
    assert width <= 4 * 100
    assert masks.areas[0] > 0


def test_a_stretched_plane_is_what_opencv_makes_of_it() -> None:
    plane = np.random.default_rng(1).normal(size=(1, 16, 20)).astype(np.float32)
    geometry = Geometry((333, 217), (0, 0, 333, 217), (0, 0, 640, 512))
    everywhere = np.array([[0, 0, 333, 217]], np.float32)
    masks = decode(plane, everywhere, geometry, (640, 512), InferenceOptions())
    values = cv2.resize(plane[0], (333, 217), interpolation=cv2.INTER_LINEAR)
    wrong = masks.dense()[0] != (values > 0)
    assert (np.abs(values[wrong]) < 1e-4).all()


def test_numbers_that_are_none_are_not_part_of_a_mask() -> None:
    planes = np.full((2, 4, 4), np.nan, np.float32)
    planes[1] = np.inf
    geometry = Geometry((8, 8), (0, 0, 8, 8), (0, 0, 8, 8))
    boxes = np.array([[0, 0, 8, 8]] * 2, np.float32)
    with np.errstate(all="ignore"):
        masks = decode(planes, boxes, geometry, (8, 8), InferenceOptions())
    assert masks.areas[0] == 0
