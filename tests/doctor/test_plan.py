"""How many cameras fit: the search, by made-up machines; the trial, for real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from streamkit.cli import app
from streamkit.doctor import plan as plans
from streamkit.doctor.clip import made
from streamkit.doctor.plan import Plan
from streamkit.doctor.trial import Load, Trial

SAMPLES = Path(__file__).parents[2] / "samples"
MODEL = SAMPLES / "models" / "street" / "1"


def machine(capacity: float, others: float = 0.0) -> Any:
    """Trials of a machine that carries ``capacity`` predictions a second."""

    def attempt(load: Load, cameras: int, _seconds: float) -> Trial:
        used = cameras * load.fps / capacity
        age = 0.05 if used <= 1 else 5.0
        return Trial(cameras, load.fps, min(1.0, 1 / used), age, age, age, min(1.0, used), others)

    return attempt


def asked(
    monkeypatch: pytest.MonkeyPatch, trials: Any, cameras: int, fps: float = 5.0
) -> plans.Answer:
    monkeypatch.setattr(plans, "attempt", trials)
    return Plan(Load(Path("x.mp4"), 25.0, fps, "m", {}), 0.3).run(cameras)


@pytest.mark.parametrize("capacity", [1, 2, 3, 7, 16, 40, 100])
def test_the_search_finds_exactly_what_fits(monkeypatch: pytest.MonkeyPatch, capacity: int) -> None:
    answer = asked(monkeypatch, machine(capacity * 5.0), 200)
    assert answer.capacity == capacity
    assert answer.safe == int(capacity * 0.8)
    assert not answer.fits
    assert len(answer.trials) <= 14
    json.dumps(answer.as_dict())


def test_it_stops_where_the_asked_ones_fit_with_their_margin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = asked(monkeypatch, machine(500.0), 12)
    assert answer.fits
    assert [trial.cameras for trial in answer.trials] == [1, 15]
    assert "12 cameras fit" in answer.text


def test_what_would_help_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    slower = asked(monkeypatch, machine(40.0), 12)
    assert (slower.fits, slower.safe, slower.slower) == (False, 6, 2.5)
    assert "At 2.5 predictions" in slower.text
    hopeless = asked(monkeypatch, machine(0.1), 1)
    assert "Not even one" in hopeless.text
    assert "smaller model" in hopeless.text
    crowded = asked(monkeypatch, machine(0.1, others=0.9), 1)
    assert "Other programs took 90 %" in crowded.text


def test_the_clip_that_stands_for_a_camera_is_like_one(tmp_path: Path) -> None:
    import av

    with av.open(str(made(tmp_path / "clip.mkv"))) as container:
        stream = container.streams.video[0]
        keys = [packet.is_keyframe for packet in container.demux(stream) if packet.size]
    assert (stream.width, stream.height, len(keys)) == (1280, 720, 150)
    assert keys[::25] == [True] * 6


@pytest.mark.timeout(120)
def test_the_command_runs_cameras_for_real() -> None:
    given = ["--model", str(MODEL), "--like", str(SAMPLES / "street.mp4"), "--max-age", "60s"]
    done = CliRunner().invoke(app, ["plan", "--cameras", "1", *given, "--seconds", "2", "--json"])
    told = json.loads(done.output)
    assert done.exit_code in (0, 1), done.exception
    assert told["trials"][0]["cameras"] == 1
    assert told["fits"] == (done.exit_code == 0)


def test_lengths_of_time_are_read_or_refused() -> None:
    wrong = CliRunner().invoke(app, ["plan", "--cameras", "1", "--model", "m", "--max-age", "soon"])
    assert wrong.exit_code == 2
    assert "300ms" in wrong.output
