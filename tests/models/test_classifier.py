"""Classifiers: what they are fed, and what they say, of one class or of several."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamkit.errors import ModelArtefactError
from streamkit.models.base import InferenceOptions, Model
from streamkit.models.families.yolo import YoloClassifier
from streamkit.models.loading import load
from streamkit.models.preprocess import FILL
from streamkit.models.scores import sigmoid, softmax
from streamkit.models.store.package import read_folder, read_path
from streamkit.predictions import Classification, MultiLabelClassification, Prediction
from tests.models.graphs import STRETCH, write_heads

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")
TYPES = ("vit", *RESNETS, "yolov8n", "yolov11s-cls", "yolo26n-cls")
LOGITS = np.array([1, 2, 0.5], np.float32)
PICTURE = np.full((96, 128, 3), (0, 51, 255), np.uint8)
"""Blue 0, green 0.2, red 1."""


def model_of(
    folder: Path,
    model_type: str,
    answer: Any = LOGITS,
    task: str = "classification",
    multiclass: bool | None = None,
    **graph: Any,
) -> Model:
    """In the neighbour's layout: no ``class_names.txt``, the names in the environment."""
    folder.mkdir(parents=True)
    write_heads(folder / "weights.onnx", np.asarray(answer, np.float32), **graph)
    environment: dict[str, Any] = {
        "PREPROCESSING": STRETCH,
        "CLASS_MAP": {"0": "a", "1": "b", "2": "c"},
    }
    if multiclass is not None:
        environment["MULTICLASS"] = multiclass
    (folder / "environment.json").write_text(json.dumps(environment))
    kind = {"project_task_type": task, "model_type": model_type}
    (folder / "model_type.json").write_text(json.dumps(kind))
    return load(read_folder(folder, "toy/1"))


def classify(model: Model, *pictures: Any, **options: Any) -> list[Prediction]:
    tensor, geometries = model.prepare(pictures or [PICTURE])
    outputs = model.run(tensor)
    wanted = InferenceOptions(**options)
    return [model.finish(outputs, i, g, wanted) for i, g in enumerate(geometries)]


# exp(1), exp(2), exp(0.5) over their sum; the neighbour rounds them to four digits.
@pytest.mark.parametrize("model_type", ["vit", "resnet18", "resnet34", "resnet50", "resnet101"])
def test_logits_become_shares_of_one(tmp_path: Path, model_type: str) -> None:
    [found] = classify(model_of(tmp_path / "m", model_type), confidence=0)
    wire = found.dict()
    assert [row["class"] for row in wire["predictions"]] == ["b", "a", "c"]
    assert [row["class_id"] for row in wire["predictions"]] == [1, 0, 2]
    shares = [row["confidence"] for row in wire["predictions"]]
    assert shares == pytest.approx([0.6285, 0.2312, 0.1402], abs=5e-5)
    assert list(wire["predictions"][0]) == ["class", "class_id", "confidence"]
    assert (wire["top"], wire["confidence"]) == ("b", shares[0])
    assert wire["image"] == {"width": 128, "height": 96}


@pytest.mark.parametrize("model_type", ["yolov8n", "yolov8", "yolov11s-cls"])
def test_a_graph_with_its_own_softmax_is_believed(tmp_path: Path, model_type: str) -> None:
    """The neighbour takes the softmax once more: 0.464 instead of 0.7."""
    [found] = classify(model_of(tmp_path / "m", model_type, [0.2, 0.7, 0.1]), confidence=0.2)
    assert isinstance(found, Classification)
    assert found.labels == ["b", "a"]
    assert found.confidence.tolist() == pytest.approx([0.7, 0.2])


def test_no_class_is_an_answer(tmp_path: Path) -> None:
    [found] = classify(model_of(tmp_path / "m", "vit"), confidence=0.7)
    assert len(found) == 0  # type: ignore[arg-type]
    wire = found.dict()
    assert (wire["predictions"], wire["top"], wire["confidence"]) == ([], "", 0.0)


def test_the_class_filter_leaves_the_shares_as_they_are(tmp_path: Path) -> None:
    [found] = classify(model_of(tmp_path / "m", "vit"), confidence=0, class_filter=("c", "a"))
    assert isinstance(found, Classification)
    assert found.labels == ["a", "c"]
    assert found.confidence.tolist() == pytest.approx([0.2312, 0.1402], abs=5e-5)


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize(
    ("task", "multiclass"), [("classification", True), ("multi-label-classification", None)]
)
def test_several_labels_at_once(
    tmp_path: Path, model_type: str, task: str, multiclass: bool | None
) -> None:
    """The scores are the graph's; the size is not mirrored, as it is in the neighbour."""
    model = model_of(tmp_path / "m", model_type, [0.5, 0.1, 0.9], task, multiclass)
    [found] = classify(model, confidence=0.5)
    assert isinstance(found, MultiLabelClassification)
    assert found.dict() == {
        "image": {"width": 128, "height": 96},
        "predictions": {
            "a": {"confidence": 0.5, "class_id": 0},
            "b": {"confidence": pytest.approx(0.1), "class_id": 1},
            "c": {"confidence": pytest.approx(0.9), "class_id": 2},
        },
        "predicted_classes": ["a", "c"],
    }
    assert len(found) == 2


