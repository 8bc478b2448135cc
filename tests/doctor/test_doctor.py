"""The doctor at real cameras: what is wrong is found, named and explained."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from streamkit.chaos.camera import Camera
from streamkit.chaos.lab import Lab
from streamkit.cli import app
from streamkit.doctor.examine import Examination
from streamkit.doctor.findings import Finding, Verdict
from streamkit.errors import ConfigError
from tests.cameras import camera
from tests.clips import clip

PASSWORD = 'p@ss: "/?#%&\\ ü'


@pytest.fixture(scope="module")
def declares_30(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("clips") / "thirty.mp4", frames=60, fps=30, gop=15)


def examined(reference: str, seconds: float = 1.5, **options: Any) -> dict[str, Finding]:
    examination = Examination(reference, options, seconds)
    return {finding.step: finding for finding in examination.steps()}


@pytest.mark.rtsp
@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_a_camera_in_order_is_described_with_its_figures(declares_30: Path, auth: str) -> None:
    with camera(declares_30, real_fps=15, auth=auth, password=PASSWORD) as cam:
        examination = Examination(cam.url, {}, 2.5)
        found = {finding.step: finding for finding in examination.steps()}
    steps = ["name", "connection", "description", "tcp", "udp", "rate", "key frames", "clock"]
    assert list(found)[:9] == [*steps, "pictures"]
    assert found["description"].facts["auth"] == auth
    readable = Verdict.WARNING if auth == "basic" else Verdict.GOOD
    assert found["description"].verdict is readable
    for transport in ("tcp", "udp"):
        assert found[transport].facts["lost"] == 0
        assert found[transport].facts["fps"] == pytest.approx(15, rel=0.1)
    assert found["rate"].verdict is Verdict.WARNING
    assert (found["rate"].facts["declared"], found["key frames"].facts["gop"]) == (30, 15)
    assert found["pictures"].facts["width"] == 320
    assert examination.recommendation == {
        "reference": cam.open_url,
        "username": "env:CAM_USER",
        "password": "env:CAM_PASSWORD",
        "transport": "tcp",
    }
    told = json.dumps(examination.as_dict(), ensure_ascii=False) + repr(examination.findings)
    assert PASSWORD not in told
    assert cam.url not in told


@pytest.mark.rtsp
def test_passwords_and_paths_that_are_wrong_are_told_apart(declares_30: Path) -> None:
    with camera(declares_30, auth="digest") as cam:
        missing = examined(cam.open_url)["description"]
        wrong = examined(cam.open_url, username="user", password="no")["description"]
        elsewhere = examined(cam.url.replace("/live", "/other"))["description"]
    assert (missing.code, wrong.code) == ("STREAM_AUTH_FAILED", "STREAM_AUTH_FAILED")
    assert "wants a user and a password (digest)" in missing.text
    assert "not accepted" in wrong.text
    assert elsewhere.code == "STREAM_NOT_FOUND"
    assert all(finding.advice for finding in (missing, wrong, elsewhere))


@pytest.mark.rtsp
def test_credentials_by_reference_are_looked_up_and_stay_references(
    declares_30: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOOR_USER", "user")
    monkeypatch.setenv("DOOR_PASSWORD", PASSWORD)
    with camera(declares_30, auth="digest", password=PASSWORD) as cam:
        named = {"username": "env:DOOR_USER", "password": "env:DOOR_PASSWORD"}
        apart = Examination(cam.open_url, named, 1.0)
        place = cam.open_url.removeprefix("rtsp://")
        inside = Examination(f"rtsp://${{DOOR_USER}}:${{DOOR_PASSWORD}}@{place}", {}, 1.0)
        for examination in (apart, inside):
            assert Verdict.FAILED not in {finding.verdict for finding in examination.steps()}
    assert apart.recommendation == {"reference": cam.open_url, **named, "transport": "tcp"}
    assert inside.recommendation == {
        "reference": f"rtsp://${{DOOR_USER}}:${{DOOR_PASSWORD}}@{place}",
        "transport": "tcp",
    }
    assert PASSWORD not in repr((apart, inside, apart.as_dict(), inside.as_dict()))


@pytest.mark.rtsp
@pytest.mark.parametrize(("offered", "other"), [("tcp", "udp"), ("udp", "tcp")])
def test_the_transport_that_works_is_recommended(
    declares_30: Path, offered: str, other: str
) -> None:
    with camera(declares_30, transport=offered) as cam:
        examination = Examination(cam.url, {}, 1.5)
        found = {finding.step: finding for finding in examination.steps()}
    assert found[other].verdict is Verdict.SKIPPED
    assert found[offered].verdict is Verdict.GOOD
    assert examination.recommendation is not None
    assert examination.recommendation["transport"] == offered


@pytest.mark.rtsp
@pytest.mark.parametrize(
    ("fault", "code"), [("freeze", "STREAM_FROZEN"), ("black", "STREAM_BLACK")]
)
def test_pictures_that_show_nothing_are_told(fault: str, code: str) -> None:
    with Lab([Camera(name="a")], seed=1) as lab:
        lab["a"].fault(fault)
        found = examined(lab["a"].url, seconds=4.0)
    assert (found["view"].verdict, found["view"].code) == (Verdict.WARNING, code)
    assert found["view"].advice


def test_no_address_shows_its_password() -> None:
    told = CliRunner().invoke(app, ["doctor", "https://user:geheim99@127.0.0.1:9/x.mp4"])
    assert told.exit_code == 3
    assert "https://***@127.0.0.1:9/x.mp4" in told.output
    assert "geheim99" not in told.output


@pytest.mark.parametrize("address", ["rtsp://", "rtsp:///live", "rtsp://u:p@camera:99999/live"])
def test_an_address_without_a_possible_host_and_port_is_wrong(address: str) -> None:
    with pytest.raises(ConfigError, match="no valid host and port"):
        Examination(address)


@contextmanager
def answering(reply: bytes) -> Iterator[str]:
    """Somebody who answers every connection's first words with ``reply`` and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak RTSP"),
        (b"", "hung up"),
        (b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 99999999\r\n\r\n", "bytes"),
    ],
)
def test_strangers_on_the_port_are_recognised(reply: bytes, said: str) -> None:
    with answering(reply) as place:
        found = examined(f"rtsp://{place}/live")
    assert list(found) == ["name", "connection"]
    assert found["connection"].verdict is Verdict.FAILED
    assert said in found["connection"].text


