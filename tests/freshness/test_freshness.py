"""Freshness through whole pipelines: budgets, shares, gates, regions, every n-th, the ladder."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from streamkit import InferencePipeline
from streamkit.delivery import Delivery
from streamkit.errors import (
    AdmissionRefusedError,
    ConfigError,
    ModelError,
    StreamOperationNotAllowedError,
)
from streamkit.events import Reporter, StatusUpdate
from streamkit.frame import Clock, Image, VideoFrame
from streamkit.models import get_model
from streamkit.models.base import InferenceOptions
from streamkit.models.manager import ModelManager
from streamkit.models.regions import pixels_of
from streamkit.options import SourceReference
from streamkit.parts import moved
from streamkit.predictions import Classification, Detections, MultiLabelClassification, Result
from streamkit.settings import Settings
from streamkit.sources.base import Capture, Captures
from tests.clips import clip
from tests.fakes import START, Camera, Clip, Collector, Updates, numbers, until
from tests.models.graphs import write_graph

MODEL = Path(__file__).resolve().parents[2] / "samples" / "models" / "street" / "1"
NAMED = {"names": "['a', 'b', 'c']"}
STREET = MODEL.parents[2] / "street.jpg"


@pytest.fixture
def manager() -> Iterator[ModelManager]:
    made = ModelManager.of(Settings.load())
    yield made
    made.close()


def account(pipeline: InferencePipeline, source_id: int = 0) -> dict[str, Any]:
    stats: dict[str, Any] = pipeline.stats()["streams"][source_id]
    lost = sum(stats["dropped"].values())
    assert stats["captured"] == stats["delivered"] + lost + stats["in_flight"]
    return stats


# -- budgets and shares -----------------------------------------------------------------------


def test_each_stream_has_a_staleness_budget_of_its_own() -> None:
    """The function holds the only thread, so that a frame of each camera waits meanwhile."""
    go, sink = threading.Event(), Collector()

    def slow(frames: list[VideoFrame]) -> list[Any]:
        go.wait(0.3)
        return [frame.age for frame in frames]

    pipeline = InferencePipeline.init_with_custom_logic(
        [SourceReference(Camera(4.0), {"max_staleness": 0.02}), Camera(4.0)],
        slow,
        sinks=[sink],
        max_staleness=30.0,
    )
    with pipeline:
        until(lambda: account(pipeline, 0)["dropped"].get("stale", 0) > 0)
        sink.await_results(3)
        go.set()
    assert "stale" not in account(pipeline, 1)["dropped"]
    assert account(pipeline, 0)["in_flight"] == account(pipeline, 1)["in_flight"] == 0


def test_wrong_options_are_told_before_anything_starts() -> None:
    for wrong in ({"weight": 0}, {"infer_every": 0}, {"region": [0, 0, 2, 1]}, {"motion_gate": 3}):
        with pytest.raises(ConfigError):
            InferencePipeline.init_with_custom_logic(Clip(1), numbers, stream=wrong)
    parts = InferencePipeline.init_with_custom_logic(
        Clip(1), numbers, stream={"region": [0, 0, 0.5, 1]}
    )
    with pytest.raises(ConfigError, match="region"):
        parts.start()


# -- the motion gate --------------------------------------------------------------------------


class Hall(Clip):
    """Nothing moves, but in frames 50 to 59 somebody comes and goes."""

    def read(self) -> Captures:
        rng = np.random.default_rng(1)
        for number in range(100):
            picture = np.full((360, 640, 3), 90, np.uint8) + rng.integers(0, 6, (360, 640, 1))
            if 50 <= number < 60:
                picture[100:200, 30 * (number - 50) : 30 * (number - 50) + 60] = 200
            at = START + timedelta(seconds=number / 25)
            yield Capture(picture.astype(np.uint8), at, Clock.PTS)


def test_a_motion_gate_lets_pass_what_moves_and_counts_the_rest() -> None:
    sink = Collector()
    pipeline = InferencePipeline.init_with_custom_logic(
        Hall(100), numbers, sinks=[sink], stream={"motion_gate": {"hold": 0.2, "heartbeat": 60}}
    )
    pipeline.start()
    pipeline.join()
    stats = account(pipeline)
    assert sink.ids()[0] == 1
    assert set(range(51, 61)) <= set(sink.ids())
    assert len(sink.ids()) < 25
    assert stats["dropped"] == {"still": 100 - len(sink.ids())}


# -- every n-th -------------------------------------------------------------------------------


class Walker(Clip):
    """Frame ids count from 1; a thing walks 4 pixels a frame."""

    def read(self) -> Captures:
        for number in range(self._frames):
            at = START + timedelta(seconds=number / 25)
            yield Capture(np.zeros((100, 400, 3), np.uint8), at, Clock.PTS)


def found(frames: list[VideoFrame]) -> list[Detections]:
    return [at_step(frame.frame_id - 1) for frame in frames]


def at_step(step: int) -> Detections:
    left = 10.0 + 4 * step
    return Detections(
        np.array([[left, 10, left + 40, 60]], np.float32),
        np.array([0.9], np.float32),
        np.array([0]),
        ("walker",),
        (400, 100),
    )


def test_between_inferences_boxes_move_on_and_are_marked() -> None:
    sink = Collector()
    pipeline = InferencePipeline.init_with_custom_logic(
        Walker(40), found, sinks=[sink], stream={"infer_every": 4}
    )
    pipeline.start()
    pipeline.join()
    assert sink.ids() == list(range(1, 41))
    assert [r.inferred for r in sink.results] == [n % 4 == 0 for n in range(40)]
    assert pipeline.stats()["model"]["frames"] == 10
    for step, result in enumerate(sink.results[4:], start=4):
        np.testing.assert_allclose(result.prediction.xyxy, at_step(step).xyxy, atol=0.01)
    assert account(pipeline)["delivered"] == 40


def test_a_live_stream_may_be_inferred_at_a_rate_of_its_own() -> None:
    sink = Collector()
    pipeline = InferencePipeline.init_with_custom_logic(
        Camera(50.0), numbers, sinks=[sink], stream={"infer_fps": 5.0}
    )
    with pipeline:
        sink.await_results(60)
    inferred = sum(result.inferred for result in sink.results)
    assert 0 < inferred < len(sink.results) / 2
    assert all(r.prediction is not None for r in sink.results)
    assert account(pipeline)["in_flight"] == 0


def test_options_may_change_while_it_runs() -> None:
    sink = Collector()
    pipeline = InferencePipeline.init_with_custom_logic(Camera(100.0), numbers, sinks=[sink])
    with pipeline:
        sink.await_results(10)
        pipeline.reconfigure_source(0, infer_every=5)
        until(lambda: any(not result.inferred for result in sink.results))
    assert account(pipeline)["in_flight"] == 0


def test_a_function_has_no_region_and_what_it_refuses_changes_nothing() -> None:
    sink = Collector()
    pipeline = InferencePipeline.init_with_custom_logic(Camera(), numbers, sinks=[sink])
    with pipeline:
        sink.await_results(2)
        with pytest.raises(ConfigError, match="region"):
            pipeline.reconfigure_source(0, region=[0, 0, 0.5, 1], name="yard")
        assert account(pipeline)["source"] != "yard"
        pipeline.reconfigure_source(0, name="gate")
        assert account(pipeline)["source"] == "gate"


# -- regions ----------------------------------------------------------------------------------


def test_a_region_is_exactly_the_part_cut_out_by_hand(manager: ModelManager) -> None:
    picture = np.asarray(cv2.imread(str(STREET)), np.uint8)
    height, width = picture.shape[:2]
    region = (0.3, 0.2, 0.9, 1.0)
    left, top, right, bottom = pixels_of(region, (width, height))
    assert (left % 2, top % 2) == (0, 0)
    with get_model(MODEL, manager=manager) as model:
        [whole] = model.infer(picture, region=region)
        [part] = model.infer(picture[top:bottom, left:right])
    assert isinstance(whole, Detections)
    assert isinstance(part, Detections)
    assert len(part) > 0
    shift = np.array([left, top, left, top], np.float32)
    np.testing.assert_array_equal(whole.xyxy, part.xyxy + shift)
    np.testing.assert_array_equal(whole.confidence, part.confidence)
    assert whole.image_size == (width, height)


def test_frames_with_different_regions_share_a_batch(manager: ModelManager) -> None:
    picture = np.asarray(cv2.imread(str(STREET)), np.uint8)
    regions = [None, (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)]
    wanted = [InferenceOptions(region=region) for region in regions]
    with manager.pin(MODEL) as shared:
        together = shared.infer([picture] * 3, wanted)
        alone = [shared.infer([picture], [one])[0] for one in wanted]
    for one, other in zip(together, alone, strict=True):
        assert isinstance(one, Detections)
        assert isinstance(other, Detections)
        np.testing.assert_allclose(one.xyxy, other.xyxy, atol=0.01)


def test_a_decoded_clip_and_its_region_agree_with_its_pixels(
    manager: ModelManager, tmp_path: Path
) -> None:
    recording = clip(tmp_path / "n.mp4", frames=5, size=(256, 144))
    sink = Collector()
    pipeline = InferencePipeline.init(
        recording, MODEL, sinks=[sink], stream={"region": [0, 0, 0.5, 1]}, manager=manager
    )
    pipeline.start()
    pipeline.join()
    assert [r.prediction.image_size for r in sink.results] == [(256, 144)] * 5


def test_shapes_keypoints_and_classes_move_with_the_region() -> None:
    from streamkit.masks import Masks

    bitmap = np.ones((3, 2), np.uint8)
    masks = Masks((bitmap, np.zeros((0, 0), np.uint8)), np.array([[1, 2], [0, 0]]), (20, 10))
    points = np.array([[[4, 5, 0.9], [0, 0, 0]], [[1, 1, 0.5], [2, 2, 0.5]]], np.float32)
    boxes = np.array([[1, 2, 3, 5], [0, 0, 20, 10]], np.float32)
    two = np.array([0.9, 0.8], np.float32), np.array([0, 0])
    inside = Detections(boxes, *two, ("a",), (20, 10), masks=masks, keypoints=points)
    whole = moved(inside, (100, 50), (640, 480))
    assert isinstance(whole, Detections)
    assert whole.masks is not None
    assert whole.keypoints is not None
    dense = whole.masks.dense()
    assert dense.shape == (2, 480, 640)
    assert dense[0, 52:55, 101:103].all()
    assert dense.sum() == 6
    assert whole.masks.rle()[0]["size"] == [480, 640]
    assert whole.masks.polygons()[0][0].min(axis=0).tolist() == [101, 52]
    np.testing.assert_allclose(whole.keypoints[0], np.array([[104, 55, 0.9], [0, 0, 0]]))
    likely = np.array([0.9], np.float32), np.array([0])
    for kind in (Classification, MultiLabelClassification):
        seen = moved(kind(*likely, ("a",), (20, 10)), (100, 50), (640, 480))
        assert isinstance(seen, kind)
        assert seen.image_size == (640, 480)


@pytest.mark.parametrize("size", [(1280, 720), (641, 359), (3, 3), (1, 1)])
def test_a_region_lies_on_whole_chroma_and_in_the_picture(size: tuple[int, int]) -> None:
    for region in ((0.0, 0.0, 1.0, 1.0), (0.333, 0.5, 0.334, 0.501), (0.99, 0.99, 1.0, 1.0)):
        left, top, right, bottom = pixels_of(region, size)
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
        assert left % 2 == top % 2 == 0
    assert pixels_of((0, 0, 1, 1), size) == (0, 0, *size)


# -- smaller inputs ---------------------------------------------------------------------------


def test_a_graph_of_open_size_takes_smaller_inputs_beside_the_usual_one(
    manager: ModelManager, tmp_path: Path
) -> None:
    """The toy answers in pixels of its input whatever it sees, so half the size is twice as far."""
    graph = write_graph(tmp_path / "open.onnx", size=("w", "h"), batch="n", metadata=NAMED)
    picture = np.zeros((640, 640, 3), np.uint8)
    wanted = [InferenceOptions(input_scale=scale) for scale in (1.0, 0.5, 1.0)]
    with manager.pin(graph) as shared:
        assert shared.scalable(0.5)
        usual, half, again = shared.infer([picture] * 3, wanted)
    assert isinstance(usual, Detections)
    assert isinstance(half, Detections)
    assert isinstance(again, Detections)
    assert len(half) > 0
    np.testing.assert_allclose(half.xyxy[0], usual.xyxy[0] * 2, atol=0.01)
    np.testing.assert_array_equal(again.xyxy, usual.xyxy)


def test_a_graph_of_one_size_keeps_it(manager: ModelManager, tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "fixed.onnx", metadata=NAMED)
    picture = np.zeros((64, 64, 3), np.uint8)
    with manager.pin(graph) as shared:
        assert not shared.scalable(0.5)
        [same] = shared.infer([picture], [InferenceOptions(input_scale=0.5)])
        [usual] = shared.infer([picture], [InferenceOptions()])
    assert isinstance(same, Detections)
    assert isinstance(usual, Detections)
    np.testing.assert_array_equal(same.xyxy, usual.xyxy)


# -- the ladder and admission -----------------------------------------------------------------


class Street(Camera):
    """Large pictures, so that the model has something to do."""

    picture: Image = np.full((360, 640, 3), 114, np.uint8)

    def _pictures(self) -> Captures:
        for capture in super()._pictures():
            yield Capture(self.picture, datetime.now(UTC))
            del capture


def test_under_overload_quality_goes_down_and_is_told(manager: ModelManager) -> None:
    updates, sink = Updates(), Collector()
    hard = {"budget": 1e-6, "down_after": 0.6, "rates": [0.5], "scales": []}
    pipeline = InferencePipeline.init(
        [SourceReference(Street(30.0), {"priority": 1}), Street(30.0)],
        MODEL,
        sinks=[sink],
        status_update_handlers=[updates],
        degrade=hard,
        ladder=[str(MODEL.parent / ".." / "street" / "1")],
        manager=manager,
    )
    with pipeline:
        told = [updates.wait_for("STREAM_QUALITY_CHANGED", count).payload for count in (1, 2)]
        came = len(sink.results)
        sink.await_results(came + 10)
        assert pipeline.stats()["model"]["quality"] == told[1]["to"]
    assert [payload["from"] for payload in told] == ["full", "rate 0.5"]
    assert "model" in told[1]["to"]
    assert "wait" in told[0]["why"]
    assert "rate" not in account(pipeline, 0)["dropped"]
    assert account(pipeline, 1)["dropped"]["rate"] > 0
    assert account(pipeline, 0)["in_flight"] == account(pipeline, 1)["in_flight"] == 0


def test_a_ladder_that_does_not_exist_is_told_before_the_start(manager: ModelManager) -> None:
    with pytest.raises(ModelError, match="nobody/7"):
        InferencePipeline.init(Clip(1), MODEL, ladder=["nobody/7"], manager=manager)
    for wrong in ({"ladder": "one/1"}, {"degrade": 3}, {"admission": "yes"}):
        with pytest.raises(ConfigError):
            InferencePipeline.init(Clip(1), MODEL, manager=manager, **wrong)


def test_what_was_degraded_begins_anew_with_the_next_run(manager: ModelManager) -> None:
    updates, camera = Updates(), Street(30.0)
    pipeline = InferencePipeline.init(
        camera,
        MODEL,
        status_update_handlers=[updates],
        degrade={"budget": 1e-6, "down_after": 0.3, "rates": [0.5], "scales": []},
        manager=manager,
    )
    for run in (1, 2):
        camera.interrupted.clear()
        with pipeline:
            change = updates.wait_for("STREAM_QUALITY_CHANGED", run).payload
        assert (change["from"], change["to"]) == ("full", "rate 0.5")
        assert account(pipeline)["in_flight"] == 0


def test_who_is_told_of_the_quality_cannot_wait_for_the_end_in_there_but_may_end_it(
    manager: ModelManager,
) -> None:
    answers: list[type[BaseException]] = []

    def handler(update: StatusUpdate) -> None:
        if update.event_type == "STREAM_QUALITY_CHANGED":
            try:
                pipeline.join()
            except StreamOperationNotAllowedError as error:
                answers.append(type(error))
            pipeline.terminate()

    pipeline = InferencePipeline.init(
        Street(30.0),
        MODEL,
        status_update_handlers=[handler],
        degrade={"budget": 1e-6, "down_after": 0.3, "rates": [0.5], "scales": []},
        manager=manager,
    )
    pipeline.start(use_main_thread=False)
    pipeline.join(timeout=20)
    assert answers == [StreamOperationNotAllowedError]


def test_what_the_model_has_no_room_for_is_refused_by_its_numbers(manager: ModelManager) -> None:
    updates, sink = Updates(), Collector()
    cameras = [
        SourceReference(Street(10.0), {"max_fps": 10.0, "priority": priority, "name": name})
        for name, priority in (("yard", 0), ("gate", 1), ("door", 0))
    ]
    pipeline = InferencePipeline.init(
        cameras,
        MODEL,
        sinks=[sink],
        status_update_handlers=[updates],
        admission={"capacity": 30.0, "margin": 0.2},
        manager=manager,
    )
    with pipeline:
        refused = updates.wait_for("STREAM_ADMISSION_REFUSED").payload
        sink.await_results(10)
    assert refused["message"].startswith("door is refused: it needs 10.0")
    assert (refused["needed"], refused["taken"], refused["there_is"]) == (10.0, 20.0, 24.0)
    assert {result.frame.source_id for result in sink.results} == {0, 1}
    with pytest.raises(AdmissionRefusedError, match="door"):
        pipeline.join()


def test_a_file_needs_no_room(manager: ModelManager, tmp_path: Path) -> None:
    recording = clip(tmp_path / "n.mp4", frames=5, size=(256, 144))
    sink = Collector()
    pipeline = InferencePipeline.init(
        recording, MODEL, sinks=[sink], admission={"capacity": 0.1}, manager=manager
    )
    pipeline.start()
    pipeline.join()
    assert len(sink.results) == 5


# -- all of it together -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_account_is_exact_whatever_is_wanted_and_whenever_it_stops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sources = [
        SourceReference(
            Camera(float(rng.integers(50, 200))) if rng.random() < 0.7 else Clip(300),
            {
                "priority": int(rng.integers(0, 3)),
                "weight": float(rng.uniform(0.5, 4)),
                "infer_every": int(rng.integers(1, 5)),
                "max_staleness": float(rng.choice([0.005, 1.0])),
                "motion_gate": bool(rng.random() < 0.3),
            },
        )
        for _ in range(5)
    ]

    def work(frames: list[VideoFrame]) -> list[Any]:
        time.sleep(0.004)
        return [None] * len(frames)

    pipeline = InferencePipeline.init_with_custom_logic(sources, work, sinks=[Collector(idle)])
    with pipeline:
        until(lambda: all(account(pipeline, n)["captured"] > 20 for n in range(5)))
    assert [account(pipeline, number)["in_flight"] for number in range(5)] == [0] * 5


def idle(_: Result) -> None:
    time.sleep(0.002)


def test_results_that_come_in_a_burst_all_find_room_before_a_callback() -> None:
    delivery = Delivery("callback", lambda _results: None, lambda: None, Reporter())
    intake = delivery.open()
    delivery.adopt(intake, live=True, burst=3)
    assert intake.lane.policy.capacity == 3
    delivery.adopt(intake, live=True)
    assert intake.lane.policy.capacity == 1
    delivery.abandon()
