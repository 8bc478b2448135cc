from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

from streamkit.errors import ConfigError, SourceConnectionError, SourceError, StreamErrorCode
from streamkit.frame import Clock
from streamkit.sources import open_source
from streamkit.sources.base import Source
from tests.cameras import Camera, camera
from tests.clips import clip, numbers
from tests.sources.certificates import self_signed
from tests.sources.servers import listener, unused_port

pytestmark = pytest.mark.rtsp
NASTY = "p@ss:w/or?d#1% &äß"


def follow(seen: list[int], length: int = 300) -> bool:
    """Does each number follow the one before, round and round?"""
    return all((b - a) % length == 1 for a, b in pairwise(seen))


def first_error(source: Source) -> SourceError:
    with pytest.raises(SourceError) as caught, closing(source.read()) as captures:
        for _ in captures:
            pass
    return caught.value


def seconds_to_interrupt(source: Source, captures: Iterator[Any], when: float = 0.3) -> float:
    """How long a reading goes on after an interruption from another thread; it ends quietly."""
    called: list[float] = []

    def interrupt() -> None:
        called.append(time.monotonic())
        source.interrupt()

    timer = threading.Timer(when, interrupt)
    timer.start()
    try:
        list(captures)
    finally:
        timer.join()
    return time.monotonic() - called[0]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_is_read_in_order_over_either_transport(cam: Camera, transport: str) -> None:
    source = open_source(cam.url, transport=transport)
    with closing(source.read()) as captures:
        taken = list(islice(captures, 40))
    assert follow(numbers(taken))
    moments = [capture.timestamp for capture in taken]
    assert moments == sorted(moments)
    assert {capture.clock for capture in taken[1:]} <= {Clock.PTS, Clock.RTCP}
    assert source.live
    assert source.properties is not None
    assert (source.properties.width, source.properties.height) == (320, 240)
    assert not source.properties.is_file


@pytest.mark.parametrize(("codec", "suffix"), [("libx265", "mp4"), ("mjpeg", "mov")])
def test_other_codecs_come_through(tmp_path: Path, codec: str, suffix: str) -> None:
    made = clip(tmp_path / f"clip.{suffix}", frames=60, codec=codec)
    with camera(made) as cam, closing(open_source(cam.url).read()) as captures:
        assert follow(numbers(islice(captures, 20)), 60)


def test_the_declared_rate_is_reported_and_the_real_one_is_seen(camera_clip: Path) -> None:
    with camera(camera_clip, real_fps=15) as cam:
        source = open_source(cam.url)
        with closing(source.read()) as captures:
            taken = list(islice(captures, 35))[5:]
    assert source.properties is not None
    assert source.properties.fps == 30
    lasted = (taken[-1].timestamp - taken[0].timestamp).total_seconds()
    assert 12 < (len(taken) - 1) / lasted < 19


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_nasty_passwords_log_in_and_are_never_told(camera_clip: Path, auth: str) -> None:
    with camera(camera_clip, auth=auth, password=NASTY) as cam:
        apart = open_source(cam.open_url, username="user", password=NASTY)
        raw = open_source(f"rtsp://user:{NASTY}@127.0.0.1:{cam.port}/live")
        for source in (open_source(cam.url), apart, raw):
            with closing(source.read()) as captures:
                next(captures)
            assert source.reference == f"rtsp://***@127.0.0.1:{cam.port}/live"


