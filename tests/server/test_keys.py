"""Who may ask what: the server's key, keys of the weights API, a workspace's keys."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from streamkit.errors import ConfigError
from streamkit.server.cli import listening_at, refuse_to_be_open
from streamkit.server.settings import ServerSettings
from tests.models.servers import KEY, OTHER, FakeApi, fake_api, hang, status
from tests.server.serving import Served, served

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
TEXT = base64.b64encode((SAMPLES / "street.jpg").read_bytes()).decode()
BOSS = "the-servers-own-key-1"


def ask(
    url: str, key: str | None = None, model: str = "street/1", **headers: str
) -> httpx.Response:
    body = {"model_id": model, "image": {"type": "base64", "value": TEXT}}
    if key is not None:
        body["api_key"] = key
    return httpx.post(
        f"{url}/infer/object_detection", json=body, headers=headers, timeout=30, trust_env=False
    )


def post(url: str, **options: object) -> httpx.Response:
    return httpx.post(url, timeout=30, trust_env=False, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def locked(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    log = tmp_path_factory.mktemp("locked") / "log.txt"
    with served(models, log, {"STREAMKIT_SERVER_KEY": BOSS}) as made:
        yield made


def test_with_a_server_key_nobody_else_is_answered(locked: Served) -> None:
    assert ask(locked.url).status_code == 401
    assert ask(locked.url, "wrong").json()["code"] == "SERVER_KEY_REQUIRED"
    assert ask(locked.url, BOSS).status_code == 200
    assert ask(locked.url, Authorization=f"Bearer {BOSS}").status_code == 200
    for path in ("/model/clear", "/model/remove?api_key=no"):
        assert post(locked.url + path, json={"model_id": "street/1"}).status_code == 401
    assert post(f"{locked.url}/model/clear?api_key={BOSS}").status_code == 200
    assert httpx.get(f"{locked.url}/healthz", trust_env=False).status_code == 200
    for path in ("/clear_cache", "/device/stats", "/model/registry"):
        assert httpx.get(locked.url + path, trust_env=False).status_code == 401


def test_no_key_is_in_any_log(locked: Served) -> None:
    ask(locked.url, "a-wrong-secret")
    post(f"{locked.url}/model/add?api_key={BOSS}", json={"model_id": "nobody/1"})
    post(f"{locked.url}/street/1?api_key={BOSS}", content="x")
    assert BOSS not in locked.logged()
    assert "a-wrong-secret" not in locked.logged()


def settings(**given: object) -> ServerSettings:
    return ServerSettings.load(**given)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
def test_without_a_key_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(ConfigError, match="STREAMKIT_SERVER_KEY"):
        refuse_to_be_open(settings(host=host))
    refuse_to_be_open(settings(host=host, server_key="k"))
    refuse_to_be_open(settings(host=host, workspace="ws"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.9"])
def test_loopback_needs_no_key(host: str) -> None:
    refuse_to_be_open(settings(host=host))


@pytest.fixture
def api(tmp_path: Path, models: Path) -> Iterator[FakeApi]:
    with fake_api(tmp_path / "api") as made:
        made.add("street/3", models / "street" / "1")
        yield made


def online(api: FakeApi, **more: str) -> dict[str, str]:
    return {"OFFLINE_MODE": "False", "API_BASE_URL": api.url, **more}


def test_access_is_asked_per_model_also_once_it_is_loaded(
    api: FakeApi, tmp_path: Path, models: Path
) -> None:
    more = online(api, MODELS_CACHE_AUTH_ENABLED="True")
    with served(models, tmp_path / "log.txt", more) as server:
        assert ask(server.url, KEY, "street/3").status_code == 200
        assert ask(server.url, OTHER, "street/3").status_code in (401, 403, 404)
        assert ask(server.url, None, "street/3").status_code in (400, 401)
        assert ask(server.url, KEY, "street/3").status_code == 200
        assert KEY not in server.logged()


def test_a_workspaces_server_answers_its_own_keys_only(
    api: FakeApi, tmp_path: Path, models: Path
) -> None:
    more = online(api, DEDICATED_DEPLOYMENT_WORKSPACE_URL="ws1")
    with served(models, tmp_path / "log.txt", more) as server:
        for refused in (None, OTHER, "nobodys"):
            answer = ask(server.url, refused)
            assert answer.status_code == 401
            assert answer.json() == {"status": 401, "message": "Unauthorized api_key"}
        for _ in range(3):
            assert ask(server.url, KEY).status_code == 200
        assert len([r for r in api.requests if KEY in r and r.startswith("/?")]) == 1
        assert ask(server.url, Authorization=f"Bearer {KEY}").status_code == 200
        for path in ("/healthz", "/info", "/readiness", "/metrics", "/docs"):
            assert httpx.get(server.url + path, trust_env=False).status_code == 200


def test_an_authority_that_is_down_is_no_no(api: FakeApi, tmp_path: Path, models: Path) -> None:
    tries = {"TRANSIENT_ROBOFLOW_API_ERRORS_RETRIES": "1"}
    more = online(api, DEDICATED_DEPLOYMENT_WORKSPACE_URL="ws1", **tries)
    with served(models, tmp_path / "log.txt", more) as server:
        api.faults["/"].append(status(500))
        assert ask(server.url, KEY).status_code in (502, 503)
        assert ask(server.url, KEY).status_code == 200


def test_pages_of_others_are_not_answered(server: Served) -> None:
    """Neither by a browser on this machine, nor under a name that leads here."""
    path = f"{server.url}/inference_pipelines/list"
    for mode, status_ in (("no-cors", 403), ("navigate", 200)):
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode}
        assert httpx.get(path, headers=headers, trust_env=False).status_code == status_
    ours = server.url.removeprefix("http://")
    for origin, status_ in (("https://evil.example", 403), ("null", 403), (server.url, 200)):
        told = httpx.get(path, headers={"Origin": origin}, trust_env=False)
        assert told.status_code == status_, origin
    for host, status_ in (("evil.example:9001", 403), (ours, 200), ("localhost:1", 200)):
        told = httpx.get(path, headers={"Host": host}, trust_env=False)
        assert told.status_code == status_, host


def test_a_simple_form_of_another_page_is_no_json(server: Served) -> None:
    told = httpx.post(
        f"{server.url}/model/add",
        content='{"model_id": "street/1"}',
        headers={"Content-Type": "text/plain"},
        trust_env=False,
    )
    assert told.status_code == 422


def test_pages_that_are_allowed_may_ask(models: Path, tmp_path: Path) -> None:
    more = {"ALLOW_ORIGINS": "https://ours.example"}
    with served(models, tmp_path / "log.txt", more) as server:
        path, headers = f"{server.url}/info", {"Origin": "https://ours.example"}
        told = httpx.get(path, headers=headers, trust_env=False)
        assert told.headers["access-control-allow-origin"] == "https://ours.example"
        headers |= {"Access-Control-Request-Method": "POST"}
        assert httpx.options(path, headers=headers, trust_env=False).status_code == 200


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """Headers and body are two writes: without this option the second waits 40 ms."""
    with listening_at(settings(port=0)) as listening:
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_keys_that_nobody_knows_hold_up_no_other(
    api: FakeApi, tmp_path: Path, models: Path
) -> None:
    """Neither a key that is known, nor what needs none, nor is the same key asked about again."""
    more = online(api, DEDICATED_DEPLOYMENT_WORKSPACE_URL="ws1")
    with served(models, tmp_path / "log.txt", more) as server, ThreadPoolExecutor(60) as pool:
        assert ask(server.url, KEY).status_code == 200
        for _ in range(3):
            assert ask(server.url, OTHER).status_code == ask(server.url, "no").status_code == 401
        asked = [request.partition("api_key=")[2] for request in api.requests]
        assert sorted(asked) == sorted([KEY, OTHER, "no"])
        api.faults["/"].extend([hang] * 60)
        path = f"{server.url}/model/remove?api_key=unknown"
        late = [pool.submit(post, f"{path}{n}") for n in range(60)]
        api.wait_for("/", 3 + 8)
        assert ask(server.url, KEY).status_code == 200
        assert post(f"{server.url}/model/clear?api_key={KEY}").status_code == 200
        assert not any(each.done() for each in late)
        server.process.kill()


def test_a_workspaces_server_may_have_a_key_of_its_own(
    api: FakeApi, tmp_path: Path, models: Path
) -> None:
    more = online(api, DEDICATED_DEPLOYMENT_WORKSPACE_URL="ws1", STREAMKIT_SERVER_KEY=BOSS)
    with served(models, tmp_path / "log.txt", more) as server:
        for answer, status_ in ((ask(server.url, BOSS), 200), (ask(server.url, KEY), 200)):
            assert answer.status_code == status_
        boss = {"Authorization": f"Bearer {BOSS}"}
        assert post(f"{server.url}/model/clear", headers=boss).status_code == 200
        assert post(f"{server.url}/model/clear?api_key={KEY}").status_code == 401
        for path in ("/device/stats", "/clear_cache"):
            told = httpx.get(server.url + path, headers=boss, trust_env=False)
            assert told.status_code == 200
        assert not any(BOSS in request for request in api.requests)


def test_a_name_of_the_server_is_no_path(api: FakeApi, tmp_path: Path, models: Path) -> None:
    more = online(api, DEDICATED_DEPLOYMENT_WORKSPACE_URL="ws1")
    with served(models, tmp_path / "log.txt", more) as server:
        path, header = f"{server.url}/inference_pipelines/list", {"Host": "localhost/metrics?"}
        assert httpx.get(path, headers=header, trust_env=False).status_code == 401


def test_a_model_that_is_slow_to_come_holds_up_no_other(
    api: FakeApi, tmp_path: Path, models: Path
) -> None:
    api.faults["/ort/street/3"].extend([hang] * 30)
    with (
        served(models, tmp_path / "log.txt", online(api)) as server,
        ThreadPoolExecutor(30) as pool,
    ):
        patience = {"X-Request-Timeout": "1"}
        late = [pool.submit(ask, server.url, f"k{n}", "street/3", **patience) for n in range(30)]
        assert {each.result().status_code for each in late} == {504}
        assert ask(server.url, **{"X-Request-Timeout": "20"}).status_code == 200
        server.process.kill()
