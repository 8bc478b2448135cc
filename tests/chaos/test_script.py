"""Scripts: the same seed gives the same schedule, and what is wrong is said in one line."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from streamkit.chaos.faults import FAULTS, fault
from streamkit.chaos.scenario import Scenario
from streamkit.chaos.script import Cue, Entry, Span, cues
from streamkit.errors import ConfigError

SAMPLE = Path(__file__).parents[2] / "samples" / "chaos.yaml"


def schedule(*written: Any, seed: int = 1, count: int = 50) -> list[Cue]:
    script = {name: [Entry.of(one) for one in written] for name in ("a", "b")}
    return list(islice(cues(script, seed), count))


def test_times_are_written_in_any_unit() -> None:
    assert Span.of("500ms", "at") == (0.5, 0.5)
    assert Span.of("2m", "at") == (120, 120)
    assert Span.of(10, "at") == (10, 10)
    assert Span.of("1s..1.5h", "at") == (1, 5400)


def test_a_fault_happens_once_or_again_and_again() -> None:
    assert [cue.at for cue in schedule("freeze@10+5")] == [10, 10]
    repeated = schedule({"freeze": {"at": "10s", "every": "30s", "for": "5s", "times": 3}})
    assert [cue.at for cue in repeated] == [10, 10, 40, 40, 70, 70]
    assert {cue.seconds for cue in repeated} == {5}
    assert [cue.at for cue in schedule("hang_up/20", count=4)] == [20, 20, 40, 40]


def test_words_and_mappings_say_the_same() -> None:
    word = Entry.word("drop_packets:percent=20@5/30..40+5s")
    assert word == Entry.of(
        {"drop_packets": {"percent": 20, "at": "5", "every": "30..40", "for": "5s"}}
    )


def test_a_seed_gives_the_same_schedule_and_another_one_another() -> None:
    chance = {"any": {"every": "1s..9s", "for": "1s..3s", "of": ["freeze", "hang_up", "black"]}}
    first = schedule(chance, "stall/2..4+1")
    assert first == schedule(chance, "stall/2..4+1")
    assert first != schedule(chance, "stall/2..4+1", seed=2)
    assert [cue.at for cue in first] == sorted(cue.at for cue in first)
    assert {cue.fault.name for cue in first} == {"freeze", "hang_up", "black", "stall"}
    assert all(cue.seconds is None for cue in first if cue.fault.name == "hang_up")
    one, other = ([cue.at for cue in first if cue.camera == name] for name in "ab")
    assert one != other[: len(one)], "cameras do not move in step"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("frezee@1", "choose from"),
        ({"frezee": None}, "freeze"),
        ("freeze@soon", "no duration"),
        ("freeze@5..1", "ends before it begins"),
        ("freeze/0+1", "must be more than 0"),
        ("freeze+0", "must be more than 0"),
        ("freeze:percent=3", "no parameter 'percent'; it takes none"),
        ("drop_packets:percent=300", "percent"),
        ("drop_packets:percent=", "percent"),
        ("codec:codec=vp8", "h264"),
        ("hang_up+5", "takes no duration"),
        ("@@", "write name"),
        ({"freeze": {"times": 0}}, "whole number"),
        ({"freeze": 5}, "mapping"),
        ({"freeze": {}, "stall": {}}, "written as a word"),
        (5, "written as a word"),
        ({"any": {"of": []}}, "expected a list"),
        ({"any": {"of": ["freeze@1"]}}, "times stand beside it"),
        ({"any": {"of": ["freeze"], "percent": 1}}, "any takes"),
    ],
)
def test_a_wrong_fault_is_one_clear_error(written: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Entry.of(written)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "expected a mapping"),
        ({"cameras": []}, "expected a mapping"),
        ({"cameras": "x"}, "expected a list"),
        ({"cameras": ["x"]}, "1: expected a mapping"),
        ({"cameras": [{}], "fault": []}, "unknown fault"),
        ({"cameras": [{}], "seed": "x"}, "whole number"),
        ({"cameras": [{"clip": "none.mp4"}]}, "camera camera1: clip: .*there is no file"),
        ({"cameras": [{"name": "x", "colour": 1}]}, "camera x: no option 'colour'"),
        ({"cameras": [{"codec": "vp8"}]}, "h264"),
        ({"cameras": [{"size": [100, 100]}]}, "multiples of 8"),
        ({"cameras": [{"codec": "h265", "b_frames": 2}]}, "b_frames"),
        ({"cameras": [{"faults": ["frezee"]}]}, "camera camera1: no fault 'frezee'"),
        ({"cameras": [{"faults": "freeze"}]}, "faults: expected a list"),
        ({"cameras": [{"password": 5}]}, "password"),
    ],
)
def test_a_wrong_document_is_one_clear_error(tmp_path: Path, document: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Scenario.of(document, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_scenario_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        Scenario.load(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("cameras: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bad\.yaml: not YAML"):
        Scenario.load(tmp_path / "bad.yaml")


def test_the_sample_is_a_scenario_without_a_password_in_its_repr() -> None:
    scenario = Scenario.load(SAMPLE)
    assert [camera.name for camera in scenario.cameras] == ["entrance", "yard", "hall"]
    assert "an example" not in repr(scenario)


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_says_what_it_is_in_one_line(name: str) -> None:
    kind = type(fault(name, {}))
    assert (kind.__doc__ or "").splitlines()[0].endswith(".")