def test_a_wrong_password_is_a_failed_login(
    camera_clip: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with camera(camera_clip, auth="digest") as cam:
        for wrong in ("nobody:SECRET@", ""):
            error = first_error(open_source(cam.open_url.replace("127", wrong + "127")))
            assert isinstance(error, SourceConnectionError)
            assert error.code is StreamErrorCode.AUTH_FAILED
            told = f"{error!r} {error} {error.__cause__!r} {error.__cause__}"
            assert "SECRET" not in told
            assert error.source_reference is not None
    out, err = capfd.readouterr()
    assert "SECRET" not in out + err


def test_an_unknown_path_is_not_found(cam: Camera) -> None:
    assert first_error(open_source(cam.url + "s")).code is StreamErrorCode.NOT_FOUND


def test_a_refused_transport_is_a_connection_error(camera_clip: Path) -> None:
    with camera(camera_clip, transport="udp") as cam:
        error = first_error(open_source(cam.url, transport="tcp"))
        assert isinstance(error, SourceConnectionError)


def test_a_port_nobody_listens_on_refuses() -> None:
    error = first_error(open_source(f"rtsp://127.0.0.1:{unused_port()}/live"))
    assert error.code is StreamErrorCode.REFUSED


def test_a_name_nobody_knows_is_unreachable() -> None:
    error = first_error(open_source("rtsp://camera.invalid/live"))
    assert error.code is StreamErrorCode.UNREACHABLE
    assert "camera.invalid" in str(error)


def test_who_accepts_and_says_nothing_times_out() -> None:
    with listener() as port:
        error = first_error(open_source(f"rtsp://127.0.0.1:{port}/x", open_timeout=0.5))
        assert error.code is StreamErrorCode.TIMEOUT


def say(line: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(line)
        connection.close()

    return serve


def test_who_speaks_another_language_is_no_camera() -> None:
    for line, told in ((b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak"), (b"", "closed")):
        with listener(say(line)) as port:
            error = first_error(open_source(f"rtsp://127.0.0.1:{port}/x"))
            assert isinstance(error, SourceConnectionError)
            assert told in str(error)


def only_options(connection: socket.socket) -> None:
    """A camera that answers OPTIONS and nothing else."""
    request = connection.recv(4096)
    if request.startswith(b"OPTIONS"):
        connection.sendall(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: OPTIONS\r\n\r\n")


def test_who_hangs_in_the_handshake_times_out() -> None:
    with listener(only_options) as port:
        begun = time.monotonic()
        error = first_error(open_source(f"rtsp://127.0.0.1:{port}/x", open_timeout=1.5))
        assert error.code is StreamErrorCode.TIMEOUT
        assert time.monotonic() - begun < 6


def answering_late(port: int, seconds: float) -> Callable[[socket.socket], None]:
    """A relay to the camera at ``port`` that holds back its answers to DESCRIBE."""

    def serve(client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as server:
            describing = threading.Event()

            def ask() -> None:
                with suppress(OSError):
                    while request := client.recv(65536):
                        if request.startswith(b"DESCRIBE"):
                            describing.set()
                        server.sendall(request)
                    server.shutdown(socket.SHUT_RDWR)

            threading.Thread(target=ask, daemon=True).start()
            while answer := server.recv(65536):
                if describing.is_set():
                    describing.clear()
                    threading.Event().wait(seconds)
                client.sendall(answer)

    return serve


def test_a_camera_that_is_slow_to_describe_itself_is_given_the_time(cam: Camera) -> None:
    with listener(answering_late(cam.port, 1.5)) as port:
        source = open_source(f"rtsp://127.0.0.1:{port}/live")
        with closing(source.read()) as captures:
            assert follow(numbers(islice(captures, 20)))


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_that_hangs_up_is_lost_and_can_be_read_again(cam: Camera, transport: str) -> None:
    source = open_source(cam.url, transport=transport, read_timeout=2.0)
    captures = source.read()
    next(captures)
    cam.drop()
    with pytest.raises(SourceError) as caught:
        list(captures)
    assert caught.value.code in (StreamErrorCode.LOST, StreamErrorCode.TIMEOUT)
    with closing(source.read()) as again:
        assert follow(numbers(islice(again, 5)))


def test_a_camera_that_loses_power_is_lost(cam: Camera) -> None:
    captures = open_source(cam.url).read()
    next(captures)
    cam.kill()
    with pytest.raises(SourceError) as caught:
        list(captures)
    assert caught.value.code is StreamErrorCode.LOST


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_that_falls_silent_times_out(cam: Camera, transport: str) -> None:
    captures = open_source(cam.url, transport=transport, read_timeout=1.0).read()
    next(captures)
    cam.stall()
    with pytest.raises(SourceError, match="nothing came") as caught:
        list(captures)
    assert caught.value.code is StreamErrorCode.TIMEOUT


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_silence_shorter_than_the_limit_is_waited_out(cam: Camera, transport: str) -> None:
    with closing(open_source(cam.url, transport=transport).read()) as captures:
        before = numbers(islice(captures, 5))
        cam.stall()
        timer = threading.Timer(1.8, cam.resume)
        timer.start()
        after = numbers(islice(captures, 60))
        timer.join()
    gaps = [(a, b) for a, b in pairwise(before + after) if (b - a) % 300 != 1]
    assert len(after) == 60
    assert len(gaps) == 1, gaps


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("state", ["flowing", "stalled", "frozen"])
def test_reading_is_interrupted_soon(cam: Camera, transport: str, state: str) -> None:
    source = open_source(cam.url, transport=transport)
    captures = source.read()
    next(captures)
    if state == "stalled":
        cam.stall()
    elif state == "frozen":
        cam.freeze()
    assert seconds_to_interrupt(source, captures) < 2


def test_connecting_is_interrupted_soon() -> None:
    with listener() as port:
        source = open_source(f"rtsp://127.0.0.1:{port}/x")
        assert seconds_to_interrupt(source, source.read()) < 1


def test_a_handshake_that_hangs_is_interrupted_soon() -> None:
    with listener(only_options) as port:
        source = open_source(f"rtsp://127.0.0.1:{port}/x")
        assert seconds_to_interrupt(source, source.read(), 0.1) < 2


def test_an_address_that_swallows_everything_is_interrupted_soon() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        # Two connections fill the queue; Linux then drops further SYNs, as a dead host does.
        with socket.create_connection(("127.0.0.1", port)), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(("127.0.0.1", port))
            source = open_source(f"rtsp://127.0.0.1:{port}/x")
            assert seconds_to_interrupt(source, source.read()) < 1


def test_a_source_interrupted_before_it_is_read_gives_nothing(cam: Camera) -> None:
    source = open_source(cam.url)
    source.interrupt()
    assert list(source.read()) == []


def test_rtsps_is_verified_unless_told_otherwise(camera_clip: Path, tmp_path: Path) -> None:
    made = self_signed(tmp_path / "right")
    with camera(camera_clip, certificate=made.file) as cam:
        assert cam.url.startswith("rtsps://")
        error = first_error(open_source(cam.url))
        assert error.code is StreamErrorCode.TLS_CERTIFICATE
        for options in ({"tls_verify": False}, {"ca_file": str(made.authority)}):
            with closing(open_source(cam.url, **options).read()) as captures:
                assert follow(numbers(islice(captures, 5)))
    elsewhere = self_signed(tmp_path / "wrong", "192.0.2.1")
    with camera(camera_clip, certificate=elsewhere.file) as cam:
        error = first_error(open_source(cam.url, ca_file=str(elsewhere.authority)))
        assert error.code is StreamErrorCode.TLS_CERTIFICATE


def test_rtsps_to_a_camera_without_tls_fails_in_the_handshake(cam: Camera) -> None:
    error = first_error(open_source(cam.url.replace("rtsp", "rtsps")))
    assert error.code is StreamErrorCode.TLS_HANDSHAKE


def test_transports_are_named_when_a_wrong_one_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="tcp, udp"):
        open_source("rtsp://cam/live", transport="pigeon")
