from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from streamkit.errors import ConfigError, SourceConnectionError, SourceError, StreamErrorCode
from streamkit.sources import open_source
from streamkit.sources.numbered import encode_number
from tests.clips import numbers, pixels


def write(path: Path, number: int, written: float = 1_700_000_000) -> Path:
    assert cv2.imwrite(str(path), encode_number(number))
    os.utime(path, (written, written))
    return path


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    for number in (1, 2, 10, 20, 100):
        write(tmp_path / f"shot{number}.{'png' if number % 2 else 'JPG'}", number)
    (tmp_path / "notes.txt").write_text("no image")
    source = open_source(tmp_path)
    assert not source.live
    assert numbers(source.read()) == [1, 2, 10, 20, 100]
    assert numbers(source.read()) == [1, 2, 10, 20, 100]
    assert source.properties is not None
    assert source.properties.total_frames == 5


def test_each_image_has_its_files_time_and_time_never_goes_back(tmp_path: Path) -> None:
    for number, written in enumerate((1000.0, 1005.0, 1003.0)):
        write(tmp_path / f"{number}.png", number, 1_700_000_000 + written)
    moments = [capture.timestamp.timestamp() for capture in open_source(tmp_path).read()]
    assert moments == [1_700_001_000, 1_700_001_005, 1_700_001_005]


def test_with_a_rate_images_follow_the_first_one(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.png", number)
    moments = [capture.timestamp for capture in open_source(tmp_path, fps=4).read()]
    begun = datetime.fromtimestamp(1_700_000_000, UTC)
    assert [(moment - begun).total_seconds() for moment in moments] == [0.0, 0.25, 0.5]


def test_one_image_is_a_source_of_one(tmp_path: Path) -> None:
    path = write(tmp_path / "bild ü.png", 7)
    for reference in (path, str(path), path.as_uri()):
        assert numbers(open_source(reference).read()) == [7]


def test_images_of_phones_stand_upright(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    tall = Pillow.fromarray(np.full((20, 60, 3), 90, np.uint8))
    exif = Pillow.Exif()
    exif[0x0112] = 6
    tall.save(path, exif=exif)
    assert pixels(next(open_source(path).read()).picture).shape == (60, 20, 3)


def test_grey_and_transparent_images_become_bgr(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.full((8, 9), 50, np.uint8))
    cv2.imwrite(str(tmp_path / "2.png"), np.full((8, 9, 4), 50, np.uint8))
    shapes = {pixels(capture.picture).shape for capture in open_source(tmp_path).read()}
    assert shapes == {(8, 9, 3)}


def test_a_damaged_image_is_named_after_all_others(tmp_path: Path) -> None:
    write(tmp_path / "1.png", 1)
    (tmp_path / "2.png").write_bytes(b"not an image")
    write(tmp_path / "3.png", 3)
    seen: list[int] = []
    captures = open_source(tmp_path).read()
    with pytest.raises(SourceError, match=r"2\.png") as caught:
        seen.extend(numbers([capture])[0] for capture in captures)
    assert seen == [1, 3]
    assert caught.value.code is StreamErrorCode.CORRUPT


def test_nothing_to_see_is_an_error(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    broken = tmp_path / "a.png"
    broken.write_bytes(b"x")
    for path, code in (
        (empty, StreamErrorCode.NO_VIDEO),
        (broken, StreamErrorCode.CODEC_UNSUPPORTED),
        (tmp_path / "none.png", StreamErrorCode.NOT_FOUND),
    ):
        with pytest.raises(SourceConnectionError) as caught:
            list(open_source(path).read())
        assert caught.value.code is code


def test_interrupting_stops_before_the_next_image(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.png", number)
    source = open_source(tmp_path)
    captures = source.read()
    next(captures)
    source.interrupt()
    assert list(captures) == []


def test_a_rate_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fps"):
        open_source(tmp_path, fps=0)


def test_images_at_a_rate_may_begin_when_they_are_told_to(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((32, 48, 3), np.uint8))
    captures = open_source(tmp_path, fps=2, started_at="2026-05-01T12:00:00Z").read()
    begun = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert [(c.timestamp - begun).total_seconds() for c in captures] == [0.0, 0.5, 1.0]
    with pytest.raises(ConfigError, match="needs fps"):
        open_source(tmp_path, started_at="now")
