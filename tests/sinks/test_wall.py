"""Several streams in one picture: each in its tile, with its name, and whether it is away."""

from __future__ import annotations

import time
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamkit.errors import ConfigError
from streamkit.frame import Image, VideoFrame
from streamkit.imaging.wall import Tile, places, wall
from streamkit.pipeline import InferencePipeline
from streamkit.predictions import Result
from streamkit.sinks import open_sink
from streamkit.sinks.wall import WallSink
from tests.clips import clip
from tests.fakes import until
from tests.sinks.making import START

SIZE = (640, 360)


class Inner:
    """Keeps what it is given."""

    def __init__(self, size: Any = None, fps: float = 0.0, title: str = "") -> None:
        self.size, self.fps, self.title = size, fps, title
        self.results: list[Result] = []
        self.closes = self.ticks = 0
        self.followed: list[str] = []
        self.closed = False
        self.main_thread = True

    def tick(self) -> None:
        self.ticks += 1

    def follow(self, source_id: int, name: Any, packets: object) -> None:
        assert (source_id, packets) == (0, None)
        self.followed.append(name())

    def write(self, result: Result) -> None:
        self.results.append(result)

    def close(self) -> None:
        self.closes += 1


class Eventful(Inner):
    """Takes events only."""

    takes_events = True


def made(**options: Any) -> tuple[WallSink, Inner]:
    sink = open_sink("wall", {"to": "tests.sinks.test_wall:Inner", "size": SIZE, **options})
    assert isinstance(sink, WallSink)
    inner = sink._inner
    assert isinstance(inner, Inner)
    return sink, inner


def one(source_id: int, at: float, value: int = 100, *, file: bool = True) -> Result:
    """A picture of one shade."""
    image = np.full((90, 160, 3), value, np.uint8)
    taken = START + timedelta(seconds=at)
    frame = VideoFrame(image, 1, taken, source_id=source_id, comes_from_video_file=file)
    return Result(frame, None, source=f"camera {source_id}")


def shades(image: Image, count: int) -> list[int]:
    """Of each tile, a little below its middle, where no text is."""
    points = [(p.top + round(0.6 * p.height), p.left + p.width // 2) for p in places(count, SIZE)]
    return [int(image[point].max()) for point in points]


def test_each_stream_has_its_tile_in_the_order_of_their_ids() -> None:
    sink, inner = made(fps=10)
    for i, source_id in enumerate((2, 0, 1)):
        sink.write(one(source_id, i * 0.2, 100 + 20 * source_id))

    assert [shades(r.image, n + 1) for n, r in enumerate(inner.results)] == [
        [140], [100, 140], [100, 120, 140],
    ]  # fmt: skip
    assert {r.frame.source_id for r in inner.results} == {0}
    assert inner.results[0].prediction is None


def test_pictures_come_at_most_fps_times_a_second_of_the_streams_own_time() -> None:
    sink, inner = made(fps=5)
    for i in range(100):
        sink.write(one(i % 2, i * 0.02))
    sink.close()

    times = [r.frame.timestamp for r in inner.results]
    gaps = [(b - a).total_seconds() for a, b in pairwise(times[:-1])]
    assert min(gaps) >= 0.15
    assert 9 <= len(times) <= 14
    assert times[-1] - times[0] == timedelta(seconds=1.98)
    assert [r.frame.frame_id for r in inner.results] == list(range(1, len(times) + 1))


def test_streams_that_have_not_begun_have_a_tile_that_says_so() -> None:
    sink, inner = made()
    for source_id in (0, 1):
        sink.follow(source_id, lambda: "Tür", None)
    sink.write(one(0, 0.0, 150))

    first, second = shades(inner.results[0].image, 2)
    assert first == 150
    assert second < 50
    names = inner.results[0].image[:16, 322:352]
    assert (names > 200).any(), "its name"


def test_a_camera_that_sends_nothing_is_dimmed_and_said_to_be_away() -> None:
    sink, inner = made(away_after=0.05, fps=100)
    sink.write(one(0, 0.0, 200, file=False))
    assert shades(inner.results[0].image, 1) == [200]

    def dimmed() -> bool:
        sink.tick()
        return shades(inner.results[-1].image, 1) == [70]

    until(dimmed)
    assert len(inner.results) >= 2
    assert inner.results[-1].frame.timestamp > inner.results[0].frame.timestamp


def test_recordings_make_no_picture_but_their_own() -> None:
    sink, inner = made(away_after=0.001, fps=100)
    sink.write(one(0, 0.0, 200))
    time.sleep(0.02)
    sink.tick()

    assert len(inner.results) == 1


def test_a_source_that_was_removed_leaves_the_wall() -> None:
    sink, inner = made()
    sink.write(one(0, 0.0, 100))
    sink.write(one(1, 0.5, 120))
    sink.forget(0)
    sink.write(one(1, 1.0, 140))

    assert shades(inner.results[-1].image, 1) == [140]


def test_size_rate_and_further_options_reach_the_inner_sink_and_so_does_its_end() -> None:
    sink, inner = made(fps=7, title="wall")

    assert (inner.size, inner.fps, inner.title) == (SIZE, 7, "wall")
    assert not sink.closed
    assert sink.main_thread  # type: ignore[attr-defined]
    sink.write(one(0, 0))
    sink.write(one(0, 5))
    sink.tick()
    assert (inner.followed, inner.ticks) == (["wall"], 1)
    inner.closed = True
    assert sink.closed
    sink.close()
    sink.close()
    assert inner.closes == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"fps": 0}, "fps"),
        ({"size": (4, 4)}, "at least 16"),
        ({"away_after": -1}, "away_after"),
        ({"to": "vdeo"}, "video"),
        ({"colour": 1}, "colour"),
        ({"to": "tests.sinks.test_wall:Eventful"}, "takes events"),
    ],
)
def test_wrong_options_are_told_for_the_wall_and_for_what_is_in_it(
    options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        made(**options)


def test_names_in_any_script_and_many_tiles_are_drawn() -> None:
    names = ["Tür", "大门", "x" * 300, "😀", ""]
    tiles = [Tile(names[i % 5], None if i % 3 else np.zeros((9, 16, 3), np.uint8), "away" * (i % 2))
             for i in range(64)]  # fmt: skip

    assert wall(tiles, (1280, 720)).shape == (720, 1280, 3)
    assert wall(tiles[:1], (16, 16)).shape == (16, 16, 3)
    assert not wall([], (32, 32)).any()


def test_two_clips_become_one_video(tmp_path: Path) -> None:
    clips = [str(clip(tmp_path / f"{n}.mp4", frames=50)) for n in range(2)]
    path = tmp_path / "wall.mp4"
    pipeline = InferencePipeline.init_with_custom_logic(
        clips,
        on_video_frame=lambda frames: [None] * len(frames),
        sinks=[lambda: open_sink("wall", {"path": str(path), "size": SIZE, "fps": 5})],
    )
    pipeline.start()
    pipeline.join()

    with av.open(str(path)) as written:
        pictures = [f.to_ndarray(format="bgr24") for f in written.decode(video=0)]
    assert 8 <= len(pictures) <= 16
    assert pictures[-1].shape == (360, 640, 3)
    assert all(tile.std() > 5 for tile in np.split(pictures[-1], 2, axis=1))
