"""One model, many streams: frames meet in one scheduler; only its own trouble reaches each."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from streamkit.errors import ClosedError, InferenceError
from streamkit.events import DropCause
from streamkit.frame import Image, VideoFrame
from streamkit.models.base import InferenceOptions, Outputs, Tensor
from streamkit.models.manager import ModelManager
from streamkit.models.shared import SharedModel
from streamkit.predictions import Detections
from streamkit.scheduler import Lane
from tests.fakes import until

Drops = list[tuple[int, DropCause]]


class Scale:
    """A model whose answer is the level of the picture as a confidence; 255 is too much for it."""

    model_id = "scale/1"
    names: tuple[str, ...] = ("level",)
    provider = path = "by hand"

    def __init__(self, max_batch: int = 1) -> None:
        self.max_batch = max_batch
        self.batches: list[int] = []
        self.closed = False

    def prepare(self, pictures: Sequence[VideoFrame | Image]) -> tuple[Tensor, Sequence[Any]]:
        images = [p.image if isinstance(p, VideoFrame) else p for p in pictures]
        return np.stack([image.astype(np.float32) for image in images]), [None] * len(images)

    def run(self, tensor: Tensor) -> Outputs:
        self.batches.append(len(tensor))
        if (tensor == 255).any():
            raise ZeroDivisionError("too bright")
        return [tensor.mean(axis=(1, 2, 3)) / 255]

    def finish(
        self, outputs: Outputs, index: int, _geometry: Any, options: InferenceOptions, /
    ) -> Detections:
        level = outputs[0][index : index + 1]
        if level[0] < options.confidence:
            return Detections.empty(self.names, (4, 4))
        box = np.zeros((1, 4), np.float32)
        return Detections(box, level, np.zeros(1, np.int64), self.names, (4, 4))

    def close(self) -> None:
        self.closed = True


def frame(number: int, level: int) -> VideoFrame:
    return VideoFrame(np.full((4, 4, 3), level, np.uint8), number, datetime(2026, 1, 1))


def open_lane(shared: SharedModel, drops: Drops, **options: Any) -> Lane[VideoFrame]:
    def on_drop(item: VideoFrame, cause: DropCause) -> None:
        drops.append((item.frame_id, cause))

    return shared.open(on_drop=on_drop, options=InferenceOptions(**options))


def through(lane: Lane[VideoFrame], levels: Sequence[int]) -> list[tuple[int, list[int]]]:
    """What comes out of a lane for frames of these levels: (frame id, levels found)."""

    def feed() -> None:
        try:
            for number, level in enumerate(levels, 1):
                lane.put(frame(number, level))
        except ClosedError:
            return
        lane.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    seen = []
    try:
        for item, found in lane:
            seen.append((item.frame_id, (found.confidence * 255).round().astype(int).tolist()))
            lane.release()
    finally:
        feeder.join()
    return seen


class Asking(Scale):
    """Asks, while it runs, whose thread it is on."""

    shared: SharedModel

    def run(self, tensor: Tensor) -> Outputs:
        self.inside = self.shared.inside()
        return super().run(tensor)


def test_only_its_own_threads_are_inside_a_model() -> None:
    model = Asking()
    model.shared = shared = SharedModel(model)
    shared.infer([frame(1, 10)], [InferenceOptions()])
    assert not model.inside
    shared.start()
    assert through(open_lane(shared, []), [200]) == [(1, [200])]
    shared.stop()
    assert model.inside
    assert not shared.inside()


@pytest.mark.parametrize("max_batch", [1, 4])
@pytest.mark.parametrize("workers", [1, 3])
def test_every_frame_comes_back_once_and_in_order(workers: int, max_batch: int) -> None:
    shared = SharedModel(Scale(max_batch), workers)
    drops: Drops = []
    shared.start()
    levels = [number % 200 for number in range(300)]
    seen = through(open_lane(shared, drops, confidence=0), levels)
    shared.stop()
    assert seen == [(number, [level]) for number, level in enumerate(levels, 1)]
    assert drops == []


def test_each_stream_has_its_own_options() -> None:
    shared = SharedModel(Scale(8), 2)
    shared.start()
    picky = open_lane(shared, [], confidence=0.5)
    easy = open_lane(shared, [], confidence=0.1)
    results: dict[str, Any] = {}

    def follow(name: str, lane: Lane[VideoFrame]) -> None:
        results[name] = [found for _, found in through(lane, [10, 100, 200] * 20)]

    threads = [
        threading.Thread(target=follow, args=pair) for pair in (("picky", picky), ("easy", easy))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared.stop()
    assert results == {"picky": [[], [], [200]] * 20, "easy": [[], [100], [200]] * 20}


def test_frames_of_several_streams_share_a_batch() -> None:
    model = Scale(4)
    shared = SharedModel(model, 1)
    shared.start()
    first, second = open_lane(shared, []), open_lane(shared, [])
    with shared._scheduler.lock:  # both are there when the worker looks
        first.put(frame(1, 10))
        second.put(frame(1, 20))
    for lane in (first, second):
        lane.close()
        assert len(list(lane)) == 1
    shared.stop()
    assert model.batches == [2]


def test_a_bad_picture_ends_its_own_stream_and_no_other() -> None:
    model = Scale(4)
    shared = SharedModel(model, 1)
    shared.start()
    drops: Drops = []
    bad, good = open_lane(shared, drops), open_lane(shared, [], confidence=0)
    with shared._scheduler.lock:
        bad.put(frame(1, 255))
        good.put(frame(1, 20))
    with pytest.raises(InferenceError, match="scale/1: ZeroDivisionError: too bright") as caught:
        list(bad)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert drops == [(1, DropCause.FAILED)]
    assert through(good, [30, 40]) == [(1, [20]), (1, [30]), (2, [40])]
    shared.stop()


def test_an_error_of_ours_is_passed_on_as_it_is() -> None:
    class Refusing(Scale):
        def run(self, _tensor: Tensor, /) -> Outputs:
            raise InferenceError("no")

    shared = SharedModel(Refusing())
    shared.start()
    with pytest.raises(InferenceError, match=r"^no$"):
        through(open_lane(shared, []), [1])
    shared.stop()


def test_threads_run_only_while_somebody_holds_it() -> None:
    shared = SharedModel(Scale(), 2)
    assert running() == 0
    shared.start()
    shared.start()
    assert running() == 2
    shared.stop()
    assert running() == 2
    shared.stop()
    assert running() == 0
    shared.start()
    assert through(open_lane(shared, [], confidence=0), [7]) == [(1, [7])]
    shared.stop()
    assert running() == 0


def test_who_is_told_by_a_thread_that_is_to_end_may_start_another_user() -> None:
    shared, again = SharedModel(Scale(), 1), threading.Event()

    def start_another(_: VideoFrame) -> None:
        taken.set()
        stopping.wait(10)
        shared.start()
        again.set()

    shared.start()
    stopping, taken = threading.Event(), threading.Event()
    lane = shared.open(on_drop=lambda *_: None, on_take=start_another)
    lane.put(frame(1, 1))
    assert taken.wait(10)
    scheduler = shared._scheduler
    ends = threading.Thread(target=shared.stop)
    ends.start()
    until(lambda: scheduler._closed)
    stopping.set()
    assert again.wait(10), "they waited for each other"
    ends.join(10)
    assert not ends.is_alive()
    assert running() == 1
    shared.stop()


def running() -> int:
    return sum(thread.name.startswith("streamkit model") for thread in threading.enumerate())


def test_the_last_to_leave_drops_what_waits_and_waits_for_nobody() -> None:
    shared = SharedModel(Scale(), 1)
    shared.start()
    drops: Drops = []
    lane = open_lane(shared, drops, confidence=0)
    for number in range(1, 4):
        lane.put(frame(number, 1))  # nobody takes the results
    shared.stop()
    assert {cause for _, cause in drops} <= {DropCause.STOPPED}
    with pytest.raises(ClosedError):
        lane.put(frame(9, 1))
    with pytest.raises(ClosedError):
        open_lane(shared, [])


def test_a_run_that_does_not_end_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    begun, may_end = threading.Event(), threading.Event()

    class Endless(Scale):
        def run(self, tensor: Tensor) -> Outputs:
            begun.set()
            may_end.wait(10)
            return super().run(tensor)

    shared = SharedModel(Endless(), 1)
    shared.start()
    open_lane(shared, []).put(frame(1, 1))
    assert begun.wait(10)
    shared.stop(until=0.0)
    assert "scale/1: 1 runs left behind" in caplog.text
    may_end.set()


def test_time_is_measured_per_frame() -> None:
    shared = SharedModel(Scale(4), 1)
    shared.start()
    through(open_lane(shared, [], confidence=0), [1] * 10)
    shared.stop()
    timings = shared.timings
    assert [h.count for h in (timings.prepare, timings.run, timings.finish)] == [10, 10, 10]
    assert timings.run.total > 0


def test_streams_and_callers_share_one_real_session(manager: ModelManager) -> None:
    with manager.lease("toy/1") as shared:
        lane = shared.open(on_drop=lambda *_: None)
        lane.put(VideoFrame(np.zeros((96, 128, 3), np.uint8), 1, datetime(2026, 1, 1)))
        lane.close()
        [(_, streamed)] = list(lane)
        [called] = shared.infer([np.zeros((96, 128, 3), np.uint8)], [InferenceOptions()])
    assert np.array_equal(streamed.xyxy, called.xyxy)  # type: ignore[attr-defined]
    assert shared.timings.run.count == 2


class Elastic(Scale):
    """Takes any size; the one it has been given is told by its id."""

    def __init__(self, made: weakref.WeakSet[Elastic], model_id: str = "scale/1") -> None:
        super().__init__()
        self.model_id = model_id
        self.made = made
        made.add(self)

    def scaled(self, scale: float) -> Elastic:
        return Elastic(self.made, f"scale/{scale}")


def test_sizes_of_input_are_remembered_but_not_without_end() -> None:
    made: weakref.WeakSet[Elastic] = weakref.WeakSet()
    shared = SharedModel(Elastic(made))
    picture = np.full((4, 4, 3), 51, np.uint8)
    for step in range(1, 200):
        options = InferenceOptions(confidence=0, input_scale=step / 200)
        [found] = shared.infer([picture], [options])
        assert isinstance(found, Detections)
        assert found.confidence == pytest.approx(0.2)
    assert shared.scalable(0.5)
    gc.collect()
    assert len(made) <= 33
