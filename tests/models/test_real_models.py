"""Real weights on real pictures: the objects and the precision that others measured for them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamkit.frame import Image
from streamkit.models import get_model
from streamkit.predictions import Detections
from tests.coco import CocoSet
from tests.needs import needs_real_data


@pytest.mark.parametrize(
    ("weights", "picture", "objects"),
    [
        ("yolov8n_640", "bus", {"person": (4, 0.90), "bus": (1, 0.84)}),
        ("yolov8n_640", "zidane", {"person": (2, 0.80), "tie": (1, 0.37)}),
        ("yolo11n_640", "bus", {"person": (4, 0.90), "bus": (1, 0.93)}),
        ("yolo11n_640", "zidane", {"person": (2, 0.87), "tie": (1, 0.46)}),
    ],
)
def test_known_objects_are_found(
    weights: str, picture: str, objects: dict[str, tuple[int, float]]
) -> None:
    path = needs_real_data(f"models/{weights}.onnx")
    image = cv2.imread(str(needs_real_data(f"images/{picture}.jpg")))
    assert image is not None
    with get_model(path) as model:
        [found] = model.infer(np.asarray(image, np.uint8), confidence=0.25, iou_threshold=0.7)
    assert isinstance(found, Detections)
    counts = Counter(found.labels)
    best = dict(zip(reversed(found.labels), found.confidence[::-1].tolist(), strict=True))
    assert {name: (counts[name], best[name]) for name in counts} == {
        name: (count, pytest.approx(score, abs=0.01)) for name, (count, score) in objects.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "multi_label", "least"),
    [
        ("yolov8n_640", False, 0.391),  # the reference has 0.396; measured here: 0.3964
        ("yolov8n_640", True, 0.399),  # 0.4042
        ("yolo11n_640", False, 0.428),  # the reference has 0.433; 0.4333
    ],
)
def test_average_precision_is_that_of_the_reference(
    weights: str, multi_label: bool, least: float
) -> None:
    path = needs_real_data(f"models/{weights}.onnx")
    pictures = needs_real_data("images/coco_val_a/images")
    truth = CocoSet(needs_real_data("images/coco_val_a/instances_val2017.json"), pictures)
    with get_model(path) as model:

        def detect(image: Image) -> Detections:
            [found] = model.infer(
                image, confidence=0.001, iou_threshold=0.7, multi_label=multi_label
            )
            assert isinstance(found, Detections)
            return found

        result = truth.evaluate(detect)
    assert result.ap >= least


def test_the_sample_model_is_found_by_its_folder() -> None:
    sample = Path(__file__).parents[2] / "samples" / "models" / "street" / "1"
    with get_model(sample) as model:
        assert model.names == ("bicycle", "bus", "car", "dog", "person", "truck")
        [found] = model.infer(np.zeros((720, 1280, 3), np.uint8))
    assert isinstance(found, Detections)
    assert found.image_size == (1280, 720)
