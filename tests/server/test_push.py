"""Results that are pushed: to many at a time, to who goes away, to nobody without a key."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from streamkit.frame import VideoFrame
from streamkit.predictions import Result
from streamkit.server.results import Results
from tests.fakes import picture, until
from tests.models.servers import KEY, OTHER, fake_api
from tests.server.serving import Served, served
from tests.server.test_keys import online


def result() -> Result:
    return Result(VideoFrame(picture(1), 1, datetime.now()), {})


LIVE = {"sources": ["synthetic:fps=20"], "model": "street/1"}


@pytest.fixture
def begun(client: httpx.Client) -> Iterator[str]:
    """The path of a camera that rests after its first results."""
    told = client.post("/inference_pipelines/initialise", json=LIVE).json()
    path = f"/inference_pipelines/{told['context']['pipeline_id']}"
    until(lambda: client.get(f"{path}/status").json()["report"]["results"]["last"] > 0)
    client.post(f"{path}/pause")
    yield path
    client.post(f"{path}/terminate")


def threads_of(server: Served) -> int:
    return sum(1 for _ in Path(f"/proc/{server.process.pid}/task").iterdir())


def test_many_who_wait_for_results_hold_up_nobody(
    server: Served, client: httpx.Client, begun: str
) -> None:
    """Each in a thread would be more than the forty that a server has for everything else."""
    before = threads_of(server)
    limits = httpx.Limits(max_connections=100)
    with ExitStack() as open_, httpx.Client(base_url=server.url, limits=limits) as many:
        for _ in range(60):
            answer = open_.enter_context(many.stream("GET", f"{begun}/events?cursor=0"))
            assert answer.status_code == 200
        assert client.get(f"{begun}/status", timeout=5).status_code == 200
        assert client.post("/model/add", json={"model_id": "kinds/1"}, timeout=10).is_success
        assert threads_of(server) - before < 40


def test_a_websocket_that_went_away_is_let_go(
    server: Served, client: httpx.Client, begun: str
) -> None:
    address = server.url.replace("http", "ws") + begun + "/ws"
    with connect(address) as wire:
        assert '"cursor"' in wire.recv(timeout=10)
    with connect(address) as wire:
        client.post(f"{begun}/terminate")
        assert all('"cursor"' in text for text in wire)  # until it is closed
        assert wire.close_code == 1000


def test_a_workspaces_server_pushes_to_its_own_only(tmp_path: Path, models: Path) -> None:
    with fake_api(tmp_path / "api") as api:
        more = online(api, DEDICATED_DEPLOYMENT_WORKSPACE_URL="ws1")
        with served(models, tmp_path / "log.txt", more) as server:
            url = f"{server.url}/inference_pipelines/initialise?api_key={KEY}"
            told = httpx.post(url, json=LIVE, timeout=30, trust_env=False).json()
            name = told["context"]["pipeline_id"]
            address = f"{server.url.replace('http', 'ws')}/inference_pipelines/{name}/ws"
            for query in ("", f"?api_key={OTHER}"):
                with pytest.raises(InvalidStatus):
                    connect(address + query)
            with connect(f"{address}?api_key={KEY}") as wire:
                assert '"cursor"' in wire.recv(timeout=10)


def test_who_listens_is_told_of_each_and_of_the_end() -> None:
    results, told = Results(4), threading.Semaphore(0)
    with results.telling(told.release):
        results.write(result())
        results.close()
        assert told.acquire(timeout=1)
        assert told.acquire(timeout=1)
    results.write(result())
    assert not told.acquire(blocking=False)


def test_a_number_of_before_the_restart_begins_anew() -> None:
    results = Results(4)
    results.write(result())
    assert [kept.number for kept in results.after(1000, 10)] == [1]
    assert results.after(1, 10) == []
