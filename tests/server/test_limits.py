"""Too much, too often, too slow, gone: told at once, and nothing of it is kept."""

from __future__ import annotations

import base64
import json
import signal
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.fakes import until
from tests.server.serving import Served, served

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
TEXT = base64.b64encode((SAMPLES / "street.jpg").read_bytes()).decode()


def many(count: int) -> dict[str, object]:
    picture = {"type": "base64", "value": TEXT}
    return {"model_id": "street/1", "image": [picture] * count}


def ask(url: str, count: int = 1, **headers: str) -> httpx.Response:
    return httpx.post(
        f"{url}/infer/object_detection",
        json=many(count),
        headers=headers,
        timeout=60,
        trust_env=False,
    )


def test_what_is_too_much_at_once_is_told_to_come_again(models: Path, tmp_path: Path) -> None:
    with served(models, tmp_path / "log.txt", {"STREAMKIT_MAX_REQUESTS": "2"}) as server:
        ask(server.url)
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: ask(server.url, 24), range(12)))
        found = Counter(answer.status_code for answer in answers)
        assert set(found) == {200, 503}
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert refused.json()["code"] == "SERVER_BUSY"
        assert refused.headers["retry-after"] == "1"
        assert ask(server.url).status_code == 200


def test_who_waits_for_pictures_from_elsewhere_holds_up_nobody_else(
    models: Path, tmp_path: Path
) -> None:
    more = {
        "STREAMKIT_ALLOW_PRIVATE_URL_INPUT": "True",
        "ALLOW_NON_HTTPS_URL_INPUT": "True",
        "STREAMKIT_URL_TIMEOUT": "6",
    }
    with (
        served(models, tmp_path / "log.txt", more) as server,
        socket.create_server(("127.0.0.1", 0), backlog=256) as silent,
        ThreadPoolExecutor(40) as pool,
    ):
        ask(server.url)
        away = {"type": "url", "value": f"http://127.0.0.1:{silent.getsockname()[1]}/picture"}
        asking = {"model_id": "street/1", "image": [away] * 8}
        url = f"{server.url}/infer/object_detection"
        patience = {"X-Request-Timeout": "12"}
        late = [
            pool.submit(httpx.post, url, json=asking, headers=patience, timeout=60, trust_env=False)
            for _ in range(40)
        ]
        until(lambda: _under_way(server) > 20)
        assert ask(server.url).status_code == 200
        assert not any(each.done() for each in late)
        assert {each.result().status_code for each in late} <= {400, 504}
        until(lambda: _idle(server))


def _under_way(server: Served) -> float:
    page = httpx.get(f"{server.url}/metrics", trust_env=False).text
    [line] = [one for one in page.splitlines() if one.startswith("streamkit_http_requests_under")]
    return float(line.split()[-1])


def test_who_asks_too_often_is_told_when_to_come_again(models: Path, tmp_path: Path) -> None:
    with served(models, tmp_path / "log.txt", {"STREAMKIT_REQUESTS_PER_MINUTE": "3"}) as server:
        found = [httpx.get(f"{server.url}/healthz", trust_env=False) for _ in range(4)]
        assert [answer.status_code for answer in found] == [200, 200, 200, 429]
        assert 0 < int(found[-1].headers["retry-after"]) <= 60


def test_a_client_may_wait_less_and_its_work_is_given_up(server: Served) -> None:
    ask(server.url)
    late = ask(server.url, 60, **{"X-Request-Timeout": "0.05"})
    assert late.status_code == 504
    assert late.json()["code"] == "REQUEST_TIMEOUT"
    until(lambda: _idle(server))


def _idle(server: Served) -> bool:
    return _under_way(server) == 1.0


def test_a_client_that_goes_away_takes_its_work_along(server: Served) -> None:
    ask(server.url)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{server.url}/infer/object_detection",
            json=many(60),
            timeout=httpx.Timeout(5, read=0.05),
            trust_env=False,
        )
    until(lambda: _idle(server))
    assert ask(server.url).status_code == 200


def test_a_body_that_is_too_large_is_not_read(models: Path, tmp_path: Path) -> None:
    with served(models, tmp_path / "log.txt", {"STREAMKIT_MAX_BODY_BYTES": "100000"}) as server:
        told = ask(server.url, 4)
        assert told.status_code == 413
        assert _chunked(server, 100) in (413, None)
        assert ask(server.url, 1).status_code in (200, 413)


