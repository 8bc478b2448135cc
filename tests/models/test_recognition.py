"""What an ``.onnx`` file is that came without a ``model_type.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamkit.errors import ConfigError, ModelArtefactError
from streamkit.models.loading import load
from streamkit.models.recognition import recognise
from streamkit.models.session import Session
from streamkit.models.store.package import read_path
from tests.models.graphs import write_heads

NAMED = {"names": "{0: 'a', 1: 'b', 2: 'c'}"}
SEGMENT, POSE = {"task": "segment"}, {"task": "pose", "kpt_shape": "[2, 3]"}
END_TO_END = {"end2end": "True"}
PLANES = (4, 16, 16)
DETECTION, SEGMENTATION, KEYPOINTS = (
    "object-detection",
    "instance-segmentation",
    "keypoint-detection",
)


def graph(path: Path, shapes: list[tuple[int, ...]], metadata: dict[str, str]) -> Path:
    return write_heads(path, *[np.zeros(shape) for shape in shapes], metadata=metadata)


@pytest.mark.parametrize(
    ("shapes", "metadata", "expected"),
    [
        ([(7, 84)], NAMED, ("yolov8", DETECTION)),
        ([(7, 84)], {}, ("yolov8", DETECTION)),
        ([(84, 8)], NAMED, ("yolov5", DETECTION)),
        ([(30, 6)], NAMED | END_TO_END, ("yolov10", DETECTION)),
        ([(11, 84), PLANES], NAMED | SEGMENT, ("yolov8", SEGMENTATION)),
        ([(84, 12), PLANES], NAMED | SEGMENT, ("yolov5", SEGMENTATION)),
        ([(30, 10), PLANES], NAMED | SEGMENT | END_TO_END, ("yolo26", SEGMENTATION)),
        ([(13, 84)], NAMED | POSE, ("yolov8", KEYPOINTS)),
        ([(30, 12)], NAMED | POSE | END_TO_END, ("yolo26", KEYPOINTS)),
        ([(3,)], NAMED | {"task": "classify"}, ("yolov8", "classification")),
    ],
)
def test_yolo_models_are_known_by_their_outputs(
    tmp_path: Path, shapes: Any, metadata: dict[str, str], expected: tuple[str, str]
) -> None:
    path = graph(tmp_path / "m.onnx", shapes, metadata)
    assert recognise(Session(path)) == expected
    assert load(read_path(path)).names in (("a", "b", "c"), ("class_0", "class_1", "class_2"))


@pytest.mark.parametrize(
    ("shapes", "metadata"),
    [
        ([(30, 4), (30, 3)], NAMED),  # YOLO-NAS, or RF-DETR
        ([(3,)], NAMED),
        ([(84, 7)], NAMED),
        ([(7, 84)], NAMED | {"task": "obb"}),
        ([(7, 84)], NAMED | SEGMENT),
        ([(13, 84)], NAMED | {"task": "pose"}),
        ([(30, 7)], NAMED | END_TO_END),
        ([(9, 84)], {"names": "['a']"}),
    ],
)
def test_what_is_not_known_is_asked_for(
    tmp_path: Path, shapes: Any, metadata: dict[str, str]
) -> None:
    path = graph(tmp_path / "m.onnx", shapes, metadata)
    with pytest.raises(ModelArtefactError, match="say which architecture= it is"):
        load(read_path(path))


def test_the_caller_says_it_with_or_without_the_task(tmp_path: Path) -> None:
    pair = read_path(graph(tmp_path / "pair.onnx", [(30, 4), (30, 3)], NAMED))
    assert type(load(pair, architecture="yolo_nas_m")).__name__ == "YoloNasDetector"
    assert type(load(pair, architecture="rfdetr-nano")).__name__ == "RfDetrDetector"
    three = read_path(graph(tmp_path / "three.onnx", [(30, 4), (30, 3), (30, 8, 8)], NAMED))
    assert type(load(three, architecture="rfdetr-seg-nano")).__name__ == "RfDetrSegmenter"
    flat = read_path(graph(tmp_path / "flat.onnx", [(3,)], NAMED))
    assert type(load(flat, architecture="vit")).__name__ == "VitClassifier"
    assert type(load(flat, architecture="yolov8n-cls")).__name__ == "YoloClassifier"


def test_an_architecture_for_several_tasks_is_not_guessed(tmp_path: Path) -> None:
    three = read_path(graph(tmp_path / "three.onnx", [(30, 4), (30, 3), (30, 8, 8)], NAMED))
    with pytest.raises(ConfigError, match="write -keypoint or -seg after"):
        load(three, architecture="rfdetr")


NAMES_OF_10 = {"names": str([f"thing {i}" for i in range(10)])}


@pytest.mark.parametrize(
    ("architecture", "shapes", "metadata", "family"),
    [
        ("yolov10n", [(14, 84)], NAMES_OF_10, "YoloDetector"),
        ("yolo26n", [(14, 84)], NAMES_OF_10, "YoloDetector"),
        ("yolo26n", [(84, 6)], NAMES_OF_10, "Yolo26Detector"),
        ("yolo26n", [(4, 6)], NAMES_OF_10, "Yolo26Detector"),
        ("yolo26n-seg", [(18, 84), PLANES], NAMES_OF_10 | SEGMENT, "YoloSegmenter"),
        ("yolo26n-seg", [(5, 10), PLANES], NAMES_OF_10 | SEGMENT, "Yolo26Segmenter"),
        ("yolo26n-pose", [(20, 84)], NAMES_OF_10 | POSE, "YoloPose"),
        ("yolo26n-pose", [(5, 12)], NAMES_OF_10 | POSE, "Yolo26Pose"),
        ("yolov10n", [(5, 6)], NAMES_OF_10 | END_TO_END, "Yolov10Detector"),
    ],
)
def test_doubles_may_be_left_to_us_or_not(
    tmp_path: Path, architecture: str, shapes: Any, metadata: dict[str, str], family: str
) -> None:
    """YOLOv10 and YOLO26 are exported both ways; a name does not tell which."""
    path = graph(tmp_path / "m.onnx", shapes, metadata)
    assert type(load(read_path(path), architecture=architecture)).__name__ == family


def test_an_end_to_end_head_without_names_says_what_is_missing(tmp_path: Path) -> None:
    path = graph(tmp_path / "m.onnx", [(30, 6)], END_TO_END)
    with pytest.raises(ModelArtefactError, match=r"class_names\.txt is missing"):
        load(read_path(path))


@pytest.mark.parametrize("shape", ["[17]", "[0, 3]", "[17, 4]", "17", "['a', 3]"])
def test_a_shape_of_keypoints_that_is_none(tmp_path: Path, shape: str) -> None:
    metadata = NAMED | {"task": "pose", "kpt_shape": shape}
    path = graph(tmp_path / "m.onnx", [(13, 84)], metadata)
    with pytest.raises(ModelArtefactError, match="metadata 'kpt_shape' makes no sense"):
        load(read_path(path))
