"""Models that stages ask: one instance for all, behind the frames, stopped with their stream."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamkit.asking import Answer, ModelAccess, OpenModel, Unanswered
from streamkit.errors import ClosedError, ConfigError, InferenceError
from streamkit.frame import Image, VideoFrame
from streamkit.models.base import InferenceOptions, Outputs, Tensor
from streamkit.models.lease import Lease
from streamkit.models.manager import ModelManager
from streamkit.models.opened import OpenedModel, StreamModels
from streamkit.models.shared import SharedModel
from streamkit.predictions import Detections
from streamkit.scheduler import LIVE
from tests.fakes import until
from tests.models.graphs import HEAD, write_folder
from tests.models.test_shared import Scale, frame

FAST = InferenceOptions(confidence=0.0)


def crop(level: int) -> Image:
    return np.full((4, 4, 3), level, np.uint8)


def levels(answers: Sequence[Answer]) -> list[int | None]:
    """What was said, as the level of the picture; ``None`` where nothing was."""
    return [
        round(float(a.confidence[0]) * 255) if isinstance(a, Detections) else None for a in answers
    ]


class Gated(Scale):
    """Lets nobody through before it is opened; remembers who came in which order."""

    def __init__(self, max_batch: int = 1) -> None:
        super().__init__(max_batch)
        self.entered, self.open = threading.Event(), threading.Event()
        self.order: list[int] = []

    def prepare(self, pictures: Sequence[VideoFrame | Image]) -> tuple[Tensor, Sequence[Any]]:
        tensor, geometries = super().prepare(pictures)
        self.order += tensor[:, 0, 0, 0].astype(int).tolist()
        self.entered.set()
        assert self.open.wait(20)
        return tensor, geometries


@contextmanager
def opened(
    shared: SharedModel, most: int = 16, priority: int = -1
) -> Iterator[tuple[StreamModels, OpenedModel]]:
    """``shared`` as one stage of a stream opens it."""

    def lease(_: str | Path) -> Lease:
        shared.start()
        return Lease(shared, shared.stop)

    models = StreamModels(lease, ("own/1", FAST))
    try:
        yield models, models.open(most=most, priority=priority)
    finally:
        models.close()


@contextmanager
def beside(models: StreamModels, asking: OpenedModel, pictures: Sequence[Image]) -> Iterator[Any]:
    """A stage that waits for answers; in ``got`` what came, or what was raised."""
    got: list[Any] = []

    def ask() -> None:
        try:
            got.append(asking.ask(pictures))
        except ClosedError as error:
            got.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield got
    finally:
        models.interrupt()
        thread.join()


def test_they_are_what_a_stage_expects() -> None:
    models: ModelAccess = StreamModels(lambda _: Lease(SharedModel(Scale()), lambda _: None), None)
    asked: OpenModel = models.open("x/1")
    assert asked.model_id == "scale/1"
    assert asked.names == ("level",)


@pytest.mark.parametrize(("max_batch", "most"), [(1, 16), (4, 16), (4, 3), (16, 1)])
def test_answers_come_in_the_order_of_the_pictures(max_batch: int, most: int) -> None:
    with opened(SharedModel(Scale(max_batch)), most) as (_, model):
        for count in (0, 1, 7):
            pictures = [crop(10 * i) for i in range(count)]
            assert levels(model.ask(pictures)) == [10 * i for i in range(count)]
            assert levels(model(pictures)) == [10 * i for i in range(count)]


def test_what_is_asked_together_goes_as_one_batch() -> None:
    toy = Scale(8)
    with opened(SharedModel(toy, 1)) as (_, model):
        model.ask([crop(i) for i in range(8)])
        assert toy.batches == [8]


def test_crops_of_two_streams_share_a_batch() -> None:
    toy = Gated(8)
    shared = SharedModel(toy, 1)
    with opened(shared) as (one, first), opened(shared) as (other, second):
        with beside(one, first, [crop(1)]):
            assert toy.entered.wait(10)  # the worker is busy; what comes now waits together
            with beside(other, second, [crop(2), crop(3)]) as got:
                until(lambda: sum(map(int, [ln.servable for ln in shared._scheduler._lanes])) >= 2)
                with shared._scheduler.lock:
                    lane = shared.open(on_drop=lambda *_: None, options=FAST)
                    lane.put(frame(1, 4))
                toy.open.set()
                until(lambda: bool(got))
            lane.close(discard=True)
        assert levels(got[0]) == [2, 3]
        assert toy.batches == [1, 3]


def test_one_picture_that_fails_costs_no_other_and_says_why() -> None:
    with opened(SharedModel(Scale(4))) as (_, model):
        answers = model.ask([crop(10), crop(255), crop(30)])
        assert levels(answers) == [10, None, 30]
        assert isinstance(answers[1], Unanswered)
        assert isinstance(answers[1].error, InferenceError)
        assert levels(model.ask([crop(40)])) == [40]
        with pytest.raises(InferenceError, match="too bright"):
            model([crop(10), crop(255)])


def test_what_is_late_is_done_without_and_nothing_of_it_stays_behind() -> None:
    toy = Gated()
    shared = SharedModel(toy, 1)
    with opened(shared) as (_, model):
        assert levels(model.ask([crop(i) for i in range(5)], within=0.05)) == [None] * 5
        toy.open.set()
        assert levels(model.ask([crop(9)])) == [9]
        assert toy.order == [0, 9]
        assert not shared._scheduler._lanes


def test_a_stream_that_is_stopped_waits_for_no_answer() -> None:
    toy = Gated()
    shared = SharedModel(toy, 1)
    with opened(shared) as (models, model):
        with beside(models, model, [crop(1), crop(2)]) as got:
            assert toy.entered.wait(10)
            models.interrupt()
            until(lambda: bool(got))
        assert isinstance(got[0], ClosedError)
        with pytest.raises(ClosedError):
            model.ask([crop(3)])
        with pytest.raises(ClosedError):
            models.open("own/1")
        toy.open.set()
    assert shared.users == 0


def test_frames_of_other_cameras_go_before_thirty_crops() -> None:
    toy = Gated()
    shared = SharedModel(toy, 1)
    with opened(shared, most=30) as (models, model):
        camera = shared.open(on_drop=lambda *_: None, options=FAST, policy=LIVE)
        with beside(models, model, [crop(1)] * 30) as got:
            assert toy.entered.wait(10)
            camera.put(frame(1, 200))
            toy.open.set()
            _, found = camera.get(10)
            camera.release()
            assert levels([found]) == [200]
            assert toy.order.index(200) == 1, "it waited for the one crop that was under way"
            until(lambda: bool(got))
        assert levels(got[0]) == [1] * 30
        camera.close(discard=True)


def test_crops_are_not_starved_by_frames_that_never_end() -> None:
    toy = Scale()
    shared = SharedModel(toy, 1)
    stop = threading.Event()
    with opened(shared, most=4) as (_, model):
        lane = shared.open(on_drop=lambda *_: None, options=FAST)

        def flood() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                lane.put(frame(number, 100))
            lane.close()

        def drain() -> None:
            for _ in lane:
                lane.release()

        threads = [threading.Thread(target=flood), threading.Thread(target=drain)]
        for thread in threads:
            thread.start()
        assert levels(model.ask([crop(7)] * 4)) == [7] * 4
        stop.set()
        for thread in threads:
            thread.join()


def test_two_streams_load_it_once_and_let_it_go_with_the_last(manager: ModelManager) -> None:
    streams = [StreamModels(manager.lease, None) for _ in range(2)]
    models = [stream.open("toy/1", confidence=0.5) for stream in streams]
    again = streams[0].open("toy/01")
    assert manager.loads == 1
    [shared] = manager.models()
    assert shared.users == 3
    picture = np.full((64, 64, 3), 99, np.uint8)
    direct = shared.infer([picture], [InferenceOptions(confidence=0.5)])[0].dict()
    asked = [model([picture])[0].dict() for model in models]
    for each in (direct, *asked):
        for row in each["predictions"]:
            row.pop("detection_id")
    assert asked == [direct, direct]
    assert len(again([picture])[0].dict()["predictions"]) >= len(direct["predictions"])
    streams[0].close()
    streams[0].close()
    assert shared.users == 1
    assert models[1]([picture])
    streams[1].close()
    assert shared.users == 0
    assert manager.unload("toy/1")


def test_it_is_measured_as_little_as_it_is_asked(manager: ModelManager) -> None:
    stream = StreamModels(manager.lease, None)
    model = stream.open("toy/1")
    assert isinstance(model.sample, Detections)
    [shared] = manager.models()
    assert shared.timings.run.count == 0
    stream.close()


def test_a_swap_is_seen_from_the_next_question_on(manager: ModelManager, cache: Path) -> None:
    write_folder(cache / "toy" / "2", HEAD, names=("x", "y", "z"))
    stream = StreamModels(manager.lease, None)
    model = stream.open("toy/1")
    picture = np.full((64, 64, 3), 99, np.uint8)
    assert model.names == ("a", "b", "c")
    sample = model.sample
    manager.swap("toy/1", "toy/2")
    assert model.names == ("x", "y", "z")
    assert model.sample is not sample
    [found] = model([picture])
    assert isinstance(found, Detections)
    assert found.names == ("x", "y", "z")
    stream.close()


def test_wrong_options_name_the_choices_and_hold_nothing(manager: ModelManager) -> None:
    stream = StreamModels(manager.lease, None)
    with pytest.raises(ConfigError, match="no such option: sure; there are confidence"):
        stream.open("toy/1", sure=1)
    with pytest.raises(ConfigError, match="give at least 1"):
        stream.open("toy/1", most=0)
    with pytest.raises(ConfigError, match="name the model"):
        stream.open()
    assert manager.models() == []
    own = StreamModels(manager.lease, ("toy/1", InferenceOptions(confidence=0.9)))
    assert own.open(iou_threshold=0.1)._options == InferenceOptions(0.9, 0.1)
    own.close()


def test_a_model_that_fails_on_anything_is_let_go_of() -> None:
    class Broken(Scale):
        def run(self, _tensor: Tensor, /) -> Outputs:
            raise ZeroDivisionError("no")

    shared = SharedModel(Broken())
    with opened(shared) as (_, model), pytest.raises(ZeroDivisionError):
        _ = model.sample
    assert shared.users == 0