def _chunked(server: Served, count: int) -> int | None:
    """The status, where the server did not hang up before it could be read."""
    parts = (b"x" * 10_000 for _ in range(count))
    try:
        return httpx.post(
            f"{server.url}/infer/object_detection", content=parts, trust_env=False
        ).status_code
    except httpx.TransportError:
        return None


def raw(server: Served, sent: bytes) -> bytes:
    """What comes back to these bytes."""
    place = urlsplit(server.url)
    with socket.create_connection((str(place.hostname), place.port or 0), timeout=20) as wire:
        wire.sendall(sent)
        wire.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: wire.recv(65536), b""))


def test_bodies_are_never_more_than_there_is_room_for(models: Path, tmp_path: Path) -> None:
    more = {"STREAMKIT_MAX_BODY_BYTES": "100000", "STREAMKIT_MAX_BODIES_BYTES": "150000"}
    with served(models, tmp_path / "log.txt", more) as server:
        place = urlsplit(server.url)
        head = b"POST /infer/object_detection HTTP/1.1\r\nHost: localhost\r\n"
        with socket.create_connection((str(place.hostname), place.port or 0), timeout=20) as wire:
            wire.sendall(head + b"Content-Length: 90000\r\n\r\n" + b"x" * 89_999)
            until(lambda: _large(server) == 503)
            wire.sendall(b"x")
            assert wire.recv(65536)
        until(lambda: _large(server) == 422)


def _large(server: Served) -> int:
    url = f"{server.url}/infer/object_detection"
    return httpx.post(url, content=b"x" * 90_000, trust_env=False).status_code


def test_a_server_that_is_stopped_waits_for_nobody(models: Path, tmp_path: Path) -> None:
    """Neither for a picture that does not come, nor for who reads a camera's results."""
    more = {"ALLOW_NON_HTTPS_URL_INPUT": "True", "STREAMKIT_ALLOW_PRIVATE_URL_INPUT": "True"}
    with ExitStack() as things:
        silent = things.enter_context(socket.create_server(("127.0.0.1", 0)))
        server = things.enter_context(served(models, tmp_path / "log.txt", more))
        pool = things.enter_context(ThreadPoolExecutor(4))
        url = {"type": "url", "value": f"http://127.0.0.1:{silent.getsockname()[1]}/x.jpg"}
        body = {"model_id": "street/1", "image": url}
        path = f"{server.url}/infer/object_detection"
        waiting = pool.submit(httpx.post, path, json=body, timeout=30, trust_env=False)
        things.enter_context(silent.accept()[0])
        camera = {"sources": ["synthetic:fps=5"], "model": "street/1"}
        begin = f"{server.url}/inference_pipelines/initialise"
        begun = httpx.post(begin, json=camera, timeout=30, trust_env=False).json()
        events = f"/inference_pipelines/{begun['context']['pipeline_id']}/events"
        told = pool.submit(httpx.get, server.url + events, timeout=30, trust_env=False)
        until(lambda: not _idle(server))
        server.process.send_signal(signal.SIGINT)
        server.process.wait(6)
        for each in (waiting, told):
            each.exception(20)


def test_what_is_logged_is_json_where_that_is_asked(models: Path, tmp_path: Path) -> None:
    more = {"STREAMKIT_LOG_FORMAT": "json", "PRELOAD_MODELS": "nobody/1"}
    with served(models, tmp_path / "log.txt", more) as server:
        until(lambda: "nobody/1" in server.logged())
        (told,) = map(json.loads, server.logged().splitlines())
        assert told["level"] == "error"
        assert told["message"].startswith("nobody/1 was to be preloaded")


def test_a_body_that_does_not_come_is_not_waited_for(models: Path, tmp_path: Path) -> None:
    with served(models, tmp_path / "log.txt", {"STREAMKIT_BODY_TIMEOUT": "0.3"}) as server:
        place = urlsplit(server.url)
        head = b"POST /model/add HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n{"
        with socket.create_connection((str(place.hostname), place.port or 0), timeout=20) as wire:
            wire.sendall(head)
            assert b" 408 " in wire.recv(65536).split(b"\r\n")[0]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /info HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n", b"4"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /info HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"GET /info HTTP/1.1\r\nHost: [x\r\n\r\n", b"403"),
        (b"GET /info HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[\r\n\r\n", b"403"),
    ],
)
def test_broken_http_is_refused(server: Served, sent: bytes, status: bytes) -> None:
    try:
        line = raw(server, sent).split(b"\r\n")[0]
    except OSError:
        return  # it hung up, which is an answer
    assert line == b"" or line.split(b" ")[1].startswith(status)


