"""The cache and what brings models into it: shared by processes, healed, and never half there."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from random import Random

import pytest
from pydantic import SecretStr

from streamkit.errors import (
    ModelArtefactError,
    ModelCacheError,
    ModelErrorCode,
    ModelNotFoundError,
    ModelUnavailableError,
)
from streamkit.models.ids import ModelId, parse
from streamkit.models.manager import ModelManager
from streamkit.models.store import Store
from streamkit.models.store.cache import LOCKS, Cache
from streamkit.models.store.downloads import Downloads
from streamkit.models.store.keeping import require_room
from streamkit.models.store.sidecar import SIDECAR
from streamkit.models.store.weights_api import WeightsApi
from tests.fakes import until
from tests.models.graphs import NAMES, write_folder
from tests.models.servers import KEY, QUICK, FakeApi, fake_api, gated, status
from tests.needs import needs_mounts
from tests.processes import process

WEIGHTS = "/files/street/3/weights"
MODEL = parse("street/3")
SECRET = SecretStr(KEY)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def downloads(api: FakeApi, root: Path, *, offline: bool = False) -> Downloads:
    return Downloads(Cache(root), [WeightsApi(api.url, patience=QUICK)], offline)


def folder_of(root: Path) -> Path:
    return root / "street" / "3"


# -- a directory that somebody else filled ---------------------------------------------------


def test_what_the_neighbour_put_there_is_used_as_it_is(api: FakeApi, root: Path) -> None:
    write_folder(folder_of(root))
    (root / LOCKS).mkdir()
    (root / LOCKS / "3.lock").touch()
    package = downloads(api, root).find(MODEL, None)
    assert package is not None
    assert package.names == NAMES
    assert api.requests == []
    assert [str(model) for model in Cache(root).models()] == ["street/3"]


def test_a_folder_without_weights_is_filled(api: FakeApi, root: Path) -> None:
    shutil.copytree(api_origin(root), folder_of(root))
    (folder_of(root) / "weights.onnx").unlink()
    assert downloads(api, root).find(MODEL, SECRET) is not None
    assert (folder_of(root) / "weights.onnx").read_bytes() == api.files[WEIGHTS]


def api_origin(root: Path) -> Path:
    return root.parent / "origin"


def test_weights_that_the_neighbour_left_half_written_are_replaced(
    api: FakeApi, root: Path
) -> None:
    shutil.copytree(api_origin(root), folder_of(root))
    weights = folder_of(root) / "weights.onnx"
    os.truncate(weights, 5000)
    manager = ModelManager(Store([downloads(api, root)]))
    manager.pin("street/3", KEY).release()
    assert weights.read_bytes() == api.files[WEIGHTS]
    manager.close()


def test_weights_that_cannot_be_had_again_are_told_of(api: FakeApi, root: Path) -> None:
    write_folder(root / "mine" / "1")
    os.truncate(root / "mine" / "1" / "weights.onnx", 100)
    manager = ModelManager(Store([downloads(api, root)]))
    with pytest.raises(ModelArtefactError, match="no usable ONNX model"):
        manager.pin("mine/1", KEY)
    assert (root / "mine" / "1" / "weights.onnx").stat().st_size == 100


# -- damage ----------------------------------------------------------------------------------

FILES = ("weights.onnx", "environment.json", "class_names.txt", "model_type.json")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_noticed_and_had_again(api: FakeApi, root: Path, name: str) -> None:
    downloads(api, root).find(MODEL, SECRET)
    path = folder_of(root) / name
    whole = path.read_bytes()
    flip(path)
    assert downloads(api, root).find(MODEL, SECRET) is not None
    assert path.read_bytes() == whole
    assert api.paths().count(WEIGHTS) == (2 if name == "weights.onnx" else 1)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_had_again(api: FakeApi, root: Path, name: str) -> None:
    downloads(api, root).find(MODEL, SECRET)
    (folder_of(root) / name).unlink()
    assert downloads(api, root).find(MODEL, SECRET) is not None
    assert (folder_of(root) / name).exists()


def test_a_damaged_list_of_hashes_is_written_again(api: FakeApi, root: Path) -> None:
    downloads(api, root).find(MODEL, SECRET)
    (folder_of(root) / SIDECAR).write_bytes(b"{")
    assert downloads(api, root).find(MODEL, SECRET) is not None
    assert downloads(api, root, offline=True).find(MODEL, None) is not None


def test_damage_that_cannot_be_healed_says_why(api: FakeApi, root: Path) -> None:
    downloads(api, root).find(MODEL, SECRET)
    flip(folder_of(root) / "weights.onnx")
    with pytest.raises(ModelArtefactError, match=r"weights\.onnx changed since the download"):
        downloads(api, root, offline=True).find(MODEL, None)
    api.faults["/ort/street/3"] += [status(500)] * 9
    with pytest.raises(ModelArtefactError, match="again: the weights API failed: HTTP 500"):
        downloads(api, root).find(MODEL, SECRET)
    (folder_of(root) / SIDECAR).unlink()  # as the message says
    assert downloads(api, root).find(MODEL, SECRET) is not None


# -- offline ---------------------------------------------------------------------------------


def test_offline_what_is_here_is_used_and_nothing_is_asked(api: FakeApi, root: Path) -> None:
    downloads(api, root).find(MODEL, SECRET)
    before = len(api.requests)
    assert downloads(api, root, offline=True).find(MODEL, None) is not None
    with pytest.raises(ModelUnavailableError, match=r"other/1 .* OFFLINE_MODE") as caught:
        downloads(api, root, offline=True).find(ModelId("other", "1"), SECRET)
    assert caught.value.code == ModelErrorCode.OFFLINE
    assert len(api.requests) == before


# -- several at once -------------------------------------------------------------------------


def test_a_model_on_its_way_is_not_there_yet(api: FakeApi, root: Path) -> None:
    gate = threading.Event()
    api.faults[WEIGHTS].append(gated(100_000, gate))
    thread = threading.Thread(target=downloads(api, root).find, args=(MODEL, SECRET))
    thread.start()
    api.wait_for(WEIGHTS)
    assert Cache(root).read(MODEL) is None
    assert {"environment.json", "class_names.txt"} <= {p.name for p in folder_of(root).iterdir()}
    gate.set()
    thread.join()
    assert Cache(root).read(MODEL) is not None


def start_pull(api: FakeApi, root: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    code = (
        "import sys; from pydantic import SecretStr; from streamkit.models.ids import parse;"
        "from streamkit.models.store.cache import Cache;"
        "from streamkit.models.store.downloads import Downloads;"
        "from streamkit.models.store.weights_api import WeightsApi;"
        "remote = WeightsApi(sys.argv[1]); print('ready', flush=True);"
        "found = Downloads(Cache(__import__('pathlib').Path(sys.argv[2])), [remote])"
        ".find(parse('street/3'), SecretStr(sys.argv[3])); print(found.names, flush=True)"
    )
    command = [sys.executable, "-W", "error", "-c", code, api.url, str(root), KEY]
    return process(command, stdout=subprocess.PIPE, cwd=ROOT)


def test_two_processes_at_once_are_one_download(api: FakeApi, root: Path) -> None:
    gate = threading.Event()
    api.faults[WEIGHTS].append(gated(100_000, gate))
    with start_pull(api, root) as first, start_pull(api, root) as second:
        api.wait_for(WEIGHTS)
        for pull in (first, second):
            assert pull.stdout is not None
            assert pull.stdout.readline() == "ready\n"
        gate.set()
        outputs = [pull.communicate(timeout=30)[0] for pull in (first, second)]
    assert outputs == [f"{NAMES}\n"] * 2
    assert api.paths() == ["/ort/street/3", "/files/street/3/environment", WEIGHTS]


def test_many_threads_at_once_are_one_download(api: FakeApi, root: Path) -> None:
    threads = [
        threading.Thread(target=downloads(api, root).find, args=(MODEL, SECRET)) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert api.paths().count(WEIGHTS) == 1


def test_after_a_sigkill_in_the_middle_the_next_goes_on(api: FakeApi, root: Path) -> None:
    never = threading.Event()
    api.faults[WEIGHTS].append(gated(300_000, never))
    with start_pull(api, root) as pull:
        until(lambda: sum(p.stat().st_size for p in folder_of(root).glob(".*.part")) > 200_000)
        pull.send_signal(signal.SIGKILL)
        pull.wait()
        began = time.monotonic()
        package = downloads(api, root).find(MODEL, SECRET)
        took = time.monotonic() - began
    never.set()
    assert package is not None
    assert took < 5.0
    assert package.weights.read_bytes() == api.files[WEIGHTS]
    resumed = api.ranges[-1]
    assert resumed is not None
    assert int(resumed.removeprefix("bytes=").removesuffix("-")) > 200_000


def test_who_waits_too_long_for_another_says_so(api: FakeApi, root: Path) -> None:
    with Cache(root).lock(MODEL):
        with pytest.raises(ModelCacheError, match="another process") as caught:
            Downloads(Cache(root, 0.05), downloads(api, root).remotes).find(MODEL, SECRET)
        assert caught.value.code == ModelErrorCode.CACHE_BUSY
        other = ModelId("street", "4")
        with Cache(root).lock(other, 0), Cache(root).lock(ModelId("lane", "3"), 0):
            pass  # the same version of another model is another lock
    with pytest.raises(ModelNotFoundError):
        Store([downloads(api, root)]).find(other, SECRET)


# -- disks -----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with needs_mounts(tmp_path / "small", "-t", "tmpfs", "-o", "size=17m", "tmpfs") as path:
        yield path


@pytest.fixture
def read_only(api: FakeApi, tmp_path: Path) -> Iterator[Path]:
    filled = tmp_path / "filled"
    downloads(api, filled).find(MODEL, SECRET)
    with needs_mounts(filled, "-o", "bind,ro", str(filled)) as path:
        yield path


def test_a_read_only_cache_is_read(api: FakeApi, read_only: Path) -> None:
    before = len(api.requests)
    assert downloads(api, read_only).find(MODEL, SECRET) is not None
    assert len(api.requests) == before


def test_a_read_only_cache_says_so_when_it_must_be_written(api: FakeApi, read_only: Path) -> None:
    with pytest.raises(ModelCacheError, match=r"read-only: .* MODEL_CACHE_DIR") as caught:
        downloads(api, read_only).find(parse("other/1"), SECRET)
    assert caught.value.code == ModelErrorCode.CACHE_READ_ONLY


def test_a_damaged_model_on_a_read_only_disk_is_told_of_as_such(
    api: FakeApi, tmp_path: Path
) -> None:
    filled = tmp_path / "filled"
    downloads(api, filled).find(MODEL, SECRET)
    flip(folder_of(filled) / "weights.onnx")
    with (
        needs_mounts(filled, "-o", "bind,ro", str(filled)) as path,
        pytest.raises(ModelArtefactError, match=r"weights\.onnx changed .* is read-only"),
    ):
        downloads(api, path).find(MODEL, SECRET)


def test_a_disk_that_is_too_small_is_known_beforehand(tmp_path: Path, small_disk: Path) -> None:
    with fake_api(tmp_path, 3_000_000) as api:  # with the margin, a megabyte is left for it
        with pytest.raises(ModelCacheError, match=r"the disk is full: .* 2 MB are") as caught:
            downloads(api, small_disk).find(MODEL, SECRET)
        assert caught.value.code == ModelErrorCode.CACHE_FULL
    assert not list(folder_of(small_disk).glob("*.onnx"))


def fill(disk: Path) -> None:
    """With all it takes, whoever else writes meanwhile."""
    with (disk / "other").open("wb", buffering=0) as other, suppress(OSError):
        while True:
            other.write(bytes(4096))


def test_a_disk_that_fills_up_meanwhile_leaves_nothing_half(
    tmp_path: Path, small_disk: Path
) -> None:
    gate = threading.Event()
    errors: list[ModelCacheError] = []
    with fake_api(tmp_path, 900_000) as api:
        api.faults[WEIGHTS].append(gated(100_000, gate))

        def want() -> None:
            try:
                downloads(api, small_disk).find(MODEL, SECRET)
            except ModelCacheError as error:
                errors.append(error)

        thread = threading.Thread(target=want)
        thread.start()
        api.wait_for(WEIGHTS)
        until(lambda: bool(list(folder_of(small_disk).glob(".*.part"))))
        fill(small_disk)
        gate.set()
        thread.join()
    assert [error.code for error in errors] == [ModelErrorCode.CACHE_FULL]
    assert not [p for p in folder_of(small_disk).iterdir() if "weights" in p.name]


def test_a_file_that_may_not_grow_is_a_full_disk(api: FakeApi, root: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(ModelCacheError, match="the disk is full") as caught:
            downloads(api, root).find(MODEL, SECRET)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.code == ModelErrorCode.CACHE_FULL
    assert downloads(api, root).find(MODEL, SECRET) is not None


def test_room_is_asked_of_the_disk(tmp_path: Path) -> None:
    require_room(tmp_path, 1)
    with pytest.raises(ModelCacheError):
        require_room(tmp_path, 1 << 60)


# -- the cache itself ------------------------------------------------------------------------


def test_a_model_can_be_removed(api: FakeApi, root: Path) -> None:
    downloads(api, root).find(MODEL, SECRET)
    write_folder(root / "mine" / "1")
    assert Cache(root).remove(MODEL) > 500_000
    assert [str(model) for model in Cache(root).models()] == ["mine/1"]
    assert not (root / "street").exists()
    assert Cache(root).remove(MODEL) == 0


def test_a_model_that_is_being_downloaded_is_not_removed(root: Path) -> None:
    write_folder(folder_of(root))
    with Cache(root).lock(MODEL), pytest.raises(ModelCacheError, match="street/3"):
        Cache(root).remove(MODEL, timeout=0)
    assert Cache(root).read(MODEL) is not None


def test_a_long_name_has_a_lock_too(root: Path) -> None:
    long = ModelId("é" * 90, "ü" * 90)
    with Cache(root).lock(long, 0), pytest.raises(ModelCacheError), Cache(root).lock(long, 0):
        pass


# -- a thousand ways to be damaged -----------------------------------------------------------


@pytest.mark.parametrize("name", [*FILES, "keypoints_metadata.json", SIDECAR])
def test_no_damage_goes_unnoticed(tmp_path: Path, root: Path, name: str) -> None:
    """1000 flipped bytes and cuts: a typed error, or the model as it was, by its own seal."""
    with fake_api(tmp_path) as api:
        skeleton = {"object_class_id": 0, "keypoints": {"0": "nose"}, "edges": []}
        api.replies["/ort/street/3"]["ort"]["keypoints_metadata"] = [skeleton]
        whole = downloads(api, root).find(MODEL, SECRET)
    offline = Downloads(Cache(root), offline=True)
    path = folder_of(root) / name
    good, random = path.read_bytes(), Random(name)
    unnoticed = 0
    for number in range(1000):
        path.write_bytes(damaged(good, random, cut=number % 4 == 0))
        try:
            assert offline.find(MODEL, None) == whole
        except ModelArtefactError:
            continue
        unnoticed += 1
    assert unnoticed == 0 or name == SIDECAR


def damaged(data: bytes, random: Random, *, cut: bool) -> bytes:
    if cut:
        return data[: random.randrange(len(data))]
    changed = bytearray(data)
    changed[random.randrange(len(data))] ^= random.randrange(1, 256)
    return bytes(changed)
