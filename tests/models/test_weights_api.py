"""The weights API: what is asked, what is understood, and what each refusal is called."""

from __future__ import annotations

import json
import logging
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from streamkit.errors import (
    ConfigError,
    ModelAccessError,
    ModelArtefactError,
    ModelError,
    ModelErrorCode,
    ModelNotFoundError,
    ModelUnavailableError,
)
from streamkit.models import get_model
from streamkit.models.ids import parse
from streamkit.models.manager import ModelManager
from streamkit.models.store import Store
from streamkit.models.store.cache import Cache
from streamkit.models.store.downloads import Downloads
from streamkit.models.store.http import Http, Patience
from streamkit.models.store.package import Package
from streamkit.models.store.weights_api import WeightsApi
from streamkit.settings import Settings
from streamkit.web import bare
from tests.models.graphs import NAMES
from tests.models.servers import (
    KEY,
    OTHER,
    QUICK,
    FakeApi,
    Fault,
    body,
    cut,
    goog_md5,
    hang,
    status,
)

WEIGHTS = "/files/street/3/weights"
MODEL = parse("street/3")


def pull(
    api: FakeApi, root: Path, model: str = "street/3", key: str | None = KEY, **given: Any
) -> Package:
    patience = given.pop("patience", QUICK)
    remote = WeightsApi(api.url, patience=patience)
    store = Store([Downloads(Cache(root / "cache"), [remote], **given)])
    return store.find(parse(model), None if key is None else SecretStr(key))


def files(root: Path, model: str = "street/3") -> dict[str, bytes]:
    folder = root / "cache" / model
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_a_model_comes_with_all_its_files(api: FakeApi, tmp_path: Path) -> None:
    package = pull(api, tmp_path)
    assert package.model_id == "street/3"
    assert package.names == NAMES
    assert package.kind is not None
    assert package.kind.model_type == "yolov8n"
    found = files(tmp_path)
    assert found["weights.onnx"] == api.files[WEIGHTS]
    assert found["class_names.txt"] == b"a\nb\nc"
    assert json.loads(found["model_type.json"]) == {
        "project_task_type": "object-detection",
        "model_type": "yolov8n",
    }
    assert set(found) == {
        "weights.onnx", "environment.json", "class_names.txt", "model_type.json", ".streamkit.json"
    }  # fmt: skip


def test_it_is_asked_as_the_neighbour_asks(api: FakeApi, tmp_path: Path) -> None:
    pull(api, tmp_path)
    assert api.requests == [
        f"/ort/street/3?nocache=true&device=streamkit&dynamic=true&api_key={KEY}",
        "/files/street/3/environment",
        "/files/street/3/weights?X-Signature=signed-secret",
    ]


def test_what_is_in_the_cache_is_not_asked_for(api: FakeApi, tmp_path: Path) -> None:
    pull(api, tmp_path)
    before = len(api.requests)
    assert pull(api, tmp_path, key=None).names == NAMES
    assert len(api.requests) == before


def test_an_instant_model_has_its_environment_in_the_reply(api: FakeApi, tmp_path: Path) -> None:
    api.replies["/getWeights?ws/door-2"] = {
        "taskType": "object-detection",
        "modelType": "yolov11n",
        "modelFiles": {"ort": {"model": f"{api.url}{WEIGHTS}"}},
        "environment": {"PREPROCESSING": {}},
        "classes": list(NAMES),
    }
    assert pull(api, tmp_path, "ws/door-2").kind.model_type == "yolov11n"  # type: ignore[union-attr]
    assert api.requests[0] == f"/getWeights?model=ws%2Fdoor-2&api_key={KEY}"
    assert api.paths() == ["/getWeights", WEIGHTS]


def test_colors_and_keypoints_are_kept(api: FakeApi, tmp_path: Path) -> None:
    skeleton = [{"object_class_id": 0, "keypoints": {"0": "nose", "1": "tail"}, "edges": []}]
    api.replies["/ort/street/3"]["ort"] |= {"colors": {"a": "#112233"}}
    api.replies["/ort/street/3"]["ort"] |= {"keypoints_metadata": skeleton}
    package = pull(api, tmp_path)
    assert package.environment is not None
    assert package.environment.colors == {"a": "#112233"}
    assert package.keypoints == {0: ("nose", "tail")}


@pytest.mark.parametrize(
    ("task", "said", "expected"),
    [
        ("object-detection", None, "yolov5v2s"),
        ("instance-segmentation", "ort", "yolact"),
        ("classification", None, "vit"),
        ("keypoint-detection", "ort", "yolov8n"),
        ("classification", "resnet18", "resnet18"),
    ],
)
def test_a_type_that_is_not_told_is_the_old_default(
    api: FakeApi, tmp_path: Path, task: str, said: str | None, expected: str
) -> None:
    api.replies["/ort/street/3"]["ort"] |= {"type": task, "modelType": said}
    kind = pull(api, tmp_path).kind
    assert kind is not None
    assert (kind.project_task_type, kind.model_type) == (task, expected)