def test_many_clients_are_all_answered(server: Served) -> None:
    ask(server.url)
    gate = threading.Barrier(16)

    def one(_: int) -> int:
        gate.wait(20)
        return ask(server.url).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(one, range(16))) == {200}


def test_a_body_of_very_many_values_is_not_looked_into(server: Served) -> None:
    """Each would be an error of its own, or several, and all of them would be sent back."""
    url, header = f"{server.url}/infer/object_detection", {"Content-Type": "application/json"}

    def told(count: int, inside: str) -> httpx.Response:
        text = inside % ",".join("0" * count)
        return httpx.post(url, content=text, headers=header, timeout=60, trust_env=False)

    image = '{"model_id": "street/1", "image": [%s]}'
    names = '{"model_id": "street/1", "image": {}, "class_filter": [%s]}'
    assert told(1_000_000, image).status_code == 413
    for count, inside in ((50_000, image), (50_000, names), (4_000, image)):
        answer = told(count, inside)
        assert answer.status_code == 422
        assert len(answer.json()["detail"]) <= 20


def test_pixels_of_all_requests_share_what_may_be_unpacked(models: Path, tmp_path: Path) -> None:
    limits = "MAX_IMAGE_PIXELS", "MAX_REQUEST_PIXELS", "MAX_PIXELS_IN_WORK"
    more = {f"STREAMKIT_{name}": "1000000" for name in limits} | {
        "STREAMKIT_ALLOW_PRIVATE_URL_INPUT": "True",
        "ALLOW_NON_HTTPS_URL_INPUT": "True",
    }
    with (
        served(models, tmp_path / "log.txt", more) as server,
        socket.create_server(("127.0.0.1", 0)) as silent,
        ThreadPoolExecutor(1) as pool,
    ):
        away = {"type": "url", "value": f"http://127.0.0.1:{silent.getsockname()[1]}/picture"}
        both = {**many(1), "image": [{"type": "base64", "value": TEXT}, away]}
        url = f"{server.url}/infer/object_detection"
        first = pool.submit(httpx.post, url, json=both, timeout=60, trust_env=False)
        with silent.accept()[0]:  # by now the first picture is unpacked
            refused = ask(server.url)
            assert (refused.status_code, refused.json()["code"]) == (503, "SERVER_BUSY")
            assert refused.headers["retry-after"] == "1"
        assert first.result().status_code == 400
        assert ask(server.url).status_code == 200


def test_connections_that_say_nothing_make_room_for_others(models: Path, tmp_path: Path) -> None:
    more = {"STREAMKIT_HEADER_TIMEOUT": "5", "STREAMKIT_MAX_CONNECTIONS": "4"}
    with served(models, tmp_path / "log.txt", more) as server, ExitStack() as wires:
        place = urlsplit(server.url)
        half = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "
        for _ in range(4):
            address = str(place.hostname), place.port or 0
            wire = wires.enter_context(socket.create_connection(address, timeout=20))
            wire.sendall(half)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url}/healthz", trust_env=False)
        until(lambda: _healthy(server))
        assert _closed(wire)


def _closed(wire: socket.socket) -> bool:
    try:
        return not wire.recv(1)
    except ConnectionError:
        return True


def _healthy(server: Served) -> bool:
    try:
        return httpx.get(f"{server.url}/healthz", trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_who_listens_holds_no_room_for_what_he_has_said(models: Path, tmp_path: Path) -> None:
    more = {"STREAMKIT_MAX_BODY_BYTES": "100000", "STREAMKIT_MAX_BODIES_BYTES": "150000"}
    with served(models, tmp_path / "log.txt", more) as server:
        camera = {"sources": ["synthetic:fps=5"], "model": "street/1"}
        path = f"{server.url}/inference_pipelines"
        begun = httpx.post(f"{path}/initialise", json=camera, timeout=30, trust_env=False).json()
        events = f"{path}/{begun['context']['pipeline_id']}/events"
        with httpx.Client(timeout=20, trust_env=False) as client:
            asked = client.build_request("GET", events, content=b"x" * 90_000)
            answer = client.send(asked, stream=True)
            assert answer.status_code == 200
            assert _large(server) == 422
