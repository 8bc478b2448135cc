"""RF-DETR: queries, labels, backgrounds and the worked numbers of the neighbour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamkit.models.families.rfdetr import BACKGROUND
from streamkit.models.loading import load
from streamkit.models.store.package import read_folder
from streamkit.predictions import Detections
from tests.models.graphs import write_folder, write_heads
from tests.models.layouts import KEYPOINTS, PICTURE, Layout, detect, model_of

LABELS = (BACKGROUND, "a", "b", "c")


def model(folder: Path, *heads: Any, names: tuple[str, ...] = LABELS, **graph: Any) -> Any:
    write_folder(folder, model_type="rfdetr-base", names=names)
    write_heads(folder / "weights.onnx", *heads, **graph)
    return load(read_folder(folder, "toy/1"))


def hundred_queries() -> tuple[Any, Any]:
    """Two that see something."""
    boxes = np.tile(np.array([0.5, 0.5, 0.1, 0.1], np.float32), (100, 1))
    logits = np.full((100, 4), -10, np.float32)
    boxes[3], logits[3] = (0.5, 0.5, 0.25, 0.5), (-10, 3, 1, -10)
    boxes[7], logits[7] = (0.85, 0.85, 0.3, 0.3), (5, -10, -0.3, 2)
    return boxes, logits


def test_the_worked_numbers_of_the_neighbour(tmp_path: Path) -> None:
    """One query may be two objects; the background, sure as it is, takes no place."""
    [found] = detect(model(tmp_path / "m", *hundred_queries()), max_detections=4)
    assert found.labels == ["a", "c", "b", "b"]
    assert found.confidence.tolist() == pytest.approx([0.95257, 0.8808, 0.73106, 0.42556], abs=1e-5)
    wire = found.dict()["predictions"]
    boxes = [[row[key] for key in ("x", "y", "width", "height")] for row in wire]
    assert boxes[0] == boxes[2] == [64, 48, 32, 48]
    assert boxes[1] == pytest.approx([108.8, 81.6, 38.4, 28.8], abs=1e-4)


def test_more_places_than_queries_have_labels_are_no_error(tmp_path: Path) -> None:
    boxes, logits = hundred_queries()
    [found] = detect(model(tmp_path / "m", boxes[:8], logits[:8]), max_detections=300)
    assert len(found) == 4


def test_labels_without_a_marker_are_as_they_are(tmp_path: Path) -> None:
    boxes, logits = hundred_queries()
    names = ("zero", "one", "two", "three")
    [found] = detect(model(tmp_path / "m", boxes, logits, names=names), confidence=0.9)
    assert found.labels == ["zero", "one"]


def test_labels_beyond_the_names_are_no_objects(tmp_path: Path) -> None:
    boxes, logits = hundred_queries()
    [found] = detect(model(tmp_path / "m", boxes, logits, names=("zero", "one")), confidence=0.5)
    assert found.labels == ["zero", "one"]


def test_the_background_may_be_anywhere(tmp_path: Path) -> None:
    boxes, logits = hundred_queries()
    names = ("a", BACKGROUND, "b", "c")
    found = detect(model(tmp_path / "m", boxes, logits, names=names), confidence=0.8)[0]
    assert found.names == ("a", "b", "c")
    assert found.labels == ["a", "c"]


def test_pictures_are_normalised_in_their_own_colours(tmp_path: Path) -> None:
    """Red by the statistics of red, where the neighbour takes those of blue."""
    tensor, _ = model(tmp_path / "m", *hundred_queries()).prepare([PICTURE])
    expected = (np.array([200, 100, 10]) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    assert tensor[0, :, 9, 9] == pytest.approx(expected, abs=1e-5)


# -- keypoints -------------------------------------------------------------------------------


def posed(precision: float, found: float) -> Detections:
    """One object, 0.5 sure, of class a with two keypoints; L = diag(precision)."""
    import tempfile

    heads = _posed_heads(precision, found)
    layout = Layout("rfdetr-keypoint-preview", "keypoint-detection", lambda _: heads)
    with tempfile.TemporaryDirectory() as folder:
        [answer] = detect(model_of(Path(folder) / "m", layout), confidence=0.01)
    return answer


def _posed_heads(precision: float, found: float) -> list[Any]:
    boxes = np.array([[0.5, 0.5, 0.25, 0.5]], np.float32)
    logits = np.array([[0, -20, -20]], np.float32)
    points = np.zeros((1, 3, 2, 8), np.float32)
    points[0, 0, :, :2] = [[0.5, 0.5], [0.25, 0.75]]
    points[0, 0, :, 2] = found
    points[0, 0, :, 4] = points[0, 0, :, 6] = np.log(precision)
    return [boxes, logits, points.reshape(1, 6, 8)]


@pytest.mark.parametrize("precision", [1.0, 10.0, 100.0])
def test_an_object_is_as_sure_as_its_keypoints_are_precise(precision: float) -> None:
    """The trace of the covariance is 2 / precision^2; p = 0.5 * trace^-0.2, p / (1 + p)."""
    power = 0.5 * (2 / precision**2) ** -0.2
    found = posed(precision, 2.0)
    assert found.confidence.tolist() == pytest.approx([power / (1 + power)], abs=1e-5)
    assert found.keypoints is not None
    expected = [[64, 48, 0.8808], [32, 72, 0.8808]]
    assert found.keypoints[0].tolist() == [pytest.approx(row, abs=1e-3) for row in expected]
    assert found.keypoint_names[0] == tuple(KEYPOINTS[0]["keypoints"].values())  # type: ignore[attr-defined]
