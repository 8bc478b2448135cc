"""What a terminal shows of streams while they run: how they fare, or what is wrong with them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from rich.console import Console

from streamkit.console import account, lines_of

LOST = "rtsp://***@127.0.0.1:9602/live: user or password was not accepted"
SAME = "the camera sends one and the same picture again and again"


def stream(name: str, state: str, **more: Any) -> dict[str, Any]:
    usual = {
        "source": name, "state": state, "total_frames": -1, "live": True, "captured": 50,
        "delivered": 42, "fps": 4.9, "age_p50": 0.08, "age_p95": 0.09, "age_p99": 0.1,
        "dropped": {"newer": 8}, "degraded": None, "code": None, "reason": "pictures are coming",
        "since": 12.3, "next_try_in": None, "outages": 0, "downtime": 0.0,
    }  # fmt: skip
    return usual | more


def shown(*streams: dict[str, Any], width: int = 120) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(lines_of(streams, width))
    return [re.sub(r"\s+", " ", line).strip() for line in capture.get().splitlines()]


def test_a_stream_that_runs_has_its_figures() -> None:
    (line,) = shown(stream("rtsp://127.0.0.1:9601/live", "RUNNING"))
    assert line == "127.0.0.1:9601/live running 42 frames 4.9 fps age 80 ms 8 dropped"


def test_a_lost_camera_says_since_when_why_and_when_it_is_tried_again() -> None:
    lost = stream("rtsp://***@127.0.0.1:9602/live", "RESTARTING", code="X", reason=LOST)
    waits, tries = shown({**lost, "next_try_in": 301.0}, {**lost, "next_try_in": None})
    what = "127.0.0.1:9602/live lost 12 s 42 frames user or password was not accepted"
    assert (waits, tries) == (f"{what}; next try in 5 min", f"{what}; trying now")


def test_trouble_while_pictures_come_is_in_words_too() -> None:
    frozen = stream("yard", "RUNNING", degraded="STREAM_FROZEN", code="F", reason=SAME)
    new = stream("new", "INITIALISING", delivered=0)
    assert shown(frozen, new) == [f"yard degraded 42 frames {SAME}", "new opening 12 s"]


@pytest.mark.parametrize("width", [200, 80, 40, 20, 5])
def test_a_line_stays_a_line_however_narrow_the_window_is(width: int) -> None:
    streams = [stream(f"rtsp://camera-{n}.a.long.name.local/live", "RUNNING") for n in range(4)]
    assert len(shown(*streams, width=width)) == 4


def test_the_account_tells_how_often_and_how_long_a_camera_was_gone() -> None:
    gone = stream("gone", "ENDED", outages=3, downtime=75.0, delivered=0, captured=0)
    model = {"model": "a", "frames": 0}
    console = Console(width=140)
    with console.capture() as capture:
        stats = {"streams": [gone, stream("well", "ENDED")], "removed": [], "sinks": []}
        console.print(*account({**stats, "model": model}))
    told = capture.get()
    assert re.search(r"gone .* 3 x, 75 s .* - ", told)
    assert re.search(r"well .* 0 .* 80 / 90 / 100", told)
