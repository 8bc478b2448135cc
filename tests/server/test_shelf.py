"""The models a server keeps ready: let go while requests use them, and asked for at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streamkit.errors import ModelUnavailableError
from streamkit.models.base import InferenceOptions
from streamkit.models.ids import ModelId
from streamkit.models.manager import ModelManager
from streamkit.server.failures import answer_to
from streamkit.server.shelf import Shelf
from streamkit.settings import Settings

STREET, KINDS = ModelId("street", "1"), ModelId("kinds", "1")
GREY = np.full((60, 80, 3), 114, np.uint8)


@pytest.fixture
def manager(models: Path, tmp_path: Path) -> Iterator[ModelManager]:
    given = {"model_dir": models, "model_cache_dir": tmp_path, "offline_mode": True}
    manager = ModelManager.of(Settings.load(**given))
    yield manager
    manager.close()


def test_a_model_that_is_removed_answers_those_who_have_it(manager: ModelManager) -> None:
    shelf = Shelf(manager, 2)
    with shelf.using(STREET, None) as shared:
        assert shelf.remove(STREET)
        assert shelf.names() == []
        assert shared.users == 1
        assert shared.infer([GREY], [InferenceOptions()])
        with shelf.using(STREET, None) as again:  # somebody new finds it still loaded
            assert again is shared
    assert shared.users == 1
    shelf.clear()
    assert shared.users == 0
    assert manager.models() == []


def test_one_load_for_many_who_ask_at_once(manager: ModelManager) -> None:
    shelf, gate = Shelf(manager, 2), threading.Barrier(8)

    def add() -> None:
        gate.wait(20)
        shelf.add(STREET, None)

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert manager.loads == 1
    assert [shared.users for shared in shelf.models().values()] == [1]
    shelf.clear()
    assert manager.models() == []


def test_what_cannot_be_loaded_leaves_nothing(manager: ModelManager, tmp_path: Path) -> None:
    shelf = Shelf(manager, 1)
    with pytest.raises(ModelUnavailableError) as told:
        shelf.add(ModelId("nobody", "1"), None)
    assert str(tmp_path) in str(told.value)
    assert str(tmp_path.parent) not in answer_to(told.value).message, "where it lies is not told"
    shelf.add(STREET, None)
    shelf.add(KINDS, None)
    assert shelf.names() == [str(KINDS)]
    assert shelf.evictions == 1
    shelf.clear()
