"""Version 0 of a model: an answer before there is anything to answer with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from streamkit.models import get_model
from streamkit.models.loading import load
from streamkit.models.manager import ModelManager
from streamkit.models.registry import TASKS
from streamkit.models.store.environment import ModelType
from streamkit.models.store.package import Package


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_stub(cache: Path, manager: ModelManager, task: str) -> None:
    (cache / "new" / "0").mkdir(parents=True)
    kind = {"project_task_type": task, "model_type": "stub"}
    (cache / "new" / "0" / "model_type.json").write_text(json.dumps(kind))
    pictures = [np.zeros((8, 8, 3), np.uint8)] * 70
    with get_model("new/0", manager=manager) as model:
        found = model.infer(pictures, confidence=0.9)
    assert len(found) == 70
    assert found[0].dict() == {"is_stub": True, "model_id": "new/0", "task_type": task}


def test_a_stub_needs_no_file() -> None:
    kind = ModelType(project_task_type="classification", model_type="stub")
    model = load(Package("new/0", Path("nowhere"), kind))
    assert model.names == ()
    model.close()
