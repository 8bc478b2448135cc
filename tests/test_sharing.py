"""One model instance per process, whoever uses it and however."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamkit import InferencePipeline
from streamkit.errors import ConfigError, ModelArtefactError, ModelNotFoundError
from streamkit.models import ModelManager, get_model
from streamkit.settings import Settings
from tests.clips import clip
from tests.fakes import Collector, Updates

MODEL = Path(__file__).resolve().parents[1] / "samples" / "models" / "street" / "1"
SAMPLE = MODEL.parents[2] / "street.mp4"


@pytest.fixture
def manager() -> Any:
    made = ModelManager.of(Settings.load())
    yield made
    made.close()


def test_three_pipelines_with_two_confidences_share_one_session(
    manager: ModelManager, tmp_path: Path
) -> None:
    street = tmp_path / "part.mp4"
    street.write_bytes(SAMPLE.read_bytes())
    updates, sinks = Updates(), [Collector() for _ in range(3)]
    pipelines = [
        InferencePipeline.init(
            str(street),
            str(MODEL),
            confidence=confidence,
            sinks=[sink],
            max_fps=20,
            manager=manager,
            status_update_handlers=[updates],
        )
        for confidence, sink in zip((0.3, 0.3, 0.8), sinks, strict=True)
    ]
    for pipeline in pipelines:
        pipeline.start(use_main_thread=False)
    for sink in sinks:
        sink.await_results(4)
    assert len(manager.models()) == 1
    for pipeline in pipelines:
        pipeline.terminate()
    assert manager.loads == 1
    assert len(updates.of("MODEL_LOADED")) == 1
    low, same, high = (sink.results[0].prediction for sink in sinks)
    np.testing.assert_array_equal(low.xyxy, same.xyxy)
    assert len(high) < len(low)
    assert high.confidence.min() >= 0.8
    assert low.confidence.min() < 0.8


def test_frames_of_a_real_clip_reach_the_model_in_order_and_every_one_once(
    manager: ModelManager, tmp_path: Path
) -> None:
    """Two workers run at a time; results come out in the order of the frames all the same."""
    numbered = clip(tmp_path / "n.mp4", frames=60, b_frames=2, size=(256, 144))
    seen: list[int] = []
    pipeline = InferencePipeline.init(
        numbered, MODEL, on_prediction=lambda _, frame: seen.append(frame.frame_id), manager=manager
    )
    pipeline.start()
    pipeline.join()
    assert seen == list(range(1, 61))
    assert pipeline.stats()["model"]["frames"] == 60


def test_a_model_called_directly_is_the_same_one(manager: ModelManager) -> None:
    with get_model(MODEL, manager=manager) as model:
        predictions = model.infer(np.zeros((360, 640, 3), np.uint8), confidence=0.5)
        assert len(predictions) == 1
        pipeline = InferencePipeline.init(iter(()), MODEL, manager=manager)
        pipeline.start()
        pipeline.join()
    assert manager.loads == 1


def test_what_is_wrong_with_a_model_is_known_before_the_start(
    manager: ModelManager, tmp_path: Path
) -> None:
    with pytest.raises(ModelNotFoundError, match="nobody/7"):
        InferencePipeline.init("a.mp4", "nobody/7", manager=manager)
    with pytest.raises(ConfigError):
        InferencePipeline.init("a.mp4", "a/..", manager=manager)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a graph")
    with pytest.raises(ModelArtefactError, match=r"broken\.onnx"):
        InferencePipeline.init("a.mp4", broken, manager=manager)