def test_classes_may_be_in_the_environment(api: FakeApi, tmp_path: Path) -> None:
    del api.replies["/ort/street/3"]["ort"]["classes"]
    environment = {"PREPROCESSING": {}, "CLASS_MAP": {"0": "x", "1": "y", "2": "z"}}
    api.files["/files/street/3/environment"] = json.dumps(environment).encode()
    assert pull(api, tmp_path).names == ("x", "y", "z")


# -- version 0 -------------------------------------------------------------------------------


def test_version_0_is_a_stub_of_the_projects_task(api: FakeApi, tmp_path: Path) -> None:
    kind = pull(api, tmp_path, "street/0").kind
    assert kind is not None
    assert (kind.project_task_type, kind.model_type) == ("keypoint-detection", "stub")
    assert api.requests == [
        f"/?nocache=true&api_key={KEY}",
        f"/ws1/street?nocache=true&api_key={KEY}",
    ]
    assert pull(api, tmp_path, "street/0").kind == kind
    assert len(api.requests) == 2


@pytest.mark.parametrize(
    "task",
    ["object-detection", "instance-segmentation", "classification", "keypoint-detection"],
)
def test_version_0_answers_for_each_task(api: FakeApi, tmp_path: Path, task: str) -> None:
    api.projects["/ws1/street"] = task
    settings = Settings.load(model_cache_dir=tmp_path, api_base_url=api.url, api_key=KEY)
    manager = ModelManager.of(settings)
    with get_model("street/0", manager=manager) as model:
        answers = model.infer([np.zeros((4, 4, 3), np.uint8)] * 3)
    expected = {"is_stub": True, "model_id": "street/0", "task_type": task}
    assert [answer.dict() for answer in answers] == [expected] * 3
    manager.close()


def test_a_project_of_another_task_has_no_stub(api: FakeApi, tmp_path: Path) -> None:
    api.projects["/ws1/street"] = "poetry"
    settings = Settings.load(model_cache_dir=tmp_path, api_base_url=api.url, api_key=KEY)
    with pytest.raises(ModelArtefactError, match="'poetry'"):
        ModelManager.of(settings).pin("street/0")


def test_version_0_needs_a_key(api: FakeApi, tmp_path: Path) -> None:
    with pytest.raises(ModelAccessError, match="ROBOFLOW_API_KEY") as caught:
        pull(api, tmp_path, "street/0", key=None)
    assert caught.value.code == ModelErrorCode.KEY_MISSING
    assert api.requests == []


# -- refusals --------------------------------------------------------------------------------


def test_a_wrong_key_is_told_what_to_do(api: FakeApi, tmp_path: Path) -> None:
    with pytest.raises(ModelAccessError) as caught:
        pull(api, tmp_path, key="nonsense-1234567")
    assert caught.value.code == ModelErrorCode.KEY_REFUSED
    for word in ("street/3", "401", "api_key=", "ROBOFLOW_API_KEY", "STREAMKIT_API_KEY_FILE"):
        assert word in str(caught.value)
    assert files(tmp_path) == {}


def test_no_key_is_told_so(api: FakeApi, tmp_path: Path) -> None:
    with pytest.raises(ModelAccessError, match="without an API key") as caught:
        pull(api, tmp_path, key=None)
    assert caught.value.code == ModelErrorCode.KEY_MISSING


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (402, ModelErrorCode.PAYMENT_REQUIRED),
        (403, ModelErrorCode.FORBIDDEN),
        (423, ModelErrorCode.USAGE_PAUSED),
    ],
)
def test_each_refusal_has_its_code(
    api: FakeApi, tmp_path: Path, code: int, expected: ModelErrorCode
) -> None:
    api.faults["/ort/street/3"] += [status(code)] * 2
    with pytest.raises(ModelAccessError, match=f"street/3: the weights API .*{code}") as caught:
        pull(api, tmp_path)
    assert caught.value.code == expected
    assert len(api.requests) == 1


