"""``streamkit models`` as a stranger meets it, against a weights API on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from streamkit.models.ids import parse
from streamkit.models.store.cache import Cache
from tests.models.graphs import write_folder
from tests.models.servers import KEY, FakeApi, gated, status
from tests.processes import process

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``streamkit models ...``, with the key in a file."""
    file = tmp_path / "key.txt"
    file.write_text(KEY)
    monkeypatch.setenv("STREAMKIT_API_KEY_FILE", str(file))
    monkeypatch.setenv("API_BASE_URL", api.url)
    monkeypatch.setenv("MODEL_CACHE_DIR", str(tmp_path / "cache"))

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-m", "streamkit", "models"]
        command += [str(argument) for argument in arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    return run


def test_a_model_is_pulled_shown_warmed_and_removed(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "street" / "3"
    pulled = run("pull", "street/3")
    assert (pulled.returncode, pulled.stderr) == (0, "")  # no bar in a pipe
    assert pulled.stdout == f"street/3: 0.5 MB in {folder}\n"
    listed = run("list").stdout
    for text in ("street/3", "object-detection", "yolov8n", "0.5 MB", "the weights API at"):
        assert text in listed
    shown = run("show", "street/3").stdout
    for text in ("3: a, b, c", "Stretch to 64 x 64", "weights.onnx", "sha256"):
        assert text in shown
    warmed = run("warm", "street/3")
    assert "CPUExecutionProvider" in warmed.stdout, warmed.stderr
    assert run("where", "street/3").stdout == f"{folder}\n"
    assert run("where").stdout == f"{tmp_path / 'cache'}\n"
    removed = run("rm", "street/3")
    assert removed.stdout == "street/3: 0.5 MB freed\n"
    assert "no models in" in run("list").stdout
    assert not folder.exists()


def test_a_terminal_is_shown_the_progress(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    assert run("where").returncode == 0  # the environment is set
    monkeypatch.setenv("TERM", "xterm")
    gate = threading.Event()
    api.faults["/files/street/3/weights"].append(gated(300_000, gate))
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "streamkit", "models", "pull", "street/3"]
    with process(command, stdout=subprocess.PIPE, stderr=theirs) as pull:
        os.close(theirs)
        seen = b""
        while b"weights.onnx" not in seen:
            seen += os.read(ours, 4096)
        gate.set()
        while piece := _read(ours):
            seen += piece
        assert pull.wait(30) == 0
    os.close(ours)
    assert "MB" in seen.decode() or "kB" in seen.decode()
    assert Cache(tmp_path / "cache").read(parse("street/3")) is not None


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # how Linux tells that nobody writes there any more
        return b""


def test_a_stub_is_pulled_and_listed(run: Run) -> None:
    assert run("pull", "street/0").returncode == 0
    assert "stub" in run("list").stdout
    assert "keypoint-detection" in run("show", "street/0").stdout


def said(done: subprocess.CompletedProcess[str], code: int, *texts: str) -> None:
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for text in ("error: ", *texts):
        assert text in done.stderr


def test_a_wrong_key_ends_with_one_line(run: Run, api: FakeApi) -> None:
    done = run("pull", "street/3", "--api-key", "nonsense-1234")
    said(done, 4, "street/3", "401", "ROBOFLOW_API_KEY")
    assert "nonsense-1234" not in done.stderr
    api.workspaces.clear()
    said(run("pull", "street/3"), 4, "401")


def test_mistakes_end_with_one_line(run: Run, api: FakeApi, tmp_path: Path) -> None:
    said(run("pull", "nothing/1"), 4, "no model 'nothing/1'", "the weights API at")
    said(run("pull", "a/b/c"), 2, "dataset/version")
    said(run("show", "street/3"), 4, "streamkit models pull street/3")
    said(run("where", "street/3"), 4, "streamkit models pull street/3")
    said(run("rm", "street/3"), 4, "no model 'street/3'")
    said(run("pull", "street/3", "--api-key-file", tmp_path / "none"), 2, "No such file")
    api.faults["/ort/street/3"].append(status(423))
    said(run("pull", "street/3"), 4, "423")


def test_offline_is_told_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFLINE_MODE", "1")
    said(run("pull", "street/3"), 4, "OFFLINE_MODE")


def test_a_damaged_model_is_listed_and_healed(run: Run, tmp_path: Path) -> None:
    run("pull", "street/3")
    (tmp_path / "cache" / "street" / "3" / "model_type.json").write_text("{")
    assert "?" in run("list").stdout
    said(run("show", "street/3"), 4, "model_type.json changed")
    assert run("pull", "street/3").returncode == 0
    assert Cache(tmp_path / "cache").read(parse("street/3")) is not None


def test_what_somebody_put_there_is_listed_as_such(run: Run, tmp_path: Path) -> None:
    write_folder(tmp_path / "cache" / "mine" / "1")
    assert "put here" in run("list").stdout
    assert run("show", tmp_path / "cache" / "mine" / "1").returncode == 0
