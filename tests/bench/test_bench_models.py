"""``streamkit bench models``: the two that are compared do the same; no test looks at a clock."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from streamkit.bench import inputs, models, reference
from streamkit.bench.measure import compare
from streamkit.cli import app
from streamkit.predictions import Floats

EVERY = 8400


def rows(head: Floats, confidence: float) -> tuple[Floats, Floats]:
    """(N, 6) of ours and of the plain method with IoU: box, confidence, class."""
    boxes, sure, class_id = models.found(head, confidence, models.Limits(EVERY, EVERY))
    ours = np.column_stack((boxes, sure, class_id)).astype(np.float32)
    plain = reference.detections(head, confidence, models.IOU, "iou")
    return _sorted(ours), _sorted(plain[:, [0, 1, 2, 3, 4, 6]])


def _sorted(table: Floats) -> Floats:
    return table[np.lexsort(table.T)]


@pytest.mark.parametrize("confidence", [0.001, 0.4])
@pytest.mark.parametrize("seed", [1, 2])
def test_nms_of_a_street_finds_what_the_plain_method_finds(seed: int, confidence: float) -> None:
    ours, plain = rows(inputs.head(seed), confidence)
    assert len(ours) > 10
    assert np.allclose(ours, plain, atol=1e-3)


def test_nms_of_a_crowd_finds_what_the_plain_method_finds() -> None:
    ours, plain = rows(inputs.crowd(1), 0.001)
    assert len(ours) > 5000
    assert np.allclose(ours, plain, atol=1e-3)


def test_limits_keep_the_surest() -> None:
    head = inputs.crowd(2)
    _, few, _ = models.found(head, 0.001)
    _, every, _ = models.found(head, 0.001, models.Limits(EVERY, EVERY))
    assert few.tolist() == every[:300].tolist()


def test_the_street_is_as_busy_as_it_says() -> None:
    best = inputs.head(1)[4:].max(axis=0)
    assert 1200 < np.count_nonzero(best >= 0.001) < 2200
    assert 30 < np.count_nonzero(best >= 0.4) < 100


def test_the_documented_overlap_is_shared_area_over_that_of_the_lesser_box() -> None:
    """The first rows of the worked example in pixels: 20 x 20 boxes, one pixel apart."""
    kept = reference.detections(_toy(), 0.4, 0.3)
    assert kept[:, 4].tolist() == pytest.approx([0.9, 0.7])
    assert kept[:, 6].tolist() == [1, 0]


def _toy() -> Floats:
    columns = [(32, 32, 20, 20, 0.2, 0.9), (33, 32, 20, 20, 0.3, 0.8), (33, 32, 20, 20, 0.7, 0.3)]
    return np.array(columns, np.float32).T


def test_nothing_is_found_above_every_score() -> None:
    assert len(reference.detections(_toy(), 0.95, 0.3)) == 0


def test_masks_are_those_of_the_plain_method() -> None:
    """But along outlines: the plain one interpolates sigmoids, ours logits."""
    shapes, geometry = inputs.shapes(3, 4), models.letterboxed()
    boxes = geometry.to_picture(shapes.boxes)
    ours = models.masks(shapes, boxes, geometry).dense()
    visible = shapes.prototypes[:, 35:125]
    size = models.WIDTH, models.HEIGHT
    plain = reference.masks(shapes.coefficients, visible, boxes, size)
    differ = np.count_nonzero(ours != plain, axis=(1, 2))
    assert (differ < 0.02 * np.count_nonzero(plain, axis=(1, 2))).all()
    assert np.count_nonzero(plain) > 10_000


def test_a_prepared_picture_is_that_of_the_plain_method_but_for_rounding() -> None:
    frame = inputs.picture(4)
    plain = reference.stretched(frame, models.SQUARE)
    ours = models.prepared(frame)
    assert plain.shape == ours.shape == (1, 3, 640, 640)
    assert np.abs(plain - ours).max() <= 1 / 255 + 1e-6


def test_a_letterboxed_picture_is_that_of_the_plain_method() -> None:
    frame = inputs.picture(4)
    plain = reference.letterboxed(frame, models.SQUARE)
    assert np.array_equal(models.prepared(frame, "Fit (grey edges) in"), plain)


def test_a_frame_is_prepared_as_its_pixels_unless_asked_otherwise() -> None:
    for case in models.cases():
        if "frame" in case.name:
            plain, ours = case.plain(), case.ours()
            assert isinstance(plain, np.ndarray)
            same = np.abs(plain - ours).max() <= 1 / 255 + 1e-6
            assert same != ("planes" in case.name), case.name


def test_both_take_turns() -> None:
    turns: list[str] = []
    result = compare(lambda: turns.append("a"), lambda: turns.append("b"), rounds=3, turn=0.0)
    assert "".join(turns[-6:]) == "ababab"
    assert result.rounds == 3
    assert result.ratio.low <= result.ratio.median <= result.ratio.high


def test_the_command_shows_a_table_and_writes_json(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    done = CliRunner().invoke(app, ["bench", "models", "--rounds", "1", "--json", str(path)])
    assert done.exit_code == 0, done.output
    assert "times as fast" in done.output
    told = json.loads(path.read_text())["models"]
    assert [case["name"] for case in told] == [case.name for case in models.cases()]
    assert {case["target"] for case in told} == {20, 5, None}
    assert all(case["ratio"]["median"] > 0 and case["ours_cpu"] > 0 for case in told)