def test_an_unknown_model_is_told_where_it_was_looked_for(api: FakeApi, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        pull(api, tmp_path, "nothing/1")
    assert f"the weights API at {api.url}" in str(caught.value)
    assert str(tmp_path / "cache") in str(caught.value)
    assert len(api.requests) == 1


@pytest.mark.parametrize("path", ["/ort/street/3", "/files/street/3/environment", WEIGHTS])
@pytest.mark.parametrize("code", [500, 503, 429, 408])
def test_what_passes_is_tried_again(api: FakeApi, tmp_path: Path, path: str, code: int) -> None:
    api.faults[path] += [status(code)] * 2
    assert pull(api, tmp_path).names == NAMES
    assert api.paths().count(path) == 3


def test_what_does_not_pass_is_given_up(api: FakeApi, tmp_path: Path) -> None:
    api.faults["/ort/street/3"] += [status(500)] * 9
    with pytest.raises(ModelUnavailableError, match="the weights API failed: HTTP 500") as caught:
        pull(api, tmp_path)
    assert caught.value.code == ModelErrorCode.FAILED
    assert len(api.requests) == QUICK.tries


def test_the_server_says_how_long_to_wait(api: FakeApi, tmp_path: Path) -> None:
    api.faults["/ort/street/3"].append(status(503, {"Retry-After": "1"}))
    began = time.monotonic()
    pull(api, tmp_path, patience=Patience(3, 10, 0.001, 5))
    assert 1.0 <= time.monotonic() - began < 5


@pytest.mark.parametrize("path", ["/ort/street/3", WEIGHTS])
def test_silence_is_an_error(api: FakeApi, tmp_path: Path, path: str) -> None:
    api.faults[path] += [hang] * 2
    with pytest.raises(ModelUnavailableError, match=r"did not answer within 0\.2 s") as caught:
        pull(api, tmp_path, patience=Patience(2, 0.2, 0.01, 0.05))
    assert caught.value.code == ModelErrorCode.TIMEOUT
    assert "weights.onnx" not in files(tmp_path)


def test_nobody_there_is_an_error() -> None:
    with pytest.raises(ModelUnavailableError, match=r"127\.0\.0\.1.*Connection refused") as caught:
        WeightsApi("http://127.0.0.1:9", patience=QUICK).check(MODEL, SecretStr(KEY))
    assert caught.value.code == ModelErrorCode.UNREACHABLE


@pytest.mark.parametrize(
    "reply", [b"<html>", b"[]", b"{}", b'{"ort": 3}', b'{"ort": {"classes": "a"}}', b"\xff\xfe"]
)
def test_nonsense_is_an_error_and_not_asked_for_again(
    api: FakeApi, tmp_path: Path, reply: bytes
) -> None:
    api.faults["/ort/street/3"] += [body(reply)] * 2
    with pytest.raises(ModelUnavailableError) as caught:
        pull(api, tmp_path)
    assert caught.value.code == ModelErrorCode.MALFORMED
    assert len(api.requests) == 1


def test_a_reply_without_weights_is_an_error(api: FakeApi, tmp_path: Path) -> None:
    del api.replies["/ort/street/3"]["ort"]["model"]
    with pytest.raises(ModelArtefactError, match="no ONNX weights of street/3"):
        pull(api, tmp_path)


# -- downloads -------------------------------------------------------------------------------


def test_a_broken_download_goes_on_where_it_broke(api: FakeApi, tmp_path: Path) -> None:
    api.faults[WEIGHTS] += [cut(200_000), cut(100_000)]
    pull(api, tmp_path)
    assert files(tmp_path)["weights.onnx"] == api.files[WEIGHTS]
    assert api.ranges[-3:] == [None, "bytes=200000-", "bytes=300000-"]


def test_a_download_that_never_ends_well_leaves_no_weights(api: FakeApi, tmp_path: Path) -> None:
    api.faults[WEIGHTS] += [cut(1000)] * 9
    with pytest.raises(ModelUnavailableError, match="broke off") as caught:
        pull(api, tmp_path)
    assert caught.value.code == ModelErrorCode.TRUNCATED
    assert "weights.onnx" not in files(tmp_path)
    assert Cache(tmp_path / "cache").read(MODEL) is None


def test_a_server_that_cannot_resume_begins_again(api: FakeApi, tmp_path: Path) -> None:
    api.resumable = False
    api.faults[WEIGHTS] += [cut(200_000)]
    pull(api, tmp_path)
    assert files(tmp_path)["weights.onnx"] == api.files[WEIGHTS]
    assert api.ranges[-2:] == [None, None]


def test_a_file_that_changed_meanwhile_is_not_mixed(api: FakeApi, tmp_path: Path) -> None:
    first = api.files[WEIGHTS]

    def cut_and_change(handler: Any) -> None:
        handler.serve_file(200_000)
        api.files[WEIGHTS] = first + b"  "

    api.faults[WEIGHTS].append(cut_and_change)
    pull(api, tmp_path)
    assert files(tmp_path)["weights.onnx"] == first + b"  "
    assert not [name for name in files(tmp_path) if name.endswith(".part")]


def test_a_told_md5_is_checked(api: FakeApi, tmp_path: Path) -> None:
    api.headers[WEIGHTS] = goog_md5(api.files[WEIGHTS])
    pull(api, tmp_path)
    assert "weights.onnx" in files(tmp_path)


def test_a_wrong_hash_is_an_error_and_nothing_is_kept(api: FakeApi, tmp_path: Path) -> None:
    api.headers[WEIGHTS] = goog_md5(b"something else")
    with pytest.raises(ModelArtefactError, match="changed or damaged") as caught:
        pull(api, tmp_path)
    assert caught.value.code == ModelErrorCode.HASH_MISMATCH
    assert not [name for name in files(tmp_path) if "weights" in name]


def test_progress_is_told(api: FakeApi, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    pull(api, tmp_path, progress=lambda *step: told.append(step))
    size = len(api.files[WEIGHTS])
    assert told[-2:] == [("weights.onnx", size, size), ("weights.onnx", 0, 0)]
    assert {name for name, _, _ in told} == {"weights.onnx"}


# -- what is remembered, and what is never told ----------------------------------------------


def test_a_reply_is_remembered_for_ten_seconds_for_its_own_key_only(api: FakeApi) -> None:
    now = [100.0]
    remote = WeightsApi(api.url, patience=QUICK, clock=lambda: now[0])
    for _ in range(3):
        remote.check(MODEL, SecretStr(KEY))
    assert len(api.requests) == 1
    with pytest.raises(ModelAccessError):
        remote.check(MODEL, SecretStr(OTHER))
    with pytest.raises(ModelAccessError):
        remote.check(MODEL, None)
    now[0] += 11
    remote.check(MODEL, SecretStr(KEY))
    assert len(api.requests) == 4


FAULTS: list[tuple[str, list[Fault]]] = [
    ("/ort/street/3", []),
    ("/ort/street/3", [status(401)]),
    ("/ort/street/3", [status(403)]),
    ("/ort/street/3", [status(404)]),
    ("/ort/street/3", [status(500)] * 3),
    ("/ort/street/3", [body(b"<html>")]),
    ("/ort/street/3", [body(b'{"ort": 3}')]),
    ("/ort/street/3", [status(302, {"Location": "http://example.invalid/"})] * 3),
    ("/ort/street/3", [status(302, {"Location": "/elsewhere"})]),
    (WEIGHTS, [cut(10)] * 3),
    (WEIGHTS, [status(403)]),
    ("/files/street/3/environment", [body(b"nonsense")]),
]


@pytest.mark.parametrize(("path", "faults"), FAULTS)
def test_the_key_is_in_no_log_and_no_error(
    api: FakeApi,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    path: str,
    faults: list[Fault],
) -> None:
    api.faults[path] += faults
    text = ""
    with caplog.at_level(logging.DEBUG):
        try:
            pull(api, tmp_path)
        except (ModelError, ConfigError) as error:
            text = "".join(traceback.TracebackException.from_exception(error).format())
            text += repr(error) + repr(error.__context__) + repr(error.__cause__)
    assert bool(text) == bool(faults)
    assert "HTTP Request: GET" in caplog.text  # httpx does tell where it went
    for secret in (KEY, "signed-secret"):
        assert secret not in caplog.text
        assert secret not in text


def test_the_key_does_not_follow_a_redirection(api: FakeApi, tmp_path: Path) -> None:
    with_key = f"/ort/street/3?nocache=true&device=streamkit&dynamic=true&api_key={KEY}"
    api.faults["/ort/street/3"].append(status(302, {"Location": "/moved"}))
    with pytest.raises(ModelAccessError):
        pull(api, tmp_path)
    assert api.requests == [with_key, "/moved"]


def test_weights_come_over_tls_or_from_this_machine() -> None:
    for address in ("http://example.invalid/weights", "ftp://example.invalid/weights"):
        with (
            pytest.raises(ConfigError, match=r"example\.invalid/weights is not https"),
            Http("somebody").stream(address),
        ):
            pass


def test_what_may_be_secret_in_an_address_is_not_shown() -> None:
    assert bare("https://me:secret@host:1/a?k=v#f") == "https://host:1/a"


def test_one_stuck_request_holds_up_no_other(api: FakeApi) -> None:
    api.faults["/ort/street/3"].append(hang)
    remote = WeightsApi(api.url, patience=Patience(1, 20))

    def stuck() -> None:
        with pytest.raises(ModelUnavailableError):
            remote.check(MODEL, SecretStr(KEY))

    thread = threading.Thread(target=stuck)
    thread.start()
    api.wait_for("/ort/street/3")
    with pytest.raises(ModelAccessError):
        remote.check(MODEL, SecretStr(OTHER))
    api.closing.set()
    thread.join()
