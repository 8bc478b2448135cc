"""Pipelines over HTTP: begun, read, paused, ended; kept over a crash of the server."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clips import clip
from tests.fakes import until
from tests.outbox.receiver import receiver
from tests.server.serving import Served, served

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
FRAMES = 150
LIVE = {"sources": ["synthetic:fps=20"], "model": "street/1"}


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    clip(folder / "street.mp4", frames=FRAMES, size=(320, 180))
    return folder


@pytest.fixture(scope="module")
def host(
    models: Path, media: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    log = tmp_path_factory.mktemp("host") / "log.txt"
    with (
        served(models, log, {"STREAMKIT_MEDIA_DIR": str(media)}) as server,
        client_of(server) as client,
    ):
        yield client


def client_of(server: Served) -> httpx.Client:
    base = f"{server.url}/inference_pipelines"
    return httpx.Client(base_url=base, timeout=30, trust_env=False)


@pytest.fixture(autouse=True)
def nothing_left(host: httpx.Client) -> Iterator[None]:
    yield
    for name in host.get("/list").json()["pipelines"]:
        host.post(f"/{name}/terminate")


def begin(host: httpx.Client, document: dict[str, Any]) -> str:
    answer = host.post("/initialise", json=document)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "success"
    return str(answer.json()["context"]["pipeline_id"])


def status(host: httpx.Client, name: str) -> dict[str, Any]:
    told: dict[str, Any] = host.get(f"/{name}/status").json()["report"]
    return told


def test_a_camera_is_begun_paused_resumed_and_ended(host: httpx.Client) -> None:
    name = begin(host, LIVE)
    assert host.get("/list").json()["pipelines"] == [name]
    until(lambda: status(host, name)["results"]["last"] > 3)
    assert host.post(f"/{name}/pause").status_code == 200
    assert status(host, name)["state"] == "paused"
    assert host.post(f"/{name}/resume").status_code == 200
    before = status(host, name)["results"]["last"]
    until(lambda: status(host, name)["results"]["last"] > before + 3)
    told = status(host, name)
    assert told["state"] == "running"
    assert told["sources_metadata"][0]["source_properties"]["width"] > 0
    (stream,) = told["stats"]["streams"]
    lost = sum(stream["dropped"].values())
    assert stream["captured"] == stream["delivered"] + lost + stream["in_flight"]
    assert host.post(f"/{name}/terminate").status_code == 200
    assert host.get("/list").json()["pipelines"] == []
    assert host.get(f"/{name}/status").status_code == 404


def test_results_are_taken_one_by_one_or_read_from_a_number_on(host: httpx.Client) -> None:
    name = begin(host, {"sources": ["street.mp4"], "model": "street/1", "results_buffer_size": 999})
    until(lambda: status(host, name)["state"] == "ended", 60)
    taken = [host.get(f"/{name}/consume").json() for _ in range(3)]
    ids = [answer["frames_metadata"][0]["frame_id"] for answer in taken]
    assert ids == [1, 2, 3]
    assert taken[0]["outputs"][0]["predictions"]["image"] == {"width": 320, "height": 180}
    found = host.get(f"/{name}/results", params={"cursor": 0, "most": 100}).json()
    assert [one["cursor"] for one in found["results"]] == list(range(1, 101))
    again = host.get(f"/{name}/results", params={"cursor": found["next"], "most": 5}).json()
    assert again["results"][0]["cursor"] == 101
    everything = status(host, name)["results"]
    assert everything["missed"] == 0


def test_results_are_pushed_as_events_until_the_end(host: httpx.Client) -> None:
    name = begin(host, {"sources": ["street.mp4"], "model": "street/1", "results_buffer_size": 999})
    until(lambda: status(host, name)["results"]["last"] > 2)  # else 2 is a number of another run
    numbers = []
    with host.stream("GET", f"/{name}/events", params={"cursor": 2}, timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                numbers.append(json.loads(line.removeprefix("data: "))["cursor"])
    assert numbers == list(range(3, status(host, name)["results"]["last"] + 1))


def test_what_nobody_reads_goes_and_is_counted(host: httpx.Client) -> None:
    name = begin(host, {"sources": ["street.mp4"], "model": "street/1", "results_buffer_size": 10})
    until(lambda: status(host, name)["state"] == "ended", 60)
    told = status(host, name)["results"]
    assert told["missed"] == told["last"] - 10
    assert host.get(f"/{name}/consume").json()["frames_metadata"][0]["frame_id"] == told["last"] - 9


def test_the_neighbours_description_is_understood(host: httpx.Client) -> None:
    body = {
        "video_configuration": {
            "type": "VideoConfiguration",
            "video_reference": "synthetic:fps=20",
            "max_fps": 5,
        },
        "processing_configuration": {"type": "ModelConfiguration", "model_id": "street/1"},
        "sink_configuration": {"type": "MemorySinkConfiguration", "results_buffer_size": 8},
    }
    name = begin(host, body)
    until(lambda: status(host, name)["results"]["last"] > 2)
    body["processing_configuration"] = {"type": "WorkflowConfiguration", "workflow_id": "w"}
    refused = host.post("/initialise", json=body)
    assert refused.status_code == 501
    assert refused.json()["code"] == "WORKFLOWS_NOT_OFFERED"


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"sources": [], "model": "street/1"},
        {"sources": ["/etc/passwd"], "model": "street/1"},
        {"sources": ["../../x.mp4"], "model": "street/1"},
        {"sources": ["replay:/etc/x.mp4"], "model": "street/1"},
        {"sources": ["file:///etc/passwd"], "model": "street/1"},
        {"sources": ["rtsp://169.254.169.254/x"], "model": "street/1"},
        {"sources": [{"reference": "rtsp://c/1", "password": "env:HOME"}], "model": "street/1"},
        {"sources": [{"reference": "rtsp://c/1", "password": "file:/x"}], "model": "street/1"},
        {"sources": ["rtsp://${HOME}/1"], "model": "street/1"},
        {**LIVE, "model": "./samples/models/street/1"},
        {**LIVE, "model": "/x.onnx"},
        {**LIVE, "stages": ["os:system"]},
        {**LIVE, "stages": [{"subprocess:run": {"args": "id"}}]},
        {**LIVE, "stages": [{"name": "os:system", "options": {"command": "id"}}]},
        {"sources": [{"reference": "synthetic:fps=20", "stages": ["os:system"]}], "model": "a/1"},
        {**LIVE, "sinks": [{"jsonl": {"path": "/anywhere.jsonl"}}]},
        {**LIVE, "sinks": [{"jsonl": {"path": "../../anywhere.jsonl"}}]},
        {**LIVE, "sinks": [{"jsonl": {"pth": "x"}}]},
        {**LIVE, "results_buffer_size": 0},
        {**LIVE, "nonsense": 1},
    ],
)
def test_a_request_may_not_reach_beyond_the_house(
    host: httpx.Client, document: dict[str, Any]
) -> None:
    answer = host.post("/initialise", json=document)
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"].endswith(("INVALID", "WRONG")), answer.text
    assert host.get("/list").json()["pipelines"] == []


def test_what_is_not_there_is_told(host: httpx.Client) -> None:
    for method, path in (
        ("GET", "/no/status"),
        ("GET", "/no/consume"),
        ("GET", "/no/results"),
        ("GET", "/no/events"),
        ("POST", "/no/pause"),
        ("POST", "/no/terminate"),
    ):
        answer = host.request(method, path)
        assert answer.status_code == 404
        assert answer.json()["code"] == "PIPELINE_NOT_FOUND"
    name = begin(host, {"sources": ["street.mp4"], "model": "street/1"})
    until(lambda: status(host, name)["state"] == "ended", 60)
    assert host.post(f"/{name}/pause").status_code == 409


def test_one_that_nobody_reads_any_more_ends_where_that_is_asked(host: httpx.Client) -> None:
    name = begin(host, {**LIVE, "consumption_timeout": 0.5})
    until(lambda: name not in host.get("/list").json()["pipelines"])


def test_after_a_crash_pipelines_go_on(models: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    with served(models, log) as server, client_of(server) as client:
        first, second = begin(client, LIVE), begin(client, LIVE)
        client.post(f"/{second}/pause")
        until(lambda: status(client, first)["results"]["last"] > 0)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(10)
    with served(models, log) as server, client_of(server) as client:
        assert client.get("/list").json()["pipelines"] == [first, second]
        until(lambda: status(client, first)["results"]["last"] > 0)
        until(lambda: status(client, second)["state"] == "paused")
        client.post(f"/{first}/terminate")
        client.post(f"/{second}/terminate")


def test_who_comes_back_after_a_crash_is_told_and_misses_nothing_new(
    models: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log.txt"
    with served(models, log) as server, client_of(server) as client:
        name = begin(client, LIVE)
        until(lambda: status(client, name)["results"]["last"] > 30)
        before = client.get(f"/{name}/results").json()
        assert before["began"] == before["results"][0]["cursor"] == 1
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(10)
    with served(models, log) as server, client_of(server) as client:
        until(lambda: status(client, name)["results"]["last"] > 0)
        after = client.get(f"/{name}/results", params={"cursor": before["last"]}).json()
        assert before["last"] < after["began"] == after["results"][0]["cursor"]
        client.post(f"/{name}/terminate")


def test_documents_of_a_folder_run_with_the_server(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "yard.yaml").write_text(json.dumps(LIVE))
    arguments = ["--pipelines", str(folder)]
    log = tmp_path / "log.txt"
    with served(models, log, arguments=arguments) as server, client_of(server) as client:
        assert client.get("/list").json()["pipelines"] == ["yard"]
        until(lambda: status(client, "yard")["results"]["last"] > 0)
        page = httpx.get(f"{server.url}/metrics", trust_env=False).text
        assert 'streamkit_stream_captured_total{pipeline="yard"' in page
        assert 'streamkit_stream_waiting{pipeline="yard"' in page
        assert 'streamkit_sink_written_total{pipeline="yard"' in page
        counts = re.findall(
            r'delivered_age_seconds_bucket\{le="[^"]+",pipeline="yard".*} (\S+)', page
        )
        assert [float(n) for n in counts] == sorted(float(n) for n in counts)
        assert float(counts[-1]) > 0
        assert 'streamkit_model_waiting{model="street/1"}' in page


def test_a_crash_loses_no_event(models: Path, tmp_path: Path) -> None:
    """What was raised while the receiver was away arrives after ``kill -9`` and a restart."""
    folder = tmp_path / "documents"
    folder.mkdir()
    with receiver() as web:
        document = {
            "sources": [f"replay:{SAMPLES / 'street.mp4'}"],
            "model": "street/1",
            "stages": [{"track": {"events": True, "activate": 0.4, "high": 0.4}}],
            "sinks": [
                {
                    "webhook": {
                        "url": web.url,
                        "allow_private": True,
                        "outbox": {"path": str(tmp_path / "outbox.db"), "longest_wait": 0.5},
                    }
                }
            ],
        }
        (folder / "yard.yaml").write_text(json.dumps(document))
        arguments, log = ["--pipelines", str(folder)], tmp_path / "log.txt"
        web.down()
        with served(models, log, arguments=arguments) as server:
            until(lambda: len(raised(tmp_path / "outbox.db")) >= 5)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait(10)
        wanted = raised(tmp_path / "outbox.db")
        web.up()
        with served(models, log, arguments=arguments):
            until(lambda: wanted <= set(web.ids()))


def raised(outbox: Path) -> set[str]:
    """The ids of the events that are in an outbox."""
    if not outbox.exists():
        return set()
    with closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True)) as file:
        there = file.execute("select 1 from sqlite_master where name = 'message'").fetchone()
        return {row[0] for row in file.execute("select id from message")} if there else set()
