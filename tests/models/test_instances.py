"""Instances: kept, let go of, exchanged while they run; every frame is answered exactly once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamkit.errors import ClosedError, ModelArtefactError, ModelCacheError, ModelNotFoundError
from streamkit.frame import VideoFrame
from streamkit.models import get_model
from streamkit.models.assembly import cleanup_of
from streamkit.models.base import Outputs, Tensor
from streamkit.models.ids import parse
from streamkit.models.manager import ModelManager, warm
from streamkit.models.memory import FreeMemory, gpu, ram
from streamkit.models.shared import SharedModel
from streamkit.models.store import Store
from streamkit.models.store.cache import Cache
from streamkit.models.store.local import LocalFolder
from streamkit.predictions import Detections
from streamkit.scheduler import Lane
from streamkit.settings import Settings
from tests.models.graphs import HEAD, head, write_folder
from tests.models.servers import KEY, FakeApi
from tests.models.test_manager import loaded
from tests.models.test_shared import Scale, frame, open_lane, through
from tests.models.test_yolo import PICTURE

ONLY_A = head(*[(32, 32, 20, 20, 0.9, 0.1, 0.1)] * 8)
ONLY_C = head(*[(32, 32, 20, 20, 0.1, 0.1, 0.9)] * 8)


@pytest.fixture
def several(tmp_path: Path) -> Iterator[ModelManager]:
    """Room for two; ``a/1`` finds an a, ``c/1`` a c, and there are more."""
    write_folder(tmp_path / "a" / "1", ONLY_A, batch="n")
    write_folder(tmp_path / "c" / "1", ONLY_C)
    for name in ("d", "e", "f"):
        write_folder(tmp_path / name / "1", HEAD)
    manager = ModelManager(Store([LocalFolder(tmp_path)]), max_active=2)
    yield manager
    manager.close()


# -- kept and let go -------------------------------------------------------------------------


def test_a_preloaded_model_stays_until_it_is_unloaded(several: ModelManager) -> None:
    several.preload(["a/1"])
    for name in ("c/1", "d/1", "e/1"):
        several.lease(name).release()
    assert loaded(several) == ["a/1", "e/1"]
    several.preload(["a/1"])
    assert several.loads == 4
    assert several.unload("a/1")
    assert loaded(several) == ["e/1"]


def test_more_may_be_kept_than_there_is_room_for(several: ModelManager) -> None:
    several.preload(["a/1", "c/1", "d/1"])
    several.lease("e/1").release()
    assert loaded(several) == ["a/1", "c/1", "d/1"]


def test_a_model_in_use_is_not_unloaded(several: ModelManager) -> None:
    with several.lease("a/1"):
        assert not several.unload("a/1")
        assert loaded(several) == ["a/1"]
    assert several.unload("a/1")
    assert several.unload("a/1")  # it is gone, as was wanted
    assert loaded(several) == []


def test_preloading_what_is_not_there_is_an_error(several: ModelManager) -> None:
    with pytest.raises(ModelNotFoundError):
        several.preload(["a/1", "nothing/1"])
    assert loaded(several) == ["a/1"]


def test_exactly_one_goes_for_one_that_comes(several: ModelManager) -> None:
    for name in ("a/1", "c/1", "d/1"):
        several.lease(name).release()
    assert loaded(several) == ["c/1", "d/1"]
    with pytest.raises(ModelNotFoundError):
        several.lease("nothing/1")
    assert loaded(several) == ["c/1", "d/1"]


def test_warming_runs_the_model_and_counts_no_frame(several: ModelManager) -> None:
    with several.lease("a/1") as shared:
        assert warm(shared.model) > 0
        assert shared.timings.run.count == 0


# -- memory ----------------------------------------------------------------------------------


def test_idle_models_go_while_memory_is_short(tmp_path: Path) -> None:
    for name in "abcd":
        write_folder(tmp_path / name / "1")
    free = [0.5]
    manager = ModelManager(
        Store([LocalFolder(tmp_path)]), memory=FreeMemory(0.2, [lambda: None, lambda: free[0]])
    )
    with manager.lease("a/1"):
        manager.lease("b/1").release()
        manager.lease("c/1").release()
        assert loaded(manager) == ["a/1", "b/1", "c/1"]
        free[0] = 0.1  # and stays so: all that is idle goes, what is used stays
        manager.lease("d/1").release()
        assert loaded(manager) == ["a/1", "d/1"]
    manager.close()


def test_no_more_go_than_memory_asks_for(tmp_path: Path) -> None:
    for name in "abc":
        write_folder(tmp_path / name / "1")
    answers = [0.5, 0.5, 0.1, 0.3]
    manager = ModelManager(
        Store([LocalFolder(tmp_path)]), memory=FreeMemory(0.2, [lambda: answers.pop(0)])
    )
    for name in ("a/1", "b/1", "c/1"):
        manager.lease(name).release()
    assert loaded(manager) == ["b/1", "c/1"]
    assert answers == []
    manager.close()


def test_memory_is_known() -> None:
    free = ram()
    assert free is not None
    assert 0 < free < 1
    assert gpu() is None or 0 <= gpu() <= 1  # type: ignore[operator]
    assert not FreeMemory(0, [lambda: 0.0]).short()
    assert not FreeMemory(0.5, [lambda: None, lambda: 0.6]).short()
    assert FreeMemory(0.5, [lambda: 0.6, lambda: 0.4]).short()


# -- files -----------------------------------------------------------------------------------


def test_files_that_were_downloaded_may_be_deleted_with_their_model(
    api: FakeApi, tmp_path: Path
) -> None:
    root = tmp_path / "cache"
    write_folder(root / "mine" / "1")
    write_folder(root / "mine" / "2")
    settings = Settings.load(
        model_cache_dir=root,
        api_base_url=api.url,
        api_key=KEY,
        disk_cache_cleanup=True,
        max_active_models=1,
    )
    manager = ModelManager.of(settings)
    for name in ("street/3", "mine/1", "mine/2"):
        manager.lease(name).release()
    assert [str(model) for model in Cache(root).models()] == ["mine/1", "mine/2"]
    manager.lease("street/3").release()
    assert api.paths().count("/files/street/3/weights") == 2
    manager.close()


def test_files_that_another_process_holds_stay(
    api: FakeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "cache"
    settings = Settings.load(
        model_cache_dir=root, api_base_url=api.url, api_key=KEY, disk_cache_cleanup=True
    )
    get_model("street/3", manager=ModelManager.of(settings)).close()
    cleanup = cleanup_of(settings)
    assert cleanup is not None
    with Cache(root).lock(parse("street/3")):
        cleanup(parse("street/3"))
    assert "the files of street/3 stay" in caplog.text
    assert Cache(root).read(parse("street/3")) is not None
    with pytest.raises(ModelCacheError), Cache(root).lock(parse("street/3")):
        Cache(root).remove(parse("street/3"), timeout=0)


# -- hot swap --------------------------------------------------------------------------------


def test_all_who_use_a_model_get_the_next_one(several: ModelManager) -> None:
    with several.lease("a/1") as shared, get_model("a/1", manager=several) as called:
        assert [row["class"] for row in called.infer(PICTURE)[0].dict()["predictions"]] == ["a"]
        assert several.swap("a/1", "c/1") is shared
        assert [row["class"] for row in called.infer(PICTURE)[0].dict()["predictions"]] == ["c"]
        assert called.model_id == shared.model.model_id == "c/1"
        assert len(called.infer([PICTURE] * 5)) == 5
        with several.lease("c/1") as found:
            assert found is shared
        with several.lease("a/1") as fresh:
            assert fresh is not shared
            assert fresh.model.model_id == "a/1"


def test_a_swap_that_fails_changes_nothing(several: ModelManager, tmp_path: Path) -> None:
    (tmp_path / "d" / "1" / "class_names.txt").write_text("too\nfew")
    with several.lease("a/1") as shared:
        with pytest.raises(ModelArtefactError):
            several.swap("a/1", "d/1")
        with pytest.raises(ModelNotFoundError, match="e/1 is not loaded"):
            several.swap("e/1", "c/1")
        assert shared.model.model_id == "a/1"
        assert loaded(several) == ["a/1"]


def test_a_model_swapped_for_one_that_others_use_stays_its_own(several: ModelManager) -> None:
    with several.lease("a/1") as first, several.lease("c/1") as second:
        several.swap("a/1", "c/1")
        assert first is not second
        with several.lease("c/1") as found:
            assert found is second
        assert loaded(several) == ["c/1", "c/1"]


def test_the_same_files_may_be_read_again(several: ModelManager, tmp_path: Path) -> None:
    with several.lease("a/1") as shared:
        before = shared.model
        (tmp_path / "a" / "1" / "class_names.txt").write_text("x\ny\nz")
        several.swap("a/1", "a/1")
        assert shared.model.names == ("x", "y", "z")
        assert before.names == ("a", "b", "c")


class Checked(Scale):
    """Complains when it is used after it was closed, or closed while it is used."""

    def __init__(self, max_batch: int, tag: int) -> None:
        super().__init__(max_batch)
        self.tag = tag
        self.running = 0
        self.frames = 0
        self.closings = 0
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def prepare(self, pictures: Any) -> tuple[Tensor, Any]:
        with self._lock:
            self.running += 1
            if self.closings:
                self.wrong.append("used after its end")
            if len(pictures) > self.max_batch:
                self.wrong.append(f"{len(pictures)} pictures")
        return super().prepare(pictures)

    def run(self, tensor: Tensor) -> Outputs:
        outputs = super().run(tensor)
        with self._lock:
            self.frames += len(tensor)
            self.running -= 1
        return outputs

    def close(self) -> None:
        with self._lock:
            self.closings += 1
            if self.running:
                self.wrong.append("closed while it ran")


@pytest.mark.parametrize("workers", [1, 3])
def test_under_load_each_frame_is_answered_once_and_each_old_model_closed_once(
    workers: int,
) -> None:
    models = [Checked(max_batch, tag) for tag, max_batch in enumerate([4, 1, 8, 2, 1, 4] * 5)]
    shared = SharedModel(models[0], workers)
    shared.start()
    count, streams = 400, 3
    seen: dict[int, list[tuple[int, list[int]]]] = {}
    drops: list[Any] = []

    def follow(stream: int) -> None:
        lane = open_lane(shared, drops, confidence=0)
        seen[stream] = through(lane, [number % 200 for number in range(count)])

    threads = [threading.Thread(target=follow, args=(stream,)) for stream in range(streams)]
    for thread in threads:
        thread.start()
    for model in models[1:]:
        target = sum(m.frames for m in models) + count * streams // (2 * len(models))
        while sum(m.frames for m in models) < target and any(t.is_alive() for t in threads):
            threads[0].join(0.001)
        shared.swap(model)
    for thread in threads:
        thread.join()
    shared.stop()
    expected = [(number + 1, [number % 200]) for number in range(count)]
    assert [seen[stream] for stream in range(streams)] == [expected] * streams
    assert drops == []
    assert sum(model.frames for model in models) == count * streams
    assert sum(model.frames > 0 for model in models) > 3
    assert [model.wrong for model in models] == [[]] * len(models)
    assert [model.closings for model in models] == [1] * (len(models) - 1) + [0]


def test_a_run_under_way_ends_on_the_old_model_which_is_closed_then() -> None:
    begun, may_end = threading.Event(), threading.Event()

    class Slow(Checked):
        def run(self, tensor: Tensor) -> Outputs:
            begun.set()
            assert may_end.wait(10)
            return super().run(tensor)

    old, new = Slow(1, 0), Checked(1, 1)
    shared = SharedModel(old, 1)
    shared.start()
    lane = open_lane(shared, [], confidence=0)
    lane.put(frame(1, 7))
    assert begun.wait(10)
    shared.swap(new)
    assert old.closings == 0
    may_end.set()
    lane.put(frame(2, 8))
    lane.close()
    assert [item.frame_id for item, _ in drained(lane)] == [1, 2]
    shared.stop()
    assert (old.frames, new.frames, old.closings, new.closings) == (1, 1, 1, 0)


def drained(lane: Lane[VideoFrame]) -> Iterator[tuple[VideoFrame, Detections]]:
    for item, found in lane:
        lane.release()
        yield item, found


def test_real_sessions_are_exchanged_under_a_stream(several: ModelManager) -> None:
    names: list[str] = []
    picture = np.zeros((96, 128, 3), np.uint8)

    def follow(lane: Lane[VideoFrame]) -> None:
        names.extend("".join(found.labels) for _, found in drained(lane))

    with several.lease("a/1") as shared:
        lane = shared.open(on_drop=lambda *_: None)
        reader = threading.Thread(target=follow, args=(lane,))
        reader.start()
        try:
            for number in range(1, 201):
                lane.put(VideoFrame(picture, number, datetime(2026, 1, 1)))
                if number % 50 == 0:
                    several.swap(*(("a/1", "c/1") if number % 100 else ("c/1", "a/1")))
        except ClosedError:
            pass
        lane.close()
        reader.join()
    assert len(names) == 200
    assert set(names) == {"a", "c"}
