"""Streams know nothing of each other, and what a stage remembers is bounded."""

from __future__ import annotations

import gc
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamkit.errors import StreamRequiredError, TrackingRequiredError
from streamkit.predictions import Result
from streamkit.sinks.record import encode, record
from streamkit.stages import STAGES, Stage, open_stage
from streamkit.stages.algorithms import Algorithm
from streamkit.stages.blocks import blocks
from streamkit.stages.memory import Memory, StreamTime
from tests.stages.asked import bind
from tests.stages.making import crowd, frame, objects

ZONE = [[150, 150], [500, 150], [500, 460], [150, 460]]
FOLDER = object()
"""In its place: a folder of the test."""
LINE = {"start": [320, 0], "end": [320, 480]}
CHAINS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    **{name: [("track", {"algorithm": name, "smooth": 0.2})] for name in get_args(Algorithm)},
    "line": [("track", {"rate": 10}), ("line", LINE)],
    "zone": [("track", {"rate": 10}), ("zone", {"polygon": ZONE, "loiter": 1, "patience": 0.3})],
    "speed": [("track", {"rate": 10}), ("speed", {"limit": 30})],
    "trails": [("track", {"rate": 10}), ("trails", {})],
    "still": [("track", {"rate": 10}), ("still", {"after": 0.5, "radius": 0.5})],
    "heat": [("heat", {"half_life": 2})],
    "window": [("window", {"seconds": 1})],
    "limit": [("track", {"rate": 10, "events": True}), ("limit", {"cooldown": 1, "per": "stream"})],
    "evidence": [("track", {"rate": 10, "events": True}), ("evidence", {"folder": FOLDER})],
    "filter": [("filter", {"where": "x > 200"})],
    "select": [("select", {"classes": ["car"]})],
    "annotate": [("annotate", {})],
    "privacy": [("privacy", {"how": "fill"})],
    "cascade": [("track", {"rate": 10}), ("cascade", {"model": "told", "looks": 2, "most": 1})],
    "slice": [("slice", {"columns": 2})],
}  # fmt: skip


def chain(name: str, folder: Path = Path("unused")) -> Callable[[Result], Result]:
    """The stages of one stream; a closing result goes to those that can be ended."""
    stages: list[Stage] = [
        open_stage(stage, {k: folder if v is FOLDER else v for k, v in options.items()})
        for stage, options in CHAINS[name]
    ]
    for each in stages:
        bind(each)

    def through(result: Result) -> Result:
        for stage in stages:
            called = getattr(stage, "end", lambda same: same) if result.closing else stage
            result = called(result)
        return result

    return through


def alone(name: str) -> Stage:
    """A stage without those before it."""
    options = next(o for steps in CHAINS.values() for step, o in steps if step == name)
    stage = open_stage(name, options)
    bind(stage)
    return stage


def told(result: Result) -> str:
    row = orjson.loads(encode(record(result)))
    for each in row["prediction"]["predictions"]:
        each.pop("detection_id")
        each.pop("parent_id", None)
    return orjson.dumps(row).decode()


def numbered(rows: list[str]) -> list[str]:
    """With ids of events by the order in which they came, and files by their name alone."""
    ids: dict[str, str] = {}
    plain = [re.sub(r'"/[^"]*/', '"', row) for row in rows]
    return [
        re.sub(r"01[0-9A-Z]{24}", lambda m: ids.setdefault(m.group(), f"#{len(ids)}"), row)
        for row in plain
    ]


def feed(seed: int) -> list[Result]:
    """Sixteen frames, two of them carried, and the end."""
    results = [
        Result(frame(at, i + 1, source_id=seed), found, inferred=i not in (5, 11), source=str(seed))
        for i, (at, found) in enumerate(crowd(seed, 16))
    ]
    last = results[-1]
    end = Result(last.frame, last.prediction, inferred=False, source=str(seed), closing=True)
    return [*results, end]


def test_every_stage_of_the_table_is_tried() -> None:
    assert {stage for steps in CHAINS.values() for stage, _ in steps} == set(STAGES)


