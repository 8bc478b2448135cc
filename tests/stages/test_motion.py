"""Speed, heading, trails, objects that stand still, heat: in the frames' own time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from streamkit.errors import ConfigError
from streamkit.stages.heat import Heat
from streamkit.stages.places import Points
from streamkit.stages.speed import Speed, homography, mapped
from streamkit.stages.still import Still
from streamkit.stages.trails import Trails
from tests.stages.making import seen, walk

GROUND = [(0, 20), (10, 20), (10, 0), (0, 0)]
PICTURE = [(280, 200), (360, 200), (600, 460), (40, 460)]


@pytest.mark.parametrize("step", [0.04, 0.1, 0.33])
def test_speed_and_heading_in_pixels_whatever_the_rate(step: float) -> None:
    path = [(100 + 50 * i * step, 300) for i in range(round(2 / step))]
    (told,) = walk(Speed(), path, step)[-1].measures["speed"]["tracks"]
    assert told == {"tracker_id": 7, "speed": pytest.approx(50, rel=0.01), "heading": 90.0}


def test_speed_over_the_ground_in_metres() -> None:
    """4 m/s away from the camera, along the left edge of the road."""
    there = homography(np.array(GROUND, float), np.array(PICTURE, float))
    path: Points = mapped(there, np.array([(2.0, 1 + 0.4 * i) for i in range(30)]))
    speed = Speed(picture=PICTURE, ground=GROUND, limit=3.5, window=1.0)
    results = walk(speed, path.tolist())
    measure = results[-1].measures["speed"]
    (told,) = measure["tracks"]
    assert measure["unit"] == "m/s"
    assert told["speed"] == pytest.approx(4, rel=0.01)
    assert min(told["heading"], 360 - told["heading"]) < 1
    assert [event.kind for result in results for event in result.events] == ["speed.over"]


def test_a_homography_is_opencvs() -> None:
    ours = homography(np.array(PICTURE, float), np.array(GROUND, float))
    theirs = cv2.getPerspectiveTransform(
        np.array(PICTURE, np.float32), np.array(GROUND, np.float32)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_points_that_make_no_plane_are_refused() -> None:
    for wrong in ([(0, 0), (1, 1), (2, 2), (0, 5)], [(0, 0), (0, 0), (2, 2), (0, 5)]):
        with pytest.raises(ConfigError, match="in a row"):
            Speed(picture=wrong, ground=GROUND)
    with pytest.raises(ConfigError, match="four points each"):
        Speed(picture=PICTURE)


def test_trails_are_bounded_and_end_where_the_object_is() -> None:
    trails = Trails(seconds=2, points=10)
    results = walk(trails, [(100 + i, 300) for i in range(400)], 0.01)
    (path,) = results[-1].measures["trails"]["paths"]
    assert path["points"][-1] == [499, 300]
    assert 10 <= len(path["points"]) <= 12
    assert path["points"][0][0] >= 499 - 201


def test_who_stands_still_is_told_once_and_when_it_moves_on() -> None:
    path = [(100 + 5 * i, 300) for i in range(20)] + [(195, 300)] * 60
    path += [(195 + 5 * i, 300) for i in range(20)]
    results = walk(Still(after=4), path)
    events = [(e.kind, e.data["seconds"]) for r in results for e in r.events]
    assert [kind for kind, _ in events] == ["still.start", "still.end"]
    assert events[0][1] == pytest.approx(4, abs=0.3)
    assert events[1][1] == pytest.approx(6.2, abs=0.6)
    assert results[70].measures["still"]["count"] == 1
    assert results[-1].measures["still"]["count"] == 0


@pytest.mark.parametrize("step", [0.04, 0.2])
def test_heat_is_seconds_per_cell(step: float) -> None:
    heat = Heat(cells=64)
    walk(heat, [(105, 305)] * (round(4 / step) + 1), step)
    assert heat.seconds.shape == (48, 64)
    assert heat.seconds[30, 10] == pytest.approx(4, rel=0.01)
    assert heat.seconds.sum() == pytest.approx(4, rel=0.01)


def test_heat_fades_and_is_drawn_and_written(tmp_path: Path) -> None:
    heat = Heat(half_life=1, path=str(tmp_path / "heat-{source}.png"), every=1, draw=True)
    results = walk(heat, [(105, 305)] * 30)
    assert heat.seconds.max() < 1.6
    assert results[-1].drawn is not None
    blue, _, red = (int(c) for c in results[-1].image[307, 107])
    assert red > blue
    written = cv2.imread(str(tmp_path / "heat-0.png"))
    assert written is not None
    assert written.shape == (480, 640, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["heat-0.png"]
    assert heat.picture(seen(9).frame)[305, 105].any()


def test_who_is_seen_rarely_stands_still_all_the_same() -> None:
    results = walk(Still(after=12, patience=2), [(195, 300)] * 6, 5.0)
    assert [event.kind for result in results for event in result.events] == ["still.start"]


def test_nobody_is_on_the_ground_above_the_horizon() -> None:
    """Where the homography has places, too, mirrored: who walks right would be told to go left."""
    above = [(200 + 10 * i, 20) for i in range(30)]
    assert not walk(Speed(picture=PICTURE, ground=GROUND), above)[-1].measures["speed"]["tracks"]
