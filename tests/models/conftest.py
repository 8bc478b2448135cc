"""A store with one toy model in it, and a manager over that store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from streamkit.models.manager import ModelManager
from streamkit.models.store import Store
from streamkit.models.store.local import LocalFolder
from tests.models.graphs import write_folder
from tests.models.servers import FakeApi, fake_api

settings.register_profile(
    "shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shared machine")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache directory that holds ``toy/1``."""
    write_folder(tmp_path / "toy" / "1")
    return tmp_path


@pytest.fixture
def manager(cache: Path) -> Iterator[ModelManager]:
    """Over ``cache``."""
    made = ModelManager(Store([LocalFolder(cache)]))
    yield made
    made.close()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeApi]:
    """A weights API that has ``street/3``, of half a megabyte."""
    with fake_api(tmp_path, 500_000) as made:
        yield made
