from __future__ import annotations

from contextlib import closing
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.errors import ConfigError, SourceError, StreamErrorCode
from streamkit.frame import Clock
from streamkit.sources import open_source
from streamkit.sources.synthetic import decode_number, encode_number
from tests.clips import clip, numbers
from tests.sources.test_rtsp import seconds_to_interrupt


@given(number=st.integers(0, 2**20 - 1), width=st.integers(48, 700), height=st.integers(32, 500))
def test_a_number_can_be_read_at_any_size(number: int, width: int, height: int) -> None:
    assert decode_number(encode_number(number, width, height)) == number


@given(number=st.integers(0, 2**20 - 1), scale=st.floats(0.4, 2.5))
def test_a_number_survives_scaling_and_hard_jpeg(number: int, scale: float) -> None:
    image = cv2.resize(encode_number(number), None, fx=scale, fy=scale)
    packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 20])[1]
    assert decode_number(np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)) == number


def test_a_picture_without_a_number_is_said_to_have_none() -> None:
    for brightness in (0, 127, 255):
        with pytest.raises(ValueError, match="no number"):
            decode_number(np.full((240, 320, 3), brightness, np.uint8))


def test_numbers_survive_h264(tmp_path: Path) -> None:
    source = open_source(clip(tmp_path / "a.mp4", frames=100, size=(160, 120)))
    assert numbers(source.read()) == list(range(100))


def test_a_finite_one_ends_and_has_exact_times() -> None:
    source = open_source("synthetic:width=96,height=64,fps=50,frames=20")
    assert not source.live
    captures = list(source.read())
    assert numbers(captures) == list(range(20))
    assert numbers(source.read()) == list(range(20))
    lasted = (captures[-1].timestamp - captures[0].timestamp).total_seconds()
    assert lasted == pytest.approx(19 / 50, abs=1e-5)
    assert {capture.clock for capture in captures} == {Clock.PTS}


def test_a_live_one_is_paced_by_the_clock() -> None:
    source = open_source("synthetic:", fps=100, width=96, height=64)
    assert source.live
    with closing(source.read()) as captures:
        taken = list(islice(captures, 30))
    lasted = (taken[-1].timestamp - taken[0].timestamp).total_seconds()
    assert lasted >= 0.28
    assert source.properties is not None
    assert source.properties.fps == 100


def test_a_live_one_of_some_pictures_is_lost_and_counts_on() -> None:
    source = open_source("synthetic:fps=1000,frames=3,width=96,height=64,live=true")
    for expected in ([0, 1, 2], [3, 4, 5]):
        seen: list[int] = []
        captures = source.read()
        with pytest.raises(SourceError) as caught:
            seen.extend(numbers([capture])[0] for capture in captures)
        assert seen == expected
        assert caught.value.code is StreamErrorCode.LOST


def test_waiting_for_the_next_picture_is_interrupted_at_once() -> None:
    source = open_source("synthetic:fps=0.01")
    captures = source.read()
    next(captures)
    assert seconds_to_interrupt(source, captures) < 0.5


@pytest.mark.parametrize("text", ["synthetic:fps", "synthetic:fps=fast", "synthetic:colour=1"])
def test_a_wrong_description_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        open_source(text)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="48 x 32"):
        open_source("synthetic:", width=10)