@pytest.mark.parametrize("name", CHAINS)
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_two_streams_interleaved_are_each_as_if_alone(
    name: str, tmp_path: Path, data: st.DataObject
) -> None:
    seeds = data.draw(st.tuples(st.integers(0, 50), st.integers(51, 99)))
    alone: list[list[str]] = []
    for seed in seeds:
        through = chain(name, tmp_path / "alone")
        alone.append([told(through(result)) for result in feed(seed)])
    stages = [chain(name, tmp_path / "mixed") for _ in seeds]
    queues, mixed = [feed(seed) for seed in seeds], list[list[str]]([[], []])
    for which in data.draw(st.lists(st.integers(0, 1), max_size=50)) + [0] * 17 + [1] * 17:
        if queues[which]:
            mixed[which].append(told(stages[which](queues[which].pop(0))))
    assert [numbered(rows) for rows in mixed] == [numbered(rows) for rows in alone]


@pytest.mark.timeout(120)
def test_many_short_streams_leave_memory_flat() -> None:
    leave_out = {"annotate", "ocsort", "botsort", "sort", "evidence"}
    names = [name for name in CHAINS if name not in leave_out]
    rows = [objects((0, 0, 100 + 9 * i, 300), (0, 2, 400, 300), tracked=False) for i in range(4)]

    def live(streams: int) -> int:
        for number in range(streams):
            through = chain(names[number % len(names)])
            for i, found in enumerate(rows):
                through(Result(frame(i / 10, i + 1, source_id=number), found))
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = live(40)
        grown = live(150) - before
    finally:
        tracemalloc.stop()
    assert grown < 150 * 400, "one stream holds several thousand bytes"


REMEMBER = [found.name for found in blocks() if found.manifest and found.manifest.stateful]
OF_ANY_FRAME = {"evidence", "privacy"}
"""They keep state, but nothing that a frame of another stream would falsify."""


@pytest.mark.parametrize("name", sorted(set(REMEMBER) - OF_ANY_FRAME))
def test_a_stage_that_remembers_refuses_another_stream_and_going_back(name: str) -> None:
    for wrong in (frame(0.2, 3, source_id=1), frame(0.2, 1, source_id=0)):
        stage = alone(name)
        stage(Result(frame(0.1, 2, source_id=0), objects((7, 2, 100, 300))))
        with pytest.raises(StreamRequiredError, match="stream"):
            stage(Result(wrong, objects((7, 2, 100, 300))))


@pytest.mark.parametrize(
    "name", [found.name for found in blocks() if found.manifest and found.manifest.needs.tracks]
)
def test_a_stage_that_follows_objects_refuses_those_nobody_tracked(name: str) -> None:
    with pytest.raises(TrackingRequiredError, match="track"):
        alone(name)(Result(frame(0), objects((0, 2, 100, 300), tracked=False)))


def test_a_long_stream_with_ever_new_tracks_is_bounded() -> None:
    line = open_stage("line", {**LINE, "keep": 5})
    for i in range(2000):
        line(Result(frame(i / 10, i + 1), objects((i, 0, 100, 300))))
    assert len(line._memory) <= 52  # type: ignore[attr-defined]


def test_memory_forgets_by_time_and_by_number() -> None:
    memory: Memory[list[int]] = Memory(list, 2.0)
    memory.seen(1, 0.0).append(5)
    memory.seen(2, 1.0)
    assert memory.seen(1, 1.5) == [5]
    assert [track for track, _ in memory.forget(3.2)] == [2]
    assert memory.get(1) == [5]
    assert [track for track, _ in memory.forget(9)] == [1]
    for track in range(10_500):
        memory.seen(track, 9.0)
    memory.forget(9.0)
    assert len(memory) == 10_000


def test_the_streams_time_never_goes_back() -> None:
    now = StreamTime()
    times = [now(frame(at)) for at in (5, 5.5, 5.5, 1, 1.5)]
    assert times[0] == 0
    assert np.diff(times).min() > 0
    assert times[-1] == pytest.approx(1 + 2 / 30)
