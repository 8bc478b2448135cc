"""A family of one's own: a class in any module, and the package is not touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamkit.models import get_model
from streamkit.models.manager import ModelManager
from streamkit.models.registry import MODELS
from tests.models.graphs import write_folder, write_heads

SOURCE = '''
"""A detector whose graph says only where the one thing in the picture is."""

import numpy as np

from streamkit.models.detector import Detector, Objects


class Pointer(Detector):
    """Output 0 is (B, 2): x and y of the centre of a box of 10 x 10 input pixels."""

    layout = "batch x 2"

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.fixed(0, 2, {1: 2})
        self.names = self.names_of(1)

    def objects(self, heads, options):
        x, y = heads[0]
        box = np.array([[x - 5, y - 5, x + 5, y + 5]], np.float32)
        return Objects(box, np.ones(1, np.float32), np.zeros(1, np.int64), np.zeros(1, np.int64))
'''


def test_a_class_in_a_module_of_ones_own_is_a_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manager: ModelManager
) -> None:
    (tmp_path / "my_pointer.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    rows = dict(MODELS)
    folder = write_folder(tmp_path / "mine", names=["thing"])
    write_heads(folder / "weights.onnx", np.array([20, 30]))
    with get_model(folder, architecture="my_pointer:Pointer", manager=manager) as model:
        [found] = model.infer(np.zeros((128, 64, 3), np.uint8), confidence=0.9)
    assert found.dict()["predictions"][0] | {"detection_id": ""} == {
        "x": 20, "y": 60, "width": 10, "height": 20, "confidence": 1.0,
        "class": "thing", "class_id": 0, "detection_id": "",
    }  # fmt: skip
    assert dict(MODELS) == rows
