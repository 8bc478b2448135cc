"""A frame is immutable, lazy, and honest about time."""

from __future__ import annotations

import threading
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from streamkit.frame import Clock, Image, VideoFrame

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Decoded:
    """A picture that counts how often its pixels were made."""

    width, height = 4, 2

    def __init__(self) -> None:
        self.converted = 0

    def bgr(self) -> Image:
        self.converted += 1
        return np.zeros((2, 4, 3), np.uint8)


def test_pixels_appear_on_first_use_and_once() -> None:
    picture = Decoded()
    frame = VideoFrame(picture, 1, AT)
    assert frame.size == (4, 2)
    assert picture.converted == 0
    threads = [threading.Thread(target=lambda: frame.image) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert picture.converted == 1
    assert frame.image is frame.image


def test_pixels_cannot_be_written_and_the_callers_array_stays_as_it_was() -> None:
    own = np.zeros((2, 4, 3), np.uint8)
    frame = VideoFrame(own, 1, AT)
    with pytest.raises(ValueError, match="read-only"):
        frame.image[0, 0, 0] = 1
    own[0, 0, 0] = 7
    assert own.flags.writeable


def test_a_frame_cannot_be_changed() -> None:
    frame = VideoFrame(np.zeros((2, 4, 3), np.uint8), 1, AT)
    with pytest.raises(FrozenInstanceError):
        frame.frame_id = 2
    with pytest.raises(FrozenInstanceError):
        del frame.frame_id


def test_the_neighbours_constructor_and_naive_local_time_are_kept() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=5)))
    frame = VideoFrame(
        image=np.zeros((2, 4, 3), np.uint8),
        frame_id=3,
        frame_timestamp=elsewhere,
        fps=30.0,
        measured_fps=29.5,
        source_id=1,
        comes_from_video_file=False,
    )
    assert frame.timestamp == AT
    assert frame.timestamp.tzinfo is UTC
    assert frame.frame_timestamp.tzinfo is None
    assert frame.frame_timestamp == AT.astimezone().replace(tzinfo=None)
    assert frame.clock is Clock.ARRIVAL
    assert 0 <= frame.age < 60
    assert "frame_id=3" in repr(frame)
    naive = VideoFrame(np.zeros((2, 4, 3), np.uint8), 1, datetime(2026, 3, 1, 12))
    assert naive.frame_timestamp == datetime(2026, 3, 1, 12)