COLOURS = np.array([1, 0.2, 0])
IMAGENET = (COLOURS - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("model_type", "expected"),
    [("vit", COLOURS * 2 - 1), ("yolov8s", COLOURS * 2 - 1), ("resnet50", IMAGENET)],
)
def test_each_family_has_its_own_units(tmp_path: Path, model_type: str, expected: Any) -> None:
    tensor, _ = model_of(tmp_path / "m", model_type).prepare([PICTURE])
    assert tensor.shape == (1, 3, 64, 64)
    assert tensor[0, :, 5, 7] == pytest.approx(expected, abs=1e-6)


def test_a_bare_export_of_yolo_wants_the_middle_of_the_picture(tmp_path: Path) -> None:
    metadata = {"task": "classify", "names": "{0: 'x', 1: 'y', 2: 'z'}"}
    path = write_heads(tmp_path / "m.onnx", np.array([0.1, 0.7, 0.2]), metadata=metadata)
    model = load(read_path(path))
    picture = np.zeros((64, 192, 3), np.uint8)
    picture[:, 64:128] = PICTURE[0, 0]
    tensor, _ = model.prepare([picture])
    assert tensor[0, :, 0, 0] == pytest.approx(COLOURS)
    assert tensor[0, :, 63, 63] == pytest.approx(COLOURS)
    [found] = classify(model)
    assert isinstance(found, Classification)
    assert found.labels == ["y"]


@pytest.mark.parametrize(("size", "resize"), [((64, 64), FILL), ((64, 32), "Stretch to")])
def test_a_bare_export_of_yolo_is_shown_what_its_authors_show(
    tmp_path: Path, size: tuple[int, int], resize: str
) -> None:
    metadata = {"task": "classify", "names": "{0: 'x', 1: 'y', 2: 'z'}"}
    answer = np.array([0.1, 0.7, 0.2])
    path = write_heads(tmp_path / "m.onnx", answer, size=size, metadata=metadata)
    stripes = np.zeros((640, 640, 3), np.uint8)
    stripes[:, ::10] = 250  # nearest pixels would see all of a stripe, or nothing
    model = load(read_path(path))
    assert isinstance(model, YoloClassifier)
    assert (model.recipe.resize, model.recipe.smooth) == (resize, True)
    tensor, _ = model.prepare([stripes])
    assert np.abs(tensor[..., 1:-1] - 25 / 255).max() < 0.03


def test_the_layout_of_the_neighbour_is_sized_as_by_the_neighbour(tmp_path: Path) -> None:
    model = model_of(tmp_path / "m", "yolov8s", [0.1, 0.7, 0.2])
    assert isinstance(model, YoloClassifier)
    assert (model.recipe.resize, model.recipe.smooth) == ("Stretch to", False)


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("graph", [{"batch": "n"}, {"batch": 2}, {"half": True, "batch": 2}])
def test_every_picture_of_a_batch_is_classified(
    tmp_path: Path, model_type: str, graph: dict[str, Any]
) -> None:
    """The neighbour answers for the first only where the batch is open."""
    model = model_of(tmp_path / "m", model_type, [0.2, 0.7, 0.1], **graph)
    found = classify(model, PICTURE, PICTURE[:10, :20], confidence=0)
    assert [one.dict()["image"]["width"] for one in found] == [128, 20]
    assert [one.dict()["top"] for one in found] == ["b", "b"]


def test_classes_and_names_must_be_as_many(tmp_path: Path) -> None:
    with pytest.raises(ModelArtefactError, match="4 classes apart, but there are 3 class names"):
        model_of(tmp_path / "m", "vit", [0.1, 0.2, 0.3, 0.4])


def test_probabilities_without_overflow() -> None:
    assert sigmoid(np.array([-np.inf, -1000, 0, 1000, np.inf])).tolist() == [0, 0, 0.5, 1, 1]
    assert sigmoid(np.array([2.0])).tolist() == pytest.approx([1 / (1 + np.exp(-2))])
    assert softmax(np.array([1e4, 1e4, -1e4])).tolist() == [0.5, 0.5, 0]
    assert np.isnan(sigmoid(np.array([np.nan]))).all()
