"""Models named by a URL with the hash of what it must give."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from streamkit.errors import ConfigError, ModelArtefactError, ModelErrorCode
from streamkit.models import get_model
from streamkit.models.ids import locate, parse
from streamkit.models.manager import ModelManager
from streamkit.models.remote import RemoteFile
from streamkit.models.store.sidecar import SIDECAR, Sidecar
from streamkit.settings import Settings
from tests.models.servers import FakeApi
from tests.models.test_yolo import PICTURE

ONNX = "/files/street/3/model.onnx"


def manager_over(api: FakeApi, root: Path) -> ModelManager:
    return ModelManager.of(Settings.load(model_cache_dir=root / "cache", api_base_url=api.url))


def pinned(api: FakeApi, path: str) -> str:
    return f"{api.url}{path}#sha256={hashlib.sha256(api.files[path]).hexdigest()}"


def test_a_pinned_url_is_a_model(api: FakeApi, tmp_path: Path) -> None:
    api.files[ONNX] = api.files["/files/street/3/weights"]
    manager = manager_over(api, tmp_path)
    for _ in range(2):
        with get_model(pinned(api, ONNX), manager=manager) as model:
            assert model.model_id == api.url + ONNX
            assert model.infer(PICTURE)
    assert api.requests == [ONNX]
    manager.close()
    again = manager_over(api, tmp_path)
    get_model(pinned(api, ONNX), manager=again).close()
    assert api.requests == [ONNX]
    again.close()


def test_what_is_not_what_was_pinned_is_refused(api: FakeApi, tmp_path: Path) -> None:
    api.files[ONNX] = api.files["/files/street/3/weights"]
    url = pinned(api, ONNX)
    api.files[ONNX] += b" "
    with pytest.raises(ModelArtefactError, match="has the sha256") as caught:
        manager_over(api, tmp_path).pin(url)
    assert caught.value.code == ModelErrorCode.HASH_MISMATCH
    assert not list(tmp_path.rglob("cache/**/weights*"))


def test_a_whole_folder_is_pinned_by_its_list(api: FakeApi, tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    names = [path.name for path in origin.iterdir()]
    Sidecar.of(origin, "the trainer", names).save(origin)
    for path in origin.iterdir():
        api.files[f"/web/street/{path.name}"] = path.read_bytes()
    url = pinned(api, f"/web/street/{SIDECAR}")
    manager = manager_over(api, tmp_path)
    with get_model(url, manager=manager) as model:
        assert model.names == ("a", "b", "c")
    manager.close()
    api.files["/web/street/class_names.txt"] = b"x\ny\nz"
    with pytest.raises(ModelArtefactError, match=r"class_names\.txt has the sha256"):
        manager_over(api, tmp_path / "elsewhere").pin(url)


def test_a_list_cannot_point_outside(api: FakeApi, tmp_path: Path) -> None:
    seal = f'{{"size": 1, "sha256": "{"0" * 64}"}}'
    api.files["/list.json"] = f'{{"files": {{"../../evil": {seal}}}}}'.encode()
    with pytest.raises(ModelArtefactError, match="no list of a model's files"):
        manager_over(api, tmp_path).pin(pinned(api, "/list.json"))


def test_a_url_without_its_hash_is_refused(api: FakeApi) -> None:
    for text in (api.url + ONNX, f"{api.url}{ONNX}#sha256=123", "https://h/m.onnx?key=secret"):
        with pytest.raises(ConfigError, match="sha256=<64 hex digits>") as caught:
            locate(text)
        assert "secret" not in str(caught.value)


def test_a_url_is_no_id_for_strangers() -> None:
    with pytest.raises(ConfigError):
        parse(f"https://h/m.onnx#sha256={'0' * 64}")


def test_what_may_be_secret_in_a_url_is_not_shown() -> None:
    file = RemoteFile("https://h/m.onnx?signature=secret", "0" * 64)
    assert "secret" not in str(file) + repr(file)
    assert file != replace(file, sha256="1" * 64)
