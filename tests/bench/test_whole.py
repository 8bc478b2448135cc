"""The whole way, measured in processes of its own: the real ones, for a few frames."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamkit.bench.contestants import Subject, peer
from streamkit.bench.measure import Spread
from streamkit.bench.race import Contestant, Figures, race, ratios
from streamkit.cli import app
from streamkit.errors import ConfigError

SAMPLES = Path(__file__).parents[2] / "samples"
MODEL = SAMPLES / "models" / "street" / "1"
TELLS = "import json,sys; print(json.dumps({'frames': 2, 'wall': 1.0, 'cpu': 0.5, 'found': 3,"
TELLS += " 'first': 9e9, 'resident': 7}))"


def test_ratios_are_taken_round_by_round() -> None:
    ours = [Figures(1.0, 2.0, 1.0, 10, 5), Figures(3.0, 2.0, 1.0, 10, 5)]
    theirs = [Figures(2.0, 4.0, 4.0, 20, 5), Figures(4.0, 4.0, 2.0, 20, 5)]
    found = ratios(ours, theirs)
    assert found["cpu"] == Spread(0.625, 0.5, 0.75)
    assert found["start"] == Spread(0.375, 0.25, 0.5)


def test_contestants_take_turns() -> None:
    heard: list[str] = []
    two = [Contestant(name, [sys.executable, "-c", TELLS], {}) for name in ("a", "b")]
    goes = race(two, 2, lambda name, _go: heard.append(name))
    assert heard == ["a", "b", "a", "b"]
    assert (goes["a"][0].cpu, goes["a"][0].wall, goes["a"][0].found) == (0.25, 0.5, 3)


def test_a_contestant_that_fails_is_quoted() -> None:
    broken = Contestant("broken", [sys.executable, "-c", "raise SystemExit('no such thing')"], {})
    with pytest.raises(ConfigError, match=r"broken ended with 1:\nno such thing"):
        broken.go()


def test_unknown_packages_and_pythons_are_refused(tmp_path: Path) -> None:
    subject = Subject(SAMPLES / "street.mp4", str(MODEL), MODEL, (), (512, 288), 12)
    with pytest.raises(ConfigError, match="choose one of inference, ultralytics"):
        peer(subject, "deepstream", Path(sys.executable), tmp_path)
    with pytest.raises(ConfigError, match="no such file"):
        peer(subject, "inference", tmp_path / "python", tmp_path)


@pytest.mark.timeout(120)
def test_the_pipeline_and_its_floor_are_measured(tmp_path: Path) -> None:
    run, figures = CliRunner().invoke, tmp_path / "figures.json"
    given = ["--clip", str(SAMPLES / "street.mp4"), "--model", str(MODEL), "--rounds", "1"]
    given += ["--frames", "30", "--json", str(figures)]
    done = run(app, ["bench", "pipeline", *given])
    assert done.exit_code == 0, done.exception
    told = json.loads(figures.read_text(encoding="utf-8"))
    ours = told["pipeline"]["streamkit"]
    assert ours["found"][0] > 30
    assert ours["figures"]["cpu"]["median"] > 0
    assert ours["ratio"]["cpu"]["median"] == 1
    assert told["machine"]["cores"] >= 1
    assert run(app, ["bench", "limit", *given]).exit_code == 0
    parts = json.loads(figures.read_text(encoding="utf-8"))["limit"]["parts"]
    assert list(parts) == ["decode", "prepare", "session", "finish", "record"]
    assert all(part["median"] > 0 for part in parts.values())


@pytest.mark.timeout(120)
def test_crowds_and_overload_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamkit.bench.crowd.SECONDS", 1.0)
    run, figures = CliRunner().invoke, tmp_path / "figures.json"
    given = ["--clip", str(SAMPLES / "street.mp4"), "--model", str(MODEL), "--rounds", "1"]
    given += ["--json", str(figures)]
    done = run(app, ["bench", "streams", *given, "--cameras", "2"])
    assert done.exit_code == 0, done.exception
    (crowd,) = json.loads(figures.read_text(encoding="utf-8"))["streams"]
    assert crowd["cameras"] == 2
    assert crowd["over"]["median"] > 0
    done = run(app, ["bench", "latency", *given, "--loads", "2"])
    assert done.exit_code == 0, done.exception
    over, sink = json.loads(figures.read_text(encoding="utf-8"))["latency"]
    assert over["age_p99"]["median"] > 0
    assert sink["sink_rate"] == 10


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["pipeline", "--clip", "nothing.mp4"], "nothing.mp4: no such file"),
        (["pipeline", "--against", "inference"], "inference=PATH"),
        (["streams", "--cameras", "two"], "numbers with commas"),
    ],
)
def test_wrong_options_are_explained(
    given: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(SAMPLES.parent)
    done = CliRunner().invoke(app, ["bench", *given])
    assert said in str(done.exception)
