"""``render_boxes`` as scripts know it: shapes, sizes, sources, statistics."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamkit.frame import Clock, Image, VideoFrame
from streamkit.imaging.palette import FAMILIAR
from streamkit.sinks import multi_sink, render_boxes
from streamkit.sinks.render import Monitor, Throughput
from tests.sinks.making import START, classification, detections, frame


class Screen:
    """Keeps what was rendered."""

    def __init__(self) -> None:
        self.shown: list[Any] = []

    def __call__(self, rendered: Any) -> None:
        self.shown.append(rendered)

    @property
    def picture(self) -> Image:
        image: Image = self.shown[-1][1]
        return image


def green(image: Image) -> int:
    return int(np.count_nonzero(np.all(image == (0, 255, 0), axis=2)))


def test_one_source_gives_its_id_and_a_picture_of_the_display_size() -> None:
    screen = Screen()

    render_boxes(detections().dict(), frame(1, source_id=4), on_frame_rendered=screen)

    assert screen.shown[0][0] == 4
    assert screen.picture.shape == (720, 1280, 3)
    assert tuple(screen.picture[500, 280].tolist()) == FAMILIAR[0]


def test_without_a_display_size_the_picture_keeps_its_own() -> None:
    screen, shown = Screen(), frame(1)

    render_boxes(detections().dict(), shown, display_size=None, on_frame_rendered=screen)

    assert screen.picture.shape == (240, 320, 3)
    assert tuple(screen.picture[200, 40].tolist()) == FAMILIAR[0]
    assert tuple(shown.image[200, 40].tolist()) != FAMILIAR[0]


def test_several_sources_give_positions_and_black_where_there_is_no_frame() -> None:
    screen = Screen()

    render_boxes(
        [detections().dict(), None, detections().dict()],
        [frame(1, source_id=10), None, frame(1, source_id=30)],
        display_size=(640, 480),
        on_frame_rendered=screen,
    )

    (batch,) = screen.shown
    assert [index for index, _ in batch] == [0, 1, 2]
    assert {image.shape for _, image in batch} == {(480, 640, 3)}
    assert not batch[1][1].any()


def test_a_missing_frame_is_a_black_square_without_a_display_size() -> None:
    screen = Screen()

    render_boxes([None], [None], display_size=None, on_frame_rendered=screen)

    assert screen.shown == [[(0, screen.shown[0][0][1])]]
    assert screen.shown[0][0][1].shape == (256, 256, 3)


def test_it_takes_columns_as_well() -> None:
    columns, rows = Screen(), Screen()

    render_boxes(detections(), frame(1), on_frame_rendered=columns)
    render_boxes(detections().dict(), frame(1), on_frame_rendered=rows)

    assert np.array_equal(columns.picture, rows.picture)


def test_what_has_no_boxes_is_shown_as_it_is_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    screen, shown = Screen(), frame(1)
    render = partial(render_boxes, display_size=None, on_frame_rendered=screen)

    with ThreadPoolExecutor(1) as pool:  # a thread of its own, as a sink has
        for prediction in (classification(), None, "text", classification()):
            pool.submit(render, prediction, shown).result()

    assert all(np.array_equal(image, shown.image) for _, image in screen.shown)
    assert len([r for r in caplog.records if "no boxes" in r.message]) == 1


def test_the_picture_handed_over_is_nobody_elses(caplog: pytest.LogCaptureFixture) -> None:
    screen, shown = Screen(), frame(1)

    render_boxes(classification(), shown, display_size=(320, 240), on_frame_rendered=screen)
    screen.picture[:] = 0

    assert shown.image.any()
    assert caplog.records


def test_statistics_are_drawn_only_when_asked_for() -> None:
    plain, counted = Screen(), Screen()

    render_boxes({"predictions": []}, frame(1), on_frame_rendered=plain)
    render_boxes({"predictions": []}, frame(1), display_statistics=True, on_frame_rendered=counted)

    assert green(plain.picture) == 0
    assert green(counted.picture[-90:, :500]) > 500


def test_latency_is_the_age_of_the_frame_whenever_it_was_filmed() -> None:
    """The file of 1999 was read just now: its latency is short, also as a text."""
    image = np.zeros((360, 900, 3), np.uint8)
    old = VideoFrame(image, 1, START.replace(year=1999), clock=Clock.PTS)
    screen = Screen()

    render_boxes(
        {"predictions": []}, old, display_size=None, display_statistics=True,
        fps_monitor=None, on_frame_rendered=screen,
    )  # fmt: skip

    columns = np.flatnonzero(np.any(np.all(screen.picture == (0, 255, 0), axis=2), axis=0))
    assert 80 < columns.max() < 200


def test_a_monitor_of_ones_own_is_ticked_once_per_frame() -> None:
    class Monitor:
        ticks = 0

        def tick(self) -> None:
            self.ticks += 1

        @property
        def fps(self) -> float:
            return 12.5

    monitor, screen = Monitor(), Screen()
    render_boxes(
        [{}, {}, None], [frame(1), frame(1), None], fps_monitor=monitor, on_frame_rendered=screen
    )

    assert monitor.ticks == 2


def test_supervisions_monitor_is_understood() -> None:
    supervision = pytest.importorskip("supervision")

    assert Throughput(supervision.FPSMonitor()).tick(2) is not None
    assert Throughput(None).tick(2) is None
    assert Throughput(Monitor.OWN).tick(0) is None


def test_threads_do_not_share_their_throughput() -> None:
    def rendered() -> int:
        screen = Screen()
        for _ in range(3):
            render_boxes(
                {"predictions": []}, frame(1), display_statistics=True, on_frame_rendered=screen
            )
        return len(screen.shown)

    with ThreadPoolExecutor(2) as pool:
        assert [f.result() for f in [pool.submit(rendered) for _ in range(2)]] == [3, 3]


@pytest.mark.parametrize("as_list", [False, True])
def test_supervisions_annotators_draw_instead_of_ours(as_list: bool) -> None:
    supervision = pytest.importorskip("supervision")
    annotator = supervision.BoxAnnotator(color=supervision.Color(1, 2, 3), thickness=3)
    screen = Screen()

    render_boxes(
        detections(tracked=True).dict(),
        frame(1),
        annotator=[annotator, supervision.LabelAnnotator()] if as_list else annotator,
        display_size=None,
        on_frame_rendered=screen,
    )

    assert screen.picture[160, 40].tolist() == [3, 2, 1]


def test_it_combines_with_other_sinks() -> None:
    first, second = Screen(), Screen()
    sinks = [partial(render_boxes, on_frame_rendered=screen) for screen in (first, second)]

    multi_sink(detections().dict(), frame(1), sinks=sinks)

    assert len(first.shown) == len(second.shown) == 1


def test_a_writer_of_the_users_gets_the_picture(tmp_path: Path) -> None:
    """The recipe of many scripts: ``on_frame_rendered`` is a function of two things in a tuple."""
    import cv2

    def save(rendered: tuple[int, Image]) -> None:
        cv2.imwrite(str(tmp_path / f"{rendered[0]}.png"), rendered[1])

    render_boxes(detections().dict(), frame(1, source_id=3), on_frame_rendered=save)

    saved = cv2.imread(str(tmp_path / "3.png"))
    assert saved is not None
    assert saved.shape == (720, 1280, 3)
