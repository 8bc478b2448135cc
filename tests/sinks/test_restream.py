"""The picture sent on: real receivers get every picture at its time, and nobody waits for them."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from streamkit import InferencePipeline
from streamkit.errors import ConfigError, SinkError
from streamkit.frame import VideoFrame
from streamkit.imaging.card import card
from streamkit.predictions import Result
from streamkit.sinks import RestreamSink, open_sink
from streamkit.sinks.outlet import Target
from tests import fakes
from tests.processes import process
from tests.recording.making import pictures_of
from tests.sinks.making import START, frame, result

RECEIVER = """
import sys
import av
from streamkit.sources.numbered import decode_number
print("listening", flush=True)
options = dict(pair.split("=") for pair in sys.argv[2].split(",") if pair)
with av.open(sys.argv[1], options=options, timeout=(20, 20)) as container:
    try:
        for picture in container.decode(video=0):
            number = decode_number(picture.to_ndarray(format="bgr24"))
            print(picture.time, number, flush=True)
    except OSError:
        pass
"""
"""FFmpeg as the server that takes the stream."""
OPTIONS = {"rtsp": "rtsp_flags=listen,listen_timeout=20", "rtmp": "listen=1", "udp": ""}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def receiver(url: str) -> Iterator[subprocess.Popen[str]]:
    scheme = url.partition(":")[0]
    listening = f"{url}?fifo_size=100000" if scheme == "udp" else url
    command = [sys.executable, "-c", RECEIVER, listening, OPTIONS[scheme]]
    with process(command, stdout=subprocess.PIPE) as listener:
        assert listener.stdout is not None
        assert listener.stdout.readline()
        yield listener


def connected(sink: RestreamSink, number: int = 0) -> None:
    """Send pictures from ``number`` on until somebody takes them."""

    def taken() -> bool:
        try:
            sink.write(result(number))
        except SinkError:
            return False
        return bool(sink.stats()["connected"])

    fakes.until(taken)


@pytest.mark.parametrize("scheme", ["rtsp", "rtmp"])
def test_a_server_gets_every_picture_at_its_time(scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:{free_port()}/live/one"
    sink = RestreamSink(url, retry=0.05)
    with receiver(url) as server:
        connected(sink)
        for number in range(1, 60):
            sink.write(result(number, at=number / 25 + (number >= 30) * 2))
        sink.close()
        assert server.stdout is not None
        lines = [line.split() for line in server.stdout]

    assert [int(number) for _, number in lines] == list(range(60))
    times = [float(at) for at, _ in lines[2:]]
    steps = [round(b - a, 2) for a, b in pairwise(times)]
    assert [step for step in steps if abs(step - 0.04) > 0.02] == [2.04]


def test_mpeg_ts_goes_out_over_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(10)
        sink = RestreamSink(f"udp://127.0.0.1:{ear.getsockname()[1]}")
        for number in range(30):
            sink.write(result(number, at=number / 25))
        sink.close()

        assert ear.recv(65536)[:1] == b"G"


def test_a_server_that_goes_away_is_found_again_and_nobody_waits() -> None:
    url = f"rtsp://127.0.0.1:{free_port()}/live"
    sink = RestreamSink(url, retry=0.2)
    with receiver(url):
        connected(sink)

    errors, longest = list[str](), 0.0
    for number in range(200):
        begun = time.monotonic()
        try:
            sink.write(result(number, at=1 + number / 25))
        except SinkError as error:
            errors.append(str(error))
        longest = max(longest, time.monotonic() - begun)
    assert errors
    assert all(url in error for error in errors)
    assert not sink.stats()["connected"]
    assert sink.stats()["pictures_lost"] > 100
    assert longest < 5

    with receiver(url) as server:
        connected(sink, 7)
        for number in range(7, 30):
            sink.write(result(number, at=100 + number / 25))
        sink.close()
        assert server.stdout is not None
        numbers = [int(line.split()[1]) for line in server.stdout]
    assert numbers[-5:] == list(range(25, 30))
    assert sink.stats()["connections"] == 2


def test_a_silent_server_costs_seconds_and_not_the_pipeline() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        for scheme in ("rtsp", "rtmp"):
            begun = time.monotonic()
            with pytest.raises(SinkError, match=f"{scheme}://127.0.0.1"):
                RestreamSink(f"{scheme}://127.0.0.1:{port}/live/key").write(result(1))
            assert time.monotonic() - begun < 15


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://user:1234/5@a.example/live", "rtsp://***"),
        ("rtsp://user:12#45@a.example:8554/live", "rtsp://***"),
        ("rtmp://user:12?45@a.example/app/key", "rtmp://***"),
        ("rtsp://user:12@45@a.example:8554/live?x=1", "rtsp://a.example:8554/live"),
        ("rtsp://[::1]:8554/live", "rtsp://[::1]:8554/live"),
        ("rtsp://a.example:port/live", "rtsp://a.example:port/live"),
    ],
)
def test_no_part_of_a_password_is_shown_however_it_is_written(url: str, shown: str) -> None:
    assert str(Target(url)) == shown


def test_no_secret_is_in_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSH_URL", f"rtmp://127.0.0.1:{free_port()}/live/streamkey-xyz")
    hidden = RestreamSink("env:PUSH_URL")
    known = RestreamSink(
        f"rtsp://bob:hunter22@127.0.0.1:{free_port()}/live", username="me", password="s3cret!"
    )
    for sink in (hidden, known):
        with pytest.raises(SinkError) as caught:
            sink.write(result(1))
        texts = f"{caught.value!r} {caught.value.__cause__!r} {sink.__dict__!r} {sink._target}"
        for secret in ("streamkey", "hunter22", "s3cret", "bob"):
            assert secret not in texts


def test_hls_is_a_playlist_with_its_segments_and_the_next_run_clears_them(tmp_path: Path) -> None:
    path = tmp_path / "live" / "index.m3u8"
    for _ in range(2):
        sink = RestreamSink(path=path)
        for number in range(120):
            sink.write(result(number, at=number / 25))
        sink.close()

    listed = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    there = sorted(each.name for each in path.parent.iterdir())
    assert there == sorted([*listed, "index.init.mp4", "index.m3u8"])
    whole = tmp_path / "whole.mp4"
    parts = ["index.init.mp4", *listed]
    whole.write_bytes(b"".join((path.parent / name).read_bytes() for name in parts))
    pictures = pictures_of(whole)
    assert [number for _, number in pictures] == list(range(120))
    assert [at for at, _ in pictures] == pytest.approx([n / 25 for n in range(120)], abs=0.01)


class Sent:
    """In place of a connection: what would be sent."""

    def __init__(self) -> None:
        self.pictures: list[tuple[Any, int]] = []

    def send(self, image: Any, position: int) -> None:
        self.pictures.append((image, position))

    def close(self) -> None: ...

    def drop(self) -> None: ...


def ticked(sink: RestreamSink, sent: Sent) -> int:
    """How many pictures were sent, after a tick."""
    sink.tick()
    return len(sent.pictures)


def test_a_card_is_shown_while_the_camera_is_away() -> None:
    sink, sent = RestreamSink("udp://127.0.0.1:9", patience=0.2), Sent()
    sink._outlet = sent  # type: ignore[assignment]
    sink.follow(0, lambda: "gate", None)
    live = VideoFrame(frame(1).image, 1, START, source_id=0, comes_from_video_file=False)
    sink.tick()
    assert not sent.pictures  # of what size?

    sink.write(Result(live, None))
    fakes.until(lambda: ticked(sink, sent) >= 3)

    first, *cards = sent.pictures
    assert first[1] == 0
    assert all((image == card((320, 240), "gate", START)).all() for image, _ in cards)
    positions = [position for _, position in cards]
    assert positions[0] == pytest.approx(1e6, abs=6e5)
    assert positions[1] - positions[0] == pytest.approx(1e6, abs=6e5)
    assert sink.stats()["cards"] == 2


def test_before_the_first_picture_a_card_says_so_and_time_goes_on_from_there() -> None:
    sink, sent = RestreamSink("udp://127.0.0.1:9", size=(320, 240)), Sent()
    sink._outlet = sent  # type: ignore[assignment]
    sink.follow(0, lambda: "gate", None)
    fakes.until(lambda: ticked(sink, sent) >= 3)

    sink.write(result(1, at=0.0))
    sink.write(result(2, at=0.04))

    assert (sent.pictures[0][0] == card((320, 240), "gate", None)).all()
    positions = [position for _, position in sent.pictures]
    assert positions == sorted(set(positions))
    assert positions[-1] - positions[-2] == 40_000
    assert positions[-2] >= 2_000_000


def test_several_streams_share_one_picture() -> None:
    sink, sent = RestreamSink("udp://127.0.0.1:9", fps=10), Sent()
    sink._outlet = sent  # type: ignore[assignment]
    for source_id in (0, 1):
        sink.follow(source_id, lambda: "gate", None)

    for number in range(10):
        for source_id in (0, 1):
            sink.write(result(number, at=number / 25, source_id=source_id))
    sink.forget(1)
    sink.write(result(50, at=3.0, source_id=0))

    assert {image.shape for image, _ in sent.pictures} == {(720, 1280, 3), (240, 320, 3)}
    assert 3 <= len(sent.pictures) <= 7


def test_a_finite_source_does_not_wait_for_a_network() -> None:
    """Nobody listens; the file is read to its end all the same."""

    def seen(frames: list[VideoFrame]) -> list[Any]:
        return [None for _ in frames]

    pipeline = InferencePipeline.init_with_custom_logic(
        fakes.Clip(200), seen, sinks=[RestreamSink(f"rtsp://127.0.0.1:{free_port()}/live")]
    )
    pipeline.start()
    pipeline.join(timeout=20)

    (account,) = pipeline.stats()["sinks"]
    assert not account["connected"]
    assert pipeline.stats()["streams"][0]["delivered"] == 200


@pytest.mark.parametrize(
    "wrong",
    [{}, {"url": "http://a/b"}, {"url": "nothing"}, {"path": "live.mp4"}, {"retry": 0},
     {"url": "rtsp://a/b", "path": "x.m3u8"}, {"url": "rtsp://a/b", "preset": "best"}],
)  # fmt: skip
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        open_sink("restream", wrong)


def test_a_target_shows_neither_login_nor_key() -> None:
    assert str(Target("rtmp://a.example:1936/live/key")) == "rtmp://a.example:1936/***"
    assert "key" not in repr(Target("rtmp://a.example/live/key", None, "me", "secret"))
