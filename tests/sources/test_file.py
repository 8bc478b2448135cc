from __future__ import annotations

import logging
import os
import random
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamkit.errors import ConfigError, SourceConnectionError, SourceError, StreamErrorCode
from streamkit.frame import Clock
from streamkit.sources import ffmpeg_log, open_source
from streamkit.sources.base import Capture, Source
from streamkit.sources.decoding import Timeline
from streamkit.sources.truncation import missing_bytes
from tests.clips import clip, cut, numbers, pixels, sound_only
from tests.needs import needs_program, needs_real_data

VARIANTS: dict[str, dict[str, Any]] = {
    "plain.mp4": {},
    "b_frames.mp4": {"b_frames": 2},
    "index_first.mp4": {"b_frames": 2, "options": {"movflags": "faststart"}},
    "fragments.mp4": {"options": {"movflags": "frag_keyframe+empty_moov"}},
    "h265.mp4": {"codec": "libx265"},
    "b_frames.mkv": {"b_frames": 2},
    "stream.ts": {"b_frames": 2},
    "mjpeg.mov": {"codec": "mjpeg"},
    "with_sound.mp4": {"audio_seconds": 4.0},
    "with_sound.mkv": {"audio_seconds": 4.0},
}
FRONT = {"movflags": "faststart"}


def read_all(source: Source) -> tuple[list[Capture], SourceError | None]:
    """What it gives, and the error it ends with."""
    captures: list[Capture] = []
    error: SourceError | None = None
    try:
        captures.extend(source.read())  # keeps what came before the error
    except SourceError as raised:
        error = raised
    return captures, error


@pytest.mark.parametrize("name", VARIANTS)
def test_every_picture_comes_once_and_in_order_and_again_at_the_second_reading(
    tmp_path: Path, name: str
) -> None:
    source = open_source(clip(tmp_path / name, **VARIANTS[name]))
    assert numbers(source.read()) == list(range(50))
    assert numbers(source.read()) == list(range(50))
    assert not source.live


def test_properties_are_those_of_the_container(tmp_path: Path) -> None:
    source = open_source(clip(tmp_path / "a.mp4", frames=50, fps=25))
    before = source.properties
    next(source.read())
    assert before is None
    assert source.properties is not None
    assert (source.properties.width, source.properties.height) == (320, 240)
    assert (source.properties.total_frames, source.properties.fps) == (50, 25.0)
    assert source.properties.is_file


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_times_are_the_containers_even_when_its_rate_varies(tmp_path: Path, name: str) -> None:
    times = [0.0, 0.04, 0.05, 0.25, 0.26, 1.0, 1.5, 1.54, 3.0, 3.1]
    path = clip(tmp_path / name, frames=len(times), times=times)
    begun = datetime(2026, 5, 1, 12, tzinfo=UTC)
    captures = list(open_source(path, started_at=begun).read())
    seen = [(capture.timestamp - begun).total_seconds() for capture in captures]
    assert seen == pytest.approx(times, abs=0.001)
    assert {capture.clock for capture in captures} == {Clock.PTS}


def test_a_recording_begins_when_its_container_says(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", metadata={"creation_time": "2024-02-03T04:05:06Z"})
    first = next(open_source(path).read())
    assert first.timestamp == datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)


