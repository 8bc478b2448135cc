"""Real weights on real pictures: the objects and the precision that others measured for them."""

from __future__ import annotations

from collections import Counter

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
@pytest.mark.parametrize(("weights", "least"), [("yolov8n_640", 0.391), ("yolo11n_640", 0.428)])
def test_average_precision_is_that_of_the_reference(weights: str, least: float) -> None:
    path = needs_real_data(f"models/{weights}.onnx")
    pictures = needs_real_data("images/coco_val_a/images")
    truth = CocoSet(needs_real_data("images/coco_val_a/instances_val2017.json"), pictures)
    with get_model(path) as model:

        def detect(image: Image) -> Detections:
            [found] = model.infer(image, confidence=0.001, iou_threshold=0.7, multi_label=True)
            assert isinstance(found, Detections)
            return found

        result = truth.evaluate(detect)
    assert result.ap >= least
