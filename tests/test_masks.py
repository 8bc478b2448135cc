"""Shapes of objects: what pycocotools and OpenCV make of them, and the way back."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from streamkit.masks import Masks


@st.composite
def shapes(draw: st.DrawFn) -> Masks:
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    bitmaps, offsets = [], []
    for _ in range(draw(st.integers(0, 4))):
        left, top = int(rng.integers(0, width)), int(rng.integers(0, height)) * draw(bit)
        w, h = int(rng.integers(0, width - left + 1)), int(rng.integers(0, height - top + 1))
        h = height if top == 0 and draw(bit) else h  # runs go on in the next column
        bitmaps.append((rng.random((h, w)) < draw(st.sampled_from([0, 0.2, 0.9, 1]))).view("u1"))
        offsets.append((left, top))
    return Masks(tuple(bitmaps), np.array(offsets, np.int64).reshape(-1, 2), (width, height))


bit = st.sampled_from([0, 1])


@given(shapes())
def test_rle_is_that_of_pycocotools(masks: Masks) -> None:
    for rle, full in zip(masks.rle(), masks.dense(), strict=True):
        expected: Any = coco.encode(np.asfortranarray(full.astype(np.uint8)))
        assert rle == {"size": expected["size"], "counts": expected["counts"].decode()}


def test_rle_of_a_large_picture_is_that_of_pycocotools() -> None:
    rng = np.random.default_rng(3)
    smooth = cv2.GaussianBlur(rng.normal(size=(700, 900)).astype(np.float32), (0, 0), 9)
    masks = Masks(((smooth > 0).view("u1"),), np.array([[800, 300]]), (1920, 1080))
    expected: Any = coco.encode(np.asfortranarray(masks.dense()[0].astype(np.uint8)))
    assert masks.rle()[0]["counts"] == expected["counts"].decode()


@given(shapes())
def test_outlines_that_are_filled_give_the_shape_and_its_holes(masks: Masks) -> None:
    width, height = masks.image_size
    for outlines, full in zip(masks.polygons(), masks.dense(), strict=True):
        filled = np.zeros((height, width), np.uint8)
        for outline in outlines:
            cv2.fillPoly(filled, [outline], 1)
        assert (filled[full] == 1).all()
        outside = np.pad(1 - full.astype(np.uint8), 1, constant_values=1)
        cv2.floodFill(outside, None, (0, 0), 2)  # 1: holes
        assert ((filled == 1) == (outside[1:-1, 1:-1] != 2)).all()


@given(shapes())
def test_areas_are_those_of_the_whole_pictures(masks: Masks) -> None:
    assert masks.areas.tolist() == masks.dense().sum(axis=(1, 2)).tolist()


def test_the_largest_outline_comes_first() -> None:
    bitmap = np.zeros((5, 12), np.uint8)
    bitmap[1:3, 1:3] = bitmap[0:4, 5:10] = 1
    masks = Masks((bitmap,), np.array([[100, 50]]), (640, 480))
    [[first, second]] = masks.polygons()
    assert first.tolist() == [[105, 50], [105, 53], [109, 53], [109, 50]]
    assert second.tolist() == [[101, 51], [101, 52], [102, 52], [102, 51]]


@pytest.mark.parametrize("which", [[1], np.array([False, True]), slice(1, None), np.array([1])])
def test_shapes_are_chosen_like_every_column(which: Any) -> None:
    one, two = np.ones((1, 1), np.uint8), np.ones((2, 2), np.uint8)
    masks = Masks((one, two), np.array([[0, 0], [1, 1]]), (4, 4))
    assert masks[which].areas.tolist() == [4]
    assert masks[which].offsets.tolist() == [[1, 1]]


def test_no_shapes_are_no_shapes() -> None:
    none = Masks((), np.empty((0, 2), np.int64), (4, 3))
    assert none.dense().shape == (0, 3, 4)
    assert none.rle() == []
    assert none.polygons() == []