def test_else_a_recording_ended_when_its_file_was_written(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mkv", frames=50, fps=25)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    captures = list(open_source(path).read())
    ended = datetime.fromtimestamp(1_700_000_000, UTC)
    assert abs(captures[-1].timestamp - ended) < timedelta(seconds=0.2)


@pytest.mark.parametrize("told", ["2026-05-01T12:00:00Z", "2026-05-01T14:00:00+02:00"])
def test_a_recording_begins_when_it_is_told_in_text(tmp_path: Path, told: str) -> None:
    path = clip(tmp_path / "a.mp4", metadata={"creation_time": "2024-02-03T04:05:06Z"})
    first = next(open_source(path, started_at=told).read())
    assert first.timestamp == datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_a_recording_may_end_when_its_file_was_written_or_begin_now(tmp_path: Path) -> None:
    path = clip(
        tmp_path / "a.mp4",
        frames=50,
        fps=25,
        metadata={"creation_time": "2024-02-03T04:05:06Z"},
    )
    os.utime(path, (1_700_000_000, 1_700_000_000))
    written = next(open_source(path, started_at="mtime").read())
    assert written.timestamp == datetime.fromtimestamp(1_700_000_000 - 2, UTC)
    before = datetime.now(UTC)
    assert before <= next(open_source(path, started_at="now").read()).timestamp <= datetime.now(UTC)


def test_a_beginning_that_is_none_is_refused_by_what_would_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ISO 8601 time, mtime or now"):
        open_source(clip(tmp_path / "a.mp4"), started_at="yesterday")


def test_joined_recordings_do_not_turn_time_back() -> None:
    timeline = Timeline(datetime(2026, 1, 1, tzinfo=UTC), origin=10.0)
    seconds = [10.0, 10.5, 11.0, 2.0, 2.5, None, 3.4]
    moments = [timeline.at(second) for second in seconds]
    steps = [(b - a).total_seconds() for a, b in pairwise(moments)]
    assert steps == pytest.approx([0.5, 0.5, 0.5, 0.5, 0.5, 0.4])


def test_small_disorder_stands_still_rather_than_going_back() -> None:
    timeline = Timeline(datetime(2026, 1, 1, tzinfo=UTC), origin=0.0)
    moments = [timeline.at(second) for second in (0.0, 0.04, 0.03, 0.08)]
    assert moments == sorted(moments)


def test_start_seeks_to_the_exact_picture(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", frames=50, fps=25, gop=20, b_frames=2)
    assert numbers(open_source(path, start=1.0).read()) == list(range(25, 50))
    assert numbers(open_source(path, start_frame=30).read()) == list(range(30, 50))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("front.mp4", {"b_frames": 2, "options": FRONT}),
        ("fragments.mp4", {"options": {"movflags": "frag_keyframe+empty_moov"}}),
        ("h265.mp4", {"codec": "libx265", "options": FRONT}),
        ("matroska.mkv", {"b_frames": 2}),
        ("stream.ts", {"b_frames": 2}),
    ],
)
def test_a_file_cut_short_gives_every_whole_picture_and_then_says_so(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    path = cut(clip(tmp_path / name, frames=100, **options), 0.6)
    captures, error = read_all(open_source(path))
    seen = numbers(captures)
    assert 35 < len(seen) < 90
    assert seen == sorted(set(seen))
    assert seen[:35] == list(range(35))
    assert error is not None
    assert error.code is StreamErrorCode.CORRUPT
    assert "cut short" in str(error)


def test_a_file_without_its_index_is_cut_short_not_foreign(tmp_path: Path) -> None:
    path = cut(clip(tmp_path / "end.mp4"), 0.7)
    captures, error = read_all(open_source(path))
    assert captures == []
    assert error is not None
    assert error.code is StreamErrorCode.CORRUPT


@pytest.mark.parametrize("name", VARIANTS)
def test_whole_files_lack_nothing(tmp_path: Path, name: str) -> None:
    assert missing_bytes(clip(tmp_path / name, **VARIANTS[name])) == 0


def test_damage_in_the_middle_is_told_at_the_end(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", frames=100, options=FRONT)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    captures, error = read_all(open_source(path))
    assert len(captures) > 80
    assert error is not None
    assert error.code is StreamErrorCode.CORRUPT


@pytest.mark.parametrize(
    ("name", "pictures"),
    [
        ("videos/person-bicycle-car_h264base_432p12.mp4", 459),
        ("videos/car-detection_h264base_432p12.5.mp4", 377),
    ],
)
def test_real_recordings_are_whole_whatever_their_headers_count(name: str, pictures: int) -> None:
    source = open_source(needs_real_data(name))
    assert sum(1 for _ in source.read()) == pictures


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SourceConnectionError, match="no such file") as caught:
        next(open_source(tmp_path / "none.mp4").read())
    assert caught.value.code is StreamErrorCode.NOT_FOUND
    assert caught.value.source_reference == str(tmp_path / "none.mp4")
    assert "\n" not in str(caught.value)


def test_what_is_no_video_is_said_to_be_none(tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("not a video at all\n" * 100)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    for path, code in (
        (text, StreamErrorCode.CODEC_UNSUPPORTED),
        (empty, StreamErrorCode.CORRUPT),
        (sound_only(tmp_path / "sound.m4a"), StreamErrorCode.NO_VIDEO),
    ):
        with pytest.raises(SourceConnectionError) as caught:
            next(open_source(path).read())
        assert caught.value.code is code


def test_interrupting_ends_a_reading_quietly(tmp_path: Path) -> None:
    source = open_source(clip(tmp_path / "a.mp4"))
    captures = source.read()
    next(captures)
    source.interrupt()
    assert len(list(captures)) < 20


def test_closing_a_reading_closes_the_file(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4")
    captures = open_source(path).read()
    next(captures)
    assert str(path) in open_files()
    captures.close()
    assert str(path) not in open_files()


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="start"):
        open_source(tmp_path / "a.mp4", start=-1)


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_recordings_of_phones_stand_upright(tmp_path: Path, rotation: int) -> None:
    path = clip(tmp_path / "a.mp4", frames=3, rotation=rotation)
    source = open_source(path)
    ours = pixels(next(source.read()).picture)
    theirs = turned_by_ffmpeg(path)
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).mean() < 3
    assert source.properties is not None
    assert (source.properties.height, source.properties.width) == ours.shape[:2]


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "size"),
    [
        ("yuv420p", "libx264", (318, 238)),
        ("yuv444p", "libx264", (321, 241)),
        ("gray", "ffv1", (321, 241)),
        ("yuvj420p", "mjpeg", (320, 240)),
        ("yuv420p10le", "ffv1", (322, 242)),
        ("bgra", "ffv1", (321, 243)),
    ],
)
def test_any_pixel_format_and_size_becomes_bgr(
    tmp_path: Path, pix_fmt: str, codec: str, size: tuple[int, int]
) -> None:
    path = tmp_path / "a.mkv"
    grey = np.full((size[1], size[0], 3), 200, np.uint8)
    grey[: size[1] // 2] = 10
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        if pix_fmt == "yuvj420p":
            stream.codec_context.color_range = 2
        frame = av.VideoFrame.from_ndarray(grey, "bgr24").reformat(format=pix_fmt)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    image = pixels(next(open_source(path).read()).picture)
    assert image.shape == (size[1], size[0], 3)
    assert image.dtype == np.uint8
    assert image[:100].mean() == pytest.approx(10, abs=4)
    assert image[-100:].mean() == pytest.approx(200, abs=4)


def turned_by_ffmpeg(path: Path) -> np.ndarray[Any, Any]:
    target = path.with_suffix(".png")
    command = [needs_program("ffmpeg"), "-v", "error", "-y", "-i", str(path), "-frames:v", "1"]
    subprocess.run([*command, str(target)], check=True)
    with av.open(str(target)) as container:
        return next(container.decode(video=0)).to_ndarray(format="bgr24")


def open_files() -> set[str]:
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("only Linux tells which files are open")
    return {str(entry.readlink()) for entry in folder.iterdir() if entry.is_symlink()}


def test_a_name_that_looks_like_an_address_is_still_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rtsp:clip?.mp4"
    shutil.copy(clip(tmp_path / "a.mp4"), path)
    assert numbers(open_source(path).read()) == list(range(50))


@pytest.mark.timeout(60)
def test_files_are_let_go_of_while_ffmpeg_has_something_to_say(tmp_path: Path) -> None:
    path = damaged(tmp_path / "a.h264")
    with ffmpeg_log.ear().listening():
        for pictures in [1, 3, 7] * 10:
            captures = open_source(path).read()
            for _ in range(pictures):
                next(captures, None)
            captures.close()


def test_ffmpeg_is_listened_to_only_as_long_as_somebody_does() -> None:
    quiet, level = logging.getLogger("libav").level, av.logging.get_level()
    with ffmpeg_log.ear().listening():
        with ffmpeg_log.ear().listening():
            assert av.logging.get_level() == av.logging.WARNING
        assert av.logging.get_level() == av.logging.WARNING
        assert not logging.getLogger("libav").isEnabledFor(logging.CRITICAL)
    assert (logging.getLogger("libav").level, av.logging.get_level()) == (quiet, level)


def test_whoever_sets_the_level_of_ffmpegs_log_meanwhile_keeps_it() -> None:
    before = av.logging.get_level()
    with ffmpeg_log.ear().listening():
        av.logging.set_level(av.logging.ERROR)
    try:
        assert av.logging.get_level() == av.logging.ERROR
    finally:
        av.logging.set_level(before)


def damaged(path: Path) -> Path:
    """H.264 with noise in it, in which a byte is wrong now and then."""
    noise, errors = np.random.default_rng(0), random.Random(1)
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "12", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(40):
            pixels = noise.integers(0, 255, (240, 320, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    for _ in range(300):
        data[errors.randrange(len(data) // 4, len(data))] = errors.randrange(256)
    path.write_bytes(data)
    return path
