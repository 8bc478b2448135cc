"""Models in a bucket: a real S3 protocol over HTTP, against moto's server on loopback."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from streamkit.errors import (
    ModelAccessError,
    ModelArtefactError,
    ModelErrorCode,
    ModelUnavailableError,
)
from streamkit.models.ids import parse
from streamkit.models.manager import ModelManager
from streamkit.models.store.cache import Cache
from streamkit.models.store.downloads import Downloads
from streamkit.models.store.s3 import Bucket
from streamkit.settings import Settings
from tests.models.graphs import NAMES, write_folder
from tests.models.servers import QUICK, fake_api
from tests.needs import needs_package
from tests.processes import process

MODEL = parse("street/3")
CREDENTIALS = (SecretStr("an-id"), SecretStr("a-hidden-secret"), None)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    needs_package("moto")
    needs_package("obstore")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with process(command, stderr=subprocess.PIPE) as server:
        assert server.stderr is not None
        found = None
        while found is None:
            line = server.stderr.readline()
            assert line, "moto ended"
            found = re.search(r"Running on (http://\S+)", line)
        yield found[1]
        server.terminate()
        server.stderr.read()


@pytest.fixture
def bucket(endpoint: str, request: pytest.FixtureRequest) -> str:
    """An empty bucket of this test's own."""
    name = re.sub(r"[^a-z]+", "-", request.node.name.lower())[:60].strip("-")
    assert httpx.put(f"{endpoint}/{name}").is_success
    return name


def put(endpoint: str, bucket: str, prefix: str, folder: Path) -> None:
    store = remote(endpoint, bucket)._open()
    for path in folder.iterdir():
        store.put(f"{prefix}/{path.name}", path.read_bytes())


def remote(endpoint: str, bucket: str, prefix: str = "") -> Bucket:
    return Bucket(bucket, prefix, endpoint=endpoint, credentials=CREDENTIALS, patience=QUICK)


@pytest.mark.parametrize("prefix", ["", "models/prod"])
def test_a_model_comes_out_of_a_bucket(
    endpoint: str, bucket: str, prefix: str, tmp_path: Path
) -> None:
    origin = write_folder(tmp_path / "origin")
    put(endpoint, bucket, f"{prefix}/street/3".strip("/"), origin)
    package = Downloads(Cache(tmp_path), [remote(endpoint, bucket, prefix)]).find(MODEL, None)
    assert package is not None
    assert package.names == NAMES
    assert package.weights.read_bytes() == (origin / "weights.onnx").read_bytes()


def test_a_bucket_without_the_model_does_not_know_it(
    endpoint: str, bucket: str, tmp_path: Path
) -> None:
    put(endpoint, bucket, "street/33", write_folder(tmp_path / "origin"))
    assert remote(endpoint, bucket).offer(MODEL, None) is None


def test_no_bucket_and_no_server_are_errors(endpoint: str) -> None:
    with pytest.raises(ModelUnavailableError, match="there is no bucket 'nothing-here'"):
        remote(endpoint, "nothing-here").offer(MODEL, None)
    with pytest.raises(ModelUnavailableError, match="s3://b cannot be reached") as caught:
        remote("http://127.0.0.1:9", "b").offer(MODEL, None)
    assert caught.value.code == ModelErrorCode.UNREACHABLE
    assert "a-hidden-secret" not in str(caught.value)


def test_wrong_credentials_are_told_of(tmp_path: Path) -> None:
    needs_package("obstore")

    def refuse(handler: Any) -> None:
        handler.answer(403, b"<Error><Code>AccessDenied</Code></Error>", {})

    with fake_api(tmp_path) as server:
        server.faults["/models"] += [refuse] * 9
        with pytest.raises(ModelAccessError, match="AWS_ACCESS_KEY_ID") as caught:
            remote(server.url, "models").offer(MODEL, None)
    assert "an-id" not in str(caught.value)


def test_a_sidecar_in_the_bucket_seals_its_files(
    endpoint: str, bucket: str, tmp_path: Path
) -> None:
    origin = write_folder(tmp_path / "origin")
    put(endpoint, bucket, "street/3", origin)
    Downloads(Cache(tmp_path), [remote(endpoint, bucket)]).find(MODEL, None)
    put(endpoint, bucket, "street/3", tmp_path / "street" / "3")
    (origin / "class_names.txt").write_text("x\ny\nz")
    put(endpoint, bucket, "street/3", origin)
    with pytest.raises(ModelArtefactError, match=r"class_names\.txt has the sha256"):
        Downloads(Cache(tmp_path / "new"), [remote(endpoint, bucket)]).find(MODEL, None)


def test_the_settings_name_the_bucket(endpoint: str, bucket: str, tmp_path: Path) -> None:
    put(endpoint, bucket, "fleet/street/3", write_folder(tmp_path / "origin"))
    settings = Settings.load(
        model_cache_dir=tmp_path,
        api_base_url="http://127.0.0.1:9",
        s3_bucket=bucket,
        s3_prefix="fleet/",
        s3_endpoint=endpoint,
        s3_access_key_id="an-id",
        s3_secret_access_key="a-hidden-secret",
    )
    manager = ModelManager.of(settings)
    with manager.pin("street/3") as shared:
        assert shared.model.names == NAMES
    manager.close()
