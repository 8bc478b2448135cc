"""Recordings: real times, real pixels, and a file that plays whatever happened."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamkit.errors import ConfigError, SinkError
from streamkit.frame import Image, VideoFrame
from streamkit.sinks import Sink, VideoFileSink
from streamkit.sources.numbered import decode_number
from tests.sinks.making import START, classification, detections, frame, result


def played(path: Path) -> tuple[list[int], list[Image]]:
    """Times (microseconds) and pictures of a video file."""
    times, pictures = [], []
    with av.open(str(path)) as container:
        for picture in container.decode(video=0):
            assert picture.pts is not None
            assert picture.time_base is not None
            times.append(round(picture.pts * float(picture.time_base) * 1e6))
            pictures.append(picture.to_ndarray(format="bgr24"))
    return times, pictures  # type: ignore[return-value]


def boxes_of(path: Path) -> list[str]:
    """The names of the outermost boxes of an MP4."""
    data, names, at = path.read_bytes(), [], 0
    while at < len(data):
        names.append(data[at + 4 : at + 8].decode("latin1"))
        at += int.from_bytes(data[at : at + 4], "big")
    return names


def test_every_picture_is_there_at_the_time_it_was_taken(tmp_path: Path) -> None:
    seconds = [0.0, 0.040001, 0.08, 0.5, 0.500007, 3.25, 3.3, 7.777777]
    sink = VideoFileSink(tmp_path / "street.mp4")

    for number, at in enumerate(seconds):
        sink.write(result(number, at=at))
    sink.close()

    times, pictures = played(tmp_path / "street.mp4")
    assert times == [round(at * 1e6) for at in seconds]
    assert [decode_number(picture) for picture in pictures] == list(range(8))


def test_colours_come_out_as_they_went_in(tmp_path: Path) -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    image[:60, :80], image[:60, 80:], image[60:, :80] = (200, 60, 40), (40, 200, 60), (60, 40, 200)

    with VideoFileSink(tmp_path / "colours.mp4", crf=12) as sink:
        sink.on_prediction(None, VideoFrame(image, 1, START))

    with av.open(str(tmp_path / "colours.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (6, 1)
    shown = played(tmp_path / "colours.mp4")[1][0].astype(int)
    for y, x in [(30, 40), (30, 120), (90, 40), (90, 120)]:
        assert np.abs(shown[y, x] - image[y, x]).max() < 12


@pytest.mark.parametrize("size", [(321, 241), (320, 241), (65, 48)])
def test_odd_sizes_lose_no_row_and_no_column(tmp_path: Path, size: tuple[int, int]) -> None:
    with VideoFileSink(tmp_path / "odd.mp4") as sink:
        for number in range(3):
            sink.write(result(number, at=number / 25, size=size))

    _, pictures = played(tmp_path / "odd.mp4")
    assert pictures[0].shape == (size[1] + size[1] % 2, size[0] + size[0] % 2, 3)
    assert [decode_number(p[: size[1], : size[0]]) for p in pictures] == [0, 1, 2]


def test_the_first_picture_decides_the_size(tmp_path: Path) -> None:
    with VideoFileSink(tmp_path / "sizes.mp4") as sink:
        sink.write(result(1, at=0.0, size=(320, 240)))
        sink.write(result(2, at=0.1, size=(640, 240)))

    _, pictures = played(tmp_path / "sizes.mp4")
    assert [p.shape for p in pictures] == [(240, 320, 3)] * 2
    assert pictures[1][10].max() < 20
    assert decode_number(pictures[1][60:180]) == 2


def test_the_drawn_picture_is_what_is_recorded(tmp_path: Path) -> None:
    shown = result(1)
    shown.drawn = np.full((240, 320, 3), 128, np.uint8)

    with VideoFileSink(tmp_path / "drawn.mp4") as sink:
        sink.write(shown)

    assert np.abs(played(tmp_path / "drawn.mp4")[1][0].astype(int) - 128).max() < 6


def test_a_closed_recording_is_a_plain_mp4_that_starts_with_a_key_picture(tmp_path: Path) -> None:
    with VideoFileSink(tmp_path / "plain.mp4") as sink:
        for number in range(120):
            sink.write(result(number, at=number / 20, size=(64, 48)))

    assert "moof" not in boxes_of(tmp_path / "plain.mp4")
    with av.open(str(tmp_path / "plain.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        packets = [p for p in container.demux(stream) if p.pts is not None]
        keys = [p.pts for p in packets if p.is_keyframe]
        assert keys == [0, 2_000_000, 4_000_000]


RECORDER = """
import os, signal, sys
from pathlib import Path
from streamkit.sinks import VideoFileSink
from tests.sinks.making import result
sink = VideoFileSink(Path(sys.argv[1]))
for number in range(150):
    sink.write(result(number, at=number / 25))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_a_recording_that_plays(tmp_path: Path) -> None:
    path = tmp_path / "killed.mp4"

    done = subprocess.run([sys.executable, "-c", RECORDER, str(path)], check=False)

    assert done.returncode == -signal.SIGKILL
    assert "moof" in boxes_of(path)
    times, pictures = played(path)
    assert len(times) >= 100
    assert [decode_number(picture) for picture in pictures] == list(range(len(times)))


