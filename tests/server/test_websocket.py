"""Results over a WebSocket: from a number on, until the pipeline or the client ends."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.fakes import until
from tests.server.serving import Served, served

LIVE = {"sources": ["synthetic:fps=20"], "model": "street/1"}


def begin(server: Served, **headers: str) -> str:
    told = httpx.post(
        f"{server.url}/inference_pipelines/initialise",
        json=LIVE,
        headers=headers,
        timeout=30,
        trust_env=False,
    )
    return str(told.json()["context"]["pipeline_id"])


def end(server: Served, name: str, **headers: str) -> None:
    url = f"{server.url}/inference_pipelines/{name}/terminate"
    httpx.post(url, headers=headers, timeout=30, trust_env=False)


def address(server: Served, name: str, query: str = "") -> str:
    return f"{server.url.replace('http', 'ws')}/inference_pipelines/{name}/ws{query}"


def test_results_come_in_order_from_a_number_on_until_the_end(server: Served) -> None:
    name = begin(server)
    status = f"{server.url}/inference_pipelines/{name}/status"

    def results() -> int:
        told = httpx.get(status, timeout=30, trust_env=False).json()
        return int(told["report"]["results"]["last"])

    until(lambda: results() > 2)  # a number that was not given yet is of another run
    with connect(address(server, name, "?cursor=2"), proxy=None) as wire:
        numbers = [json.loads(wire.recv(20))["cursor"] for _ in range(5)]
        assert numbers == list(range(numbers[0], numbers[0] + 5))
        assert numbers[0] >= 3
        end(server, name)
        with pytest.raises(ConnectionClosed):
            for _ in iter(lambda: wire.recv(20), None):
                pass


def test_a_client_may_hang_up(server: Served) -> None:
    name = begin(server)
    for _ in range(3):
        with connect(address(server, name), proxy=None) as wire:
            wire.recv(20)
    end(server, name)


def test_what_is_not_there_and_who_has_no_key_are_refused(models: Path, tmp_path: Path) -> None:
    more = {"STREAMKIT_SERVER_KEY": "the-servers-key"}
    key = {"Authorization": "Bearer the-servers-key"}
    with served(models, tmp_path / "log.txt", more) as server:
        name = begin(server, **key)
        for refused in (address(server, name), address(server, "nobody", "?api_key=x")):
            with pytest.raises(InvalidStatus) as told, connect(refused, proxy=None):
                pass
            assert told.value.response.status_code == 403
        with connect(address(server, name), additional_headers=key, proxy=None) as wire:
            assert json.loads(wire.recv(20))["cursor"] >= 1
        end(server, name, **key)


def test_no_more_listen_than_there_is_room_for(models: Path, tmp_path: Path) -> None:
    with served(models, tmp_path / "log.txt", {"STREAMKIT_MAX_LISTENERS": "2"}) as server:
        name = begin(server)
        events = f"{server.url}/inference_pipelines/{name}/events"
        with (
            connect(address(server, name), proxy=None) as wire,
            httpx.stream("GET", events, timeout=20, trust_env=False) as stream,
        ):
            wire.recv(20)
            lines = stream.iter_lines()  # hangs up when it is let go
            assert next(lines)
            told = httpx.get(events, timeout=20, trust_env=False)
            assert (told.status_code, told.json()["code"]) == (503, "SERVER_BUSY")
            assert next(lines) is not None
            with pytest.raises(InvalidStatus), connect(address(server, name), proxy=None):
                pass
        until(lambda: _listens(server, name))
        end(server, name)


def _listens(server: Served, name: str) -> bool:
    try:
        with connect(address(server, name), proxy=None) as wire:
            return bool(wire.recv(20))
    except InvalidStatus:
        return False


def test_who_listens_does_not_say_much(server: Served) -> None:
    name = begin(server)
    with connect(address(server, name), proxy=None) as wire:
        wire.recv(20)
        wire.send("x" * 100_000)
        with pytest.raises(ConnectionClosed):
            for _ in iter(lambda: wire.recv(20), None):
                pass
    end(server, name)
