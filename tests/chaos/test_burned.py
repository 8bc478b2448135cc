"""The capture moment in the pixels is read exactly or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.chaos.burned import read
from streamkit.chaos.server.picture import draw

SIZES = [(640, 360), (320, 240), (256, 192), (1920, 1080), (1288, 728)]


def luma(number: int, moment: int, size: tuple[int, int] = (640, 360)) -> Any:
    width, height = size
    drawn = draw(number, moment, size)
    assert len(drawn) == width * height * 3 // 2
    return np.frombuffer(drawn, np.uint8)[: width * height].reshape(height, width).copy()


@pytest.mark.parametrize("size", SIZES)
def test_what_is_burned_in_is_read(size: tuple[int, int]) -> None:
    assert read(luma(123_456, 1_790_000_000_123_456, size)) == (123_456, 1_790_000_000_123_456)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**55))
def test_any_moment_survives_noise(number: int, moment: int) -> None:
    picture = luma(number, moment, (256, 192)).astype(int)
    noise = np.random.default_rng(number % 1000).integers(-40, 41, picture.shape)
    assert read((picture + noise).clip(0, 255).astype(np.uint8)) == (number, moment)


@pytest.mark.parametrize("row", range(0, 64, 16))
def test_a_concealed_picture_has_no_moment(row: int) -> None:
    """Rows of macroblocks of the picture before stand in this one."""
    mixed = luma(100, 1_790_000_000_000_000)
    mixed[row : row + 16] = luma(99, 1_789_999_960_123_321)[row : row + 16]
    same = (mixed == luma(100, 1_790_000_000_000_000)).all()
    assert (read(mixed) is None) != same


def test_other_pictures_have_no_moment() -> None:
    random = np.random.default_rng(0)
    assert read(np.zeros((360, 640), np.uint8)) is None
    assert read(np.full((360, 640), 128, np.uint8)) is None
    assert read(random.integers(0, 256, (360, 640)).astype(np.uint8)) is None
    assert read(np.zeros((8, 8), np.uint8)) is None
    assert read(np.zeros((100, 160), np.uint8)) is None
    assert (
        read(np.kron(random.integers(0, 2, (22, 40)) * 255, np.ones((16, 16))).astype(np.uint8))
        is None
    )