SHORT_OF_SPACE = """
import resource, sys
from pathlib import Path
import numpy as np
from streamkit.errors import SinkError
from streamkit.frame import VideoFrame
from streamkit.sinks import VideoFileSink
from tests.sinks.making import START
from datetime import timedelta
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
sink = VideoFileSink(Path(sys.argv[1]))
noise = np.random.default_rng(0)
told = []
for number in range(100):
    image = noise.integers(0, 255, (240, 320, 3), np.uint8)
    at = START + timedelta(seconds=number / 5)
    try:
        sink.on_prediction(None, VideoFrame(image, number, at))
    except SinkError as error:
        told.append(str(error))
sink.close()
sink.close()
print(len(told)); print(told[0]); print(told[-1])
"""


def test_a_full_disk_is_told_and_what_was_written_plays(tmp_path: Path) -> None:
    path = tmp_path / "full.mp4"

    done = subprocess.run(
        [sys.executable, "-c", SHORT_OF_SPACE, str(path)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    count, first, last = done.stdout.splitlines()
    assert 0 < int(count) < 100
    assert first == f"cannot write {path}: File too large"
    assert last.startswith(f"{path} takes no more pictures: cannot write")
    assert len(played_as_far_as_it_goes(path)) > 0


def played_as_far_as_it_goes(path: Path) -> list[Any]:
    pictures: list[Any] = []
    with av.open(str(path)) as container:
        try:
            pictures.extend(container.decode(video=0))
        except av.error.InvalidDataError:
            return pictures or [None]
    return pictures


def test_a_recording_without_pictures_leaves_no_file(tmp_path: Path) -> None:
    sink = VideoFileSink(tmp_path / "new" / "deep" / "empty.mp4")
    sink.close()
    sink.close()

    assert (tmp_path / "new" / "deep").is_dir()
    assert list((tmp_path / "new" / "deep").iterdir()) == []


def test_after_closing_writing_is_an_error(tmp_path: Path) -> None:
    sink = VideoFileSink(tmp_path / "closed.mp4")
    sink.write(result(1))
    sink.close()

    with pytest.raises(SinkError, match=r"closed\.mp4 takes no more pictures: it was closed"):
        sink.write(result(2, at=1.0))
    assert len(played(tmp_path / "closed.mp4")[0]) == 1


def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(SinkError, match=r"file/street\.mp4"):
        VideoFileSink(tmp_path / "file" / "street.mp4")
    with pytest.raises(SinkError, match="it is a directory"):
        VideoFileSink(tmp_path)


def test_a_directory_that_vanishes_is_an_error_that_names_the_path(tmp_path: Path) -> None:
    sink = VideoFileSink(tmp_path / "gone" / "street.mp4")
    (tmp_path / "gone").rmdir()

    with pytest.raises(SinkError, match=r"gone/street\.mp4: No such file"):
        sink.write(result(1))
    sink.close()


@pytest.mark.parametrize(
    "options",
    [
        {"codec": "divx"}, {"preset": "quick"}, {"crf": 99}, {"fps": 0}, {"size": (1, 1)},
        {"threads": 0},
    ],
)  # fmt: skip
def test_wrong_options_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        VideoFileSink(tmp_path / "street.mp4", **options)


def test_hevc_is_recorded_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with VideoFileSink(tmp_path / "street.mp4", codec="hevc", preset="ultrafast") as sink:
        for number in range(5):
            sink.write(result(number, at=number / 10))

    times, pictures = played(tmp_path / "street.mp4")
    assert times == [0, 100_000, 200_000, 300_000, 400_000]
    assert [decode_number(picture) for picture in pictures] == [0, 1, 2, 3, 4]
    capfd.readouterr()


# -- several sources -----------------------------------------------------------------------------


def test_two_sources_become_one_mosaic_that_keeps_the_last_picture_of_each(tmp_path: Path) -> None:
    with VideoFileSink(tmp_path / "both.mp4", size=(644, 240), fps=10) as sink:
        sink.write(result(100, at=0.0, source_id=1))
        for number in range(1, 11):
            sink.write(result(number, at=number / 10, source_id=0))
        sink.write(result(200, at=1.2, source_id=1))

    times, pictures = played(tmp_path / "both.mp4")
    halves = [(decode_number(p[:, :320]), decode_number(p[:, 324:])) for p in pictures[1:]]
    assert halves == [*((number, 100) for number in range(1, 11)), (10, 200)]
    assert times == [0, *(number * 100_000 for number in range(1, 11)), 1_200_000]


def test_a_mosaic_is_no_faster_than_asked_for_and_ends_with_the_last_pictures(
    tmp_path: Path,
) -> None:
    with VideoFileSink(tmp_path / "wall.mp4", size=(644, 240), fps=10) as sink:
        for number in range(41):
            sink.write(result(number, at=number / 40, source_id=number % 2))

    times, pictures = played(tmp_path / "wall.mp4")
    assert 8 <= len(times) <= 15
    assert times == sorted(set(times))
    assert decode_number(pictures[-1][:, :320]) == 40
    assert decode_number(pictures[-1][:, 324:]) == 39


# -- the neighbour's face ------------------------------------------------------------------------


def test_the_neighbours_sink_draws_and_records_at_its_size(tmp_path: Path) -> None:
    path = tmp_path / "legacy.avi"
    sink = VideoFileSink.init(
        video_file_name=str(path), display_size=(640, 480), output_fps=5, quiet=True,
        video_frame_size=(640, 480),
    )  # fmt: skip
    for number in range(4):
        sink.on_prediction(detections().dict(), frame(number, at=number / 8))
    sink.release()

    times, pictures = played(path)
    assert times == [0, 125_000, 250_000, 375_000]
    assert pictures[0].shape == (480, 640, 3)
    blue, green, red = pictures[0][300, 80].astype(int)
    assert blue > 180 > green > red


def test_the_neighbours_defaults_give_hd(tmp_path: Path) -> None:
    with VideoFileSink.init(str(tmp_path / "hd.mp4")) as sink:
        sink.on_prediction(detections().dict(), frame(1, size=(640, 360)))

    assert played(tmp_path / "hd.mp4")[1][0].shape == (720, 1280, 3)


def test_lists_become_a_mosaic_without_flicker(tmp_path: Path) -> None:
    with VideoFileSink.init(str(tmp_path / "lists.mp4"), video_frame_size=(644, 240)) as sink:
        nothing: dict[str, Any] = {"predictions": []}
        sink.on_prediction([nothing, None], [frame(1), None])
        sink.on_prediction([None, nothing], [None, frame(51, at=0.04, source_id=1)])
        sink.on_prediction([nothing, None], [frame(2, at=0.08), None])
        sink.on_prediction([None, None], [None, None])

    times, pictures = played(tmp_path / "lists.mp4")
    assert times == [0, 40_000, 80_000]
    assert pictures[0][:, 330:].max() < 20
    halves = [(decode_number(p[:, :320]), decode_number(p[:, 324:])) for p in pictures[1:]]
    assert halves == [(1, 51), (2, 51)]


def test_frames_whose_clock_stands_still_are_recorded_at_the_declared_rate(tmp_path: Path) -> None:
    with VideoFileSink.init(str(tmp_path / "still.mp4"), output_fps=20) as sink:
        for number in range(4):
            sink.on_prediction(detections().dict(), frame(number))

    assert played(tmp_path / "still.mp4")[0] == [0, 50_000, 100_000, 150_000]


def test_what_cannot_be_drawn_is_recorded_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with VideoFileSink.init(
        str(tmp_path / "cat.mp4"), video_frame_size=(320, 240), display_size=None, quiet=True
    ) as sink:
        for number in range(3):
            sink.on_prediction(classification(), frame(number, at=number / 10))

    assert [decode_number(p) for p in played(tmp_path / "cat.mp4")[1]] == [0, 1, 2]
    assert [r.levelname for r in caplog.records] == ["WARNING"]


def test_it_is_a_sink(tmp_path: Path) -> None:
    assert isinstance(VideoFileSink(tmp_path / "street.mp4"), Sink)


def test_the_leap_to_summer_time_is_no_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    frames = [frame(number, at=number / 10) for number in range(4)]
    local = [shown.frame_timestamp for shown in frames]
    with VideoFileSink(tmp_path / "summer.mp4") as sink:
        for shown in frames:
            sink.on_prediction(None, shown)
    monkeypatch.undo()
    time.tzset()

    assert (local[3] - local[0]).total_seconds() > 3600
    assert played(tmp_path / "summer.mp4")[0] == [0, 100_000, 200_000, 300_000]


def test_the_encoder_uses_no_more_threads_than_allowed(tmp_path: Path) -> None:
    threads = Path("/proc/self/task")
    if not threads.is_dir():
        pytest.skip("threads are counted through /proc")
    with VideoFileSink(tmp_path / "threads.mp4", threads=1) as sink:
        before = len(list(threads.iterdir()))
        for number in range(20):
            sink.write(result(number, at=number / 25))
        assert len(list(threads.iterdir())) - before <= 2
