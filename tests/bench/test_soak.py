"""``streamkit bench soak``: a short one in full, what it makes of bad records, and Ctrl-C."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from streamkit.bench import graph
from streamkit.bench.soak import Soak
from streamkit.bench.soak_record import Held, Record, Sample, Span
from streamkit.bench.verdict import Slope, judge
from streamkit.cli import app
from streamkit.errors import ConfigError
from tests.needs import needs_rtsp_server

WARM_UP = 24.0
"""MiB that a process may still grow by in its first half minute."""


@pytest.mark.rtsp
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_short_soak_ends_with_everybody_back_and_nothing_left(tmp_path: Path) -> None:
    """As the long one, but that memory is not flat in the first half minute of a process."""
    needs_rtsp_server()
    report, picture = tmp_path / "soak.json", tmp_path / "soak.png"
    asked = ["bench", "soak", "--minutes", "0.4", "--cameras", "6", "--budget", "2000"]
    done = CliRunner().invoke(app, [*asked, "--json", str(report), "--picture", str(picture)])
    told = json.loads(report.read_text())
    failed = [verdict for verdict in told["verdicts"] if not verdict["passed"]]
    assert {verdict["name"] for verdict in failed} <= {"memory"}, failed
    assert done.exit_code == (1 if failed else 0)
    assert sum(map(len, told["faults"])) >= 12
    memory = [sample["held"]["rss"] for sample in told["samples"]]
    assert memory[-1] - memory[len(memory) // 2] < WARM_UP
    assert {state["what"] for state in told["states"][0]} <= {"INITIALISING", "RUNNING"}
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert struct.unpack_from(">I", data, 16)[0] == 1200
    assert len(data) < 150_000
    assert "recovery" in done.output


@pytest.mark.rtsp
@pytest.mark.slow
def test_ctrl_c_gives_the_verdict_so_far() -> None:
    needs_rtsp_server()

    def stop(_record: Record) -> None:
        raise KeyboardInterrupt

    record = Soak(60.0, 2, 1, 2.0, stop).run()
    assert record.interrupted
    verdicts = {verdict.name: verdict for verdict in judge(record)}
    assert verdicts["recovery"].passed
    assert verdicts["accounts"].passed
    assert verdicts["threads"].passed
    assert "interrupted" in verdicts["threads"].said


# -- what is made of a record --------------------------------------------------------------------


def good() -> Record:
    """Ten minutes of two cameras, memory noisy and flat."""
    noise = np.random.default_rng(1).normal(0.0, 0.3, 120)
    held = [Held(150.0 + float(one), 40, 20) for one in noise]
    calm = [Held(150.0, 40, 20)] * 5
    states = ("RUNNING", "RUNNING")
    account: dict[str, Any] = {
        "captured": 10, "delivered": 9, "dropped": {"newer": 1}, "in_flight": 0, "outages": 0,
    }  # fmt: skip
    return Record(
        seed=1, minutes=10, budget=0.3, names=["healthy-1", "faulty-1"], healthy=[0],
        samples=[Sample(5.0 * n, one, 0.01, 0.05, n, n, states) for n, one in enumerate(held)],
        states=[[Span("RUNNING", 0.0, 600.0)]] * 2, faults=[[], [Span("freeze", 1.0, 5.0)]],
        calm=calm, calm_again=calm, back={"healthy-1": 0.5, "faulty-1": 2.0}, seconds=600.0,
        streams=[account, account | {"outages": 1}], ages=[0.05],
        seen=[{"delivered": 9, "FRAME_CAPTURED": 10, "FRAME_DROPPED": 1}] * 2,
    )  # fmt: skip


def leaks(record: Record) -> None:
    record.samples = [
        Sample(s.at, Held(s.held.rss + s.at / 100, 40, 20), 0.01, 0.05, 0, 0, s.states)
        for s in record.samples
    ]


def keeps_a_thread(record: Record) -> None:
    record.calm_again = [Held(150.0, 41, 20)] * 5


def keeps_a_file(record: Record) -> None:
    record.calm_again = [Held(150.0, 40, 21)] * 5


def is_stuck(record: Record) -> None:
    del record.back["faulty-1"]


def touches_a_neighbour(record: Record) -> None:
    record.events = [{"at": 3.0, "source_id": 0, "event": "SOURCE_LOST", "code": "STREAM_LOST"}]


def is_late(record: Record) -> None:
    record.ages = [0.4]


def loses_a_frame(record: Record) -> None:
    record.streams[1] = record.streams[1] | {"captured": 11}


def tells_of_fewer(record: Record) -> None:
    record.seen = [record.seen[0], record.seen[1] | {"FRAME_CAPTURED": 8}]


def receives_fewer(record: Record) -> None:
    record.seen = [record.seen[0], record.seen[1] | {"delivered": 8}]


def has_no_faults(record: Record) -> None:
    record.faults = [[], []]


def test_a_good_record_passes() -> None:
    assert [verdict for verdict in judge(good()) if not verdict.passed] == []


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (leaks, "memory"),
        (keeps_a_thread, "threads"),
        (keeps_a_file, "file descriptors"),
        (is_stuck, "recovery"),
        (touches_a_neighbour, "neighbours"),
        (is_late, "age"),
        (loses_a_frame, "accounts"),
        (tells_of_fewer, "accounts"),
        (receives_fewer, "accounts"),
        (has_no_faults, "faults"),
    ],
)
def test_each_verdict_can_fail(spoil: Callable[[Record], None], name: str) -> None:
    record = deepcopy(good())
    spoil(record)
    assert [verdict.name for verdict in judge(record) if not verdict.passed] == [name]


def test_a_slope_is_told_with_its_uncertainty() -> None:
    random, times = np.random.default_rng(3), [float(n) for n in range(100)]
    flat = Slope.of(times, list(random.normal(0, 1, 100)))
    assert flat.low < 0 < flat.high
    rising = Slope.of(times, [0.1 * at + float(random.normal(0, 1)) for at in times])
    assert rising.low < 0.1 < rising.high
    assert rising.low > 0.05
    outliers = [50.0 if n % 20 == 3 else 0.0 for n in range(100)]
    assert Slope.of(times, outliers).rise == 0.0


def test_a_picture_that_cannot_be_drawn_is_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.png, \.svg, \.pdf"):
        graph.check(tmp_path / "soak.gif")
    with pytest.raises(ConfigError, match="no folder"):
        graph.check(tmp_path / "nowhere" / "soak.png")


def test_a_record_without_samples_is_drawn_and_judged(tmp_path: Path) -> None:
    record = good()
    record.samples, record.calm, record.calm_again, record.interrupted = [], [], [], True
    verdicts = judge(record)
    graph.draw(record, verdicts, tmp_path / "empty.png")
    assert [verdict.name for verdict in verdicts if not verdict.passed] == ["memory"]
