"""One server for the tests that leave it as it is, with a model of each task."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.models.graphs import write_heads
from tests.models.layouts import LAYOUTS, THINGS, write_model
from tests.server.serving import Served, served

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
MODELS = {
    "street/1": "object-detection",
    "shapes/1": "instance-segmentation",
    "poses/1": "keypoint-detection",
    "kinds/1": "classification",
}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one model of each task."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(SAMPLES / "models" / "street", folder / "street")
    layouts = {layout.task: layout for layout in LAYOUTS if layout.model_type.startswith("yolov8")}
    for name, task in list(MODELS.items())[1:3]:
        write_model(folder / name, layouts[task], THINGS)
    write_classifier(folder / "kinds" / "1")
    return folder


def write_classifier(folder: Path) -> None:
    """Says ``cat``, 0.63, to everything."""
    folder.mkdir(parents=True)
    write_heads(folder / "weights.onnx", np.array([2, 1, 0.5], np.float32))
    names = ("cat", "dog", "bird")
    (folder / "class_names.txt").write_text("\n".join(names))
    steps = {"resize": {"format": "Stretch to", "width": 64, "height": 64, "enabled": True}}
    (folder / "environment.json").write_text(json.dumps({"PREPROCESSING": steps}))
    kind = {"project_task_type": "classification", "model_type": "resnet18"}
    (folder / "model_type.json").write_text(json.dumps(kind))


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With default settings."""
    with served(models, tmp_path_factory.mktemp("server") / "log.txt") as made:
        yield made


@pytest.fixture
def client(server: Served) -> Iterator[httpx.Client]:
    """Of that server."""
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as made:
        yield made
