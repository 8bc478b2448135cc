"""Stages: they draw on a private copy, choose, and let pass what they do not know."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamkit import plugins
from streamkit.errors import ConfigError
from streamkit.imaging.palette import PALETTE
from streamkit.stages import STAGES, Stage, open_stage
from tests.sinks.making import classification, detections, result

NEEDED: dict[str, dict[str, Any]] = {
    "cascade": {"model": "my-cars/2"},
    "evidence": {"folder": "evidence"},
    "limit": {"cooldown": 1.0},
    "line": {"start": [10, 20], "end": [30, 40]},
    "zone": {"polygon": [[0, 0], [100, 0], [100, 100]]},
}
"""Options without which a stage cannot be."""


OPEN = sorted(set(STAGES) - {"privacy"})
"""All but the one that lets nothing pass that it does not know."""


@pytest.mark.parametrize("name", OPEN)
def test_every_line_of_the_table_is_a_stage_that_passes_on_what_it_does_not_know(name: str) -> None:
    assert issubclass(plugins.load(STAGES, name), Stage)  # type: ignore[arg-type]
    stage, unknown = open_stage(name, NEEDED.get(name, {})), result(1, prediction=classification())

    assert stage(unknown) is unknown
    assert unknown.drawn is None


def test_annotate_draws_on_a_copy_that_sinks_see() -> None:
    before = result(1)

    after = open_stage("annotate", {})(before)

    assert after.drawn is not None
    assert after.image is after.drawn
    assert tuple(after.image[200, 40].tolist()) == PALETTE[0]
    assert tuple(after.frame.image[200, 40].tolist()) != PALETTE[0]


def test_annotate_draws_on_top_of_what_a_stage_before_it_drew() -> None:
    before = result(1)
    before.drawn = np.full((240, 320, 3), 77, np.uint8)

    after = open_stage("annotate", {})(before)

    assert after.drawn is before.drawn
    assert after.drawn is not None
    assert after.drawn[5, 5].tolist() == [77, 77, 77]
    assert tuple(after.drawn[200, 40].tolist()) == PALETTE[0]


def test_annotate_draws_dictionaries_of_a_users_function_too() -> None:
    after = open_stage("annotate", {})(result(1, prediction=detections().dict()))

    assert after.drawn is not None


def test_annotate_takes_colours_and_widths() -> None:
    stage = open_stage("annotate", {"colors": ["#010203"], "thickness": 5, "names": False})

    after = stage(result(1))

    assert after.image[200, 42].tolist() == [3, 2, 1]


def test_tracks_have_colours_of_their_own() -> None:
    stage = open_stage("annotate", {"color_by": "track"})

    after = stage(result(1, prediction=detections(tracked=True)))

    assert tuple(after.image[200, 40].tolist()) == PALETTE[12 % len(PALETTE)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"color_by": "mood"}, "'class', 'track' or 'fixed'"),
        ({"colors": ["red"]}, "#4892EA"),
        ({"thickness": 0}, "at least 1"),
        ({"colour": 1}, "color_by"),
    ],
)
def test_wrong_options_of_annotate_name_the_choices(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        open_stage("annotate", options)


def test_select_keeps_the_classes_and_the_confidence_asked_for() -> None:
    by_class = open_stage("select", {"classes": ["car"]})(result(1))
    sure = open_stage("select", {"confidence": 0.6})(result(1))

    assert by_class.prediction.labels == ["car"]
    assert [row["class"] for row in by_class.wire["predictions"]] == ["car"]
    assert sure.prediction.labels == ["person"]


def test_select_forgets_the_wire_form_of_what_was_there_before() -> None:
    before = result(1)
    assert len(before.wire["predictions"]) == 2

    after = open_stage("select", {"classes": ["person"]})(before)

    assert len(after.wire["predictions"]) == 1
    assert len(before.wire["predictions"]) == 2


def test_select_that_keeps_everything_changes_nothing() -> None:
    before = result(1)

    assert open_stage("select", {"confidence": 0.5})(before) is before


def test_select_names_the_classes_a_model_has() -> None:
    with pytest.raises(ConfigError, match="no class bus; it knows person, bicycle, car"):
        open_stage("select", {"classes": ["car", "bus"]})(result(1))
    with pytest.raises(ConfigError, match="classes: give a list"):
        open_stage("select", {"classes": "car"})
    with pytest.raises(ConfigError, match="from 0 to 1"):
        open_stage("select", {"confidence": 50})