def test_tls_with_somebody_who_speaks_none_fails_in_the_handshake() -> None:
    with answering(b"RTSP/1.0 200 OK\r\n\r\n") as place:
        found = examined(f"rtsps://{place}/live")["connection"]
    assert found.code == "STREAM_TLS_HANDSHAKE"
    assert "rtsp://" in found.advice


def test_nobody_there_and_no_such_name() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refused = examined(f"rtsp://127.0.0.1:{unused.getsockname()[1]}/x")["connection"]
    assert refused.code == "STREAM_REFUSED"
    assert examined("rtsp://no-such-camera.invalid/x")["name"].code == "STREAM_UNREACHABLE"
    with pytest.raises(ConfigError, match="gopher"):
        Examination("gopher://x")


def test_files_are_looked_at_too(declares_30: Path) -> None:
    (pictures,) = examined(str(declares_30)).values()
    assert pictures.facts["cpu_per_picture"] > 0
    assert "core" not in pictures.text, "a file is decoded as fast as it goes"


@pytest.mark.rtsp
def test_the_command_says_it_in_lines_or_in_json_and_its_exit_code_tells(
    declares_30: Path,
) -> None:
    run = CliRunner().invoke
    with camera(declares_30, auth="digest") as cam:
        told = run(app, ["doctor", cam.url, "--seconds", "1"])
        as_json = run(app, ["doctor", cam.open_url, "--seconds", "1", "--json"])
    assert told.exit_code == 0
    assert "password: env:CAM_PASSWORD" in told.output
    assert "pass@" not in told.output
    assert as_json.exit_code == 3
    assert json.loads(as_json.output)["verdict"] == "failed"
