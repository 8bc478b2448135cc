"""YOLOv5: objectness or the product, and the worked numbers of the neighbour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamkit.models.base import Model
from streamkit.models.loading import load
from streamkit.models.store.package import read_path
from tests.models.graphs import write_heads
from tests.models.layouts import Layout, detect, model_of

ROWS = np.array(
    [
        (32, 32, 20, 20, 0.9, 0.2, 0.7, 0.1),
        (33, 32, 20, 20, 0.8, 0.3, 0.6, 0.1),
        (33, 32, 20, 20, 0.7, 0.6, 0.3, 0.1),
        (10, 10, 8, 8, 0.41, 0.1, 0.1, 0.2),
        (50, 50, 6, 6, 0.4, 0.1, 0.1, 0.2),
        (50, 10, 6, 6, 0.39, 0.1, 0.1, 0.2),
    ],
    np.float32,
)
LAYOUT = Layout("yolov5s", "object-detection", lambda _: [ROWS])


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return model_of(tmp_path / "m", Layout("yolov5v2s", "object-detection", lambda _: [ROWS]))


def test_the_worked_numbers_of_the_neighbour(model: Model) -> None:
    """But for its rounding: the last is 9 high there too, and told as 10."""
    [found] = detect(model)
    wire = found.dict()["predictions"]
    keys = ("x", "y", "width", "height")
    told = [(r["class"], round(r["confidence"], 2), *(r[key] for key in keys)) for r in wire]
    assert told == [
        ("b", 0.9, 64, 48, 40, 30),
        ("a", 0.7, 66, 48, 40, 30),
        ("c", 0.41, 20, 15, 16, 12),
        ("c", 0.4, 100, 75, 12, 9),
    ]


def test_the_best_class_names_the_object_however_unsure_it_is(model: Model) -> None:
    assert detect(model, class_filter=("c",), max_candidates=1)[0].labels == ["c"]
    assert detect(model, confidence=0.85)[0].labels == ["b"]


def test_several_labels_are_measured_by_the_product(model: Model) -> None:
    """As the authors do: 0.9 * 0.7, 0.7 * 0.6, and so on."""
    [found] = detect(model, multi_label=True, confidence=0.2)
    assert found.labels == ["b", "a"]
    assert found.confidence.tolist() == pytest.approx([0.63, 0.42])


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_bare_export_is_measured_by_the_product(tmp_path: Path, multi_label: bool) -> None:
    rows = np.concatenate((ROWS, np.zeros_like(ROWS)))
    names = {"task": "detect", "names": "{0: 'a', 1: 'b', 2: 'c'}"}
    model = load(read_path(write_heads(tmp_path / "m.onnx", rows, metadata=names)))
    [found] = detect(model, multi_label=multi_label, confidence=0.2)
    assert found.labels == ["b", "a"]
    assert found.confidence.tolist() == pytest.approx([0.63, 0.42])
