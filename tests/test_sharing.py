"""One model instance per process, whoever uses it and however."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamkit import InferencePipeline
from streamkit.errors import ConfigError, ModelArtefactError, ModelError
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
    with pytest.raises(ModelError, match="nobody/7"):
        InferencePipeline.init("a.mp4", "nobody/7", manager=manager)
    with pytest.raises(ConfigError):
        InferencePipeline.init("a.mp4", "a/..", manager=manager)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a graph")
    with pytest.raises(ModelArtefactError, match=r"broken\.onnx"):
        InferencePipeline.init("a.mp4", broken, manager=manager)


def test_a_recording_of_varying_rate_runs_twice_with_its_own_times_and_ids_going_on(
    manager: ModelManager, tmp_path: Path
) -> None:
    times = [0.0, 0.04, 0.08, 0.2, 0.24, 0.5, 0.54]
    recording = clip(tmp_path / "vfr.mp4", frames=7, times=times, size=(256, 144))
    sink = Collector()
    pipeline = InferencePipeline.init(recording, MODEL, sinks=[sink], manager=manager)
    for _ in range(2):
        pipeline.start(use_main_thread=False)
        pipeline.join()
    assert sink.ids() == list(range(1, 15))
    taken = [result.frame.timestamp for result in sink.results]
    for run in (taken[:7], taken[7:]):
        assert [round((at - run[0]).total_seconds(), 3) for at in run] == times


def test_terminate_after_an_error_and_a_new_start_after_that(tmp_path: Path) -> None:
    calls: list[int] = []

    def once_broken(frames: list[Any]) -> list[Any]:
        calls.append(len(frames))
        if len(calls) == 1:
            raise RuntimeError("first run")
        return [None] * len(frames)

    recording = clip(tmp_path / "n.mp4", frames=10)
    sink = Collector()
    pipeline = InferencePipeline.init_with_custom_logic(recording, once_broken, sinks=[sink])
    pipeline.start()
    with pytest.raises(RuntimeError, match="first run"):
        pipeline.join()
    pipeline.terminate()
    pipeline.start()
    pipeline.join()
    assert len(sink.results) == 10


def test_nothing_is_written_to_the_home_folder_by_the_runtime(tmp_path: Path) -> None:
    """ONNX Runtime's telemetry is off unless somebody wants it."""
    script = f"from streamkit import get_model; get_model({str(MODEL)!r}).close()"
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=50)
    assert list(tmp_path.rglob("*")) == []
