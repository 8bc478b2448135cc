from __future__ import annotations

import hashlib
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import pytest

from streamkit.errors import SourceConnectionError, SourceError, StreamErrorCode
from streamkit.frame import Clock
from streamkit.sources import open_source
from streamkit.sources.hls import Piece, parse_playlist
from streamkit.sources.numbered import encode_number
from tests.clips import clip, numbers
from tests.sources.certificates import self_signed
from tests.sources.servers import Request, unused_port, web
from tests.sources.test_rtsp import first_error, seconds_to_interrupt

LENGTH = 50


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its index is at the end: without ranges it cannot be read from a pipe."""
    return clip(tmp_path_factory.mktemp("movie") / "movie.mp4", frames=LENGTH, b_frames=2)


def serve(path: Path) -> Callable[[Request], None]:
    return lambda request: request.reply_file(path)


def jpegs(wait: threading.Event | None = None) -> Callable[[Request], None]:
    """A camera's MJPEG; with ``wait`` it falls silent after ten pictures."""

    def answer(request: Request) -> None:
        request.begin("multipart/x-mixed-replace; boundary=frame")
        for number in range(10 if wait else 400):
            data = cv2.imencode(".jpg", encode_number(number))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            request.wfile.write(head.encode() + data + b"\r\n")
        if wait:
            wait.wait(20)

    return answer


def test_a_recording_is_finite_and_every_picture_comes_once(movie: Path) -> None:
    with web(serve(movie)) as address:
        source = open_source(f"{address}/movie.mp4?token=SECRET")
        assert not source.live
        captures = list(source.read())
        assert numbers(captures) == list(range(LENGTH))
        assert numbers(source.read()) == list(range(LENGTH))
    assert "SECRET" not in source.reference
    assert {capture.clock for capture in captures} == {Clock.PTS}
    assert source.properties is not None
    assert source.properties.is_file
    assert source.properties.total_frames == LENGTH


def test_a_recording_begins_when_it_is_told_to(movie: Path) -> None:
    with web(serve(movie)) as address:
        source = open_source(f"{address}/movie.mp4", started_at="2026-05-01T12:00:00+02:00")
        assert next(source.read()).timestamp == datetime(2026, 5, 1, 10, tzinfo=UTC)
        before = datetime.now(UTC)
        assert next(open_source(f"{address}/movie.mp4").read()).timestamp >= before


def test_a_server_without_ranges_is_read_from_front_to_back(tmp_path: Path) -> None:
    front = clip(tmp_path / "a.mp4", options={"movflags": "faststart"})
    with web(lambda request: request.reply(front.read_bytes(), "video/mp4")) as address:
        source = open_source(f"{address}/a")
        assert not source.live
        assert numbers(source.read()) == list(range(LENGTH))


def test_a_recording_without_a_length_is_known_by_its_duration(tmp_path: Path) -> None:
    front = clip(tmp_path / "a.mp4", options={"movflags": "faststart"})

    def answer(request: Request) -> None:
        request.begin("video/mp4")
        request.wfile.write(front.read_bytes())

    with web(answer) as address:
        source = open_source(f"{address}/a")
        assert not source.live
        assert numbers(source.read()) == list(range(LENGTH))


def test_an_endless_answer_is_live_and_its_end_is_a_loss(tmp_path: Path) -> None:
    stream = clip(tmp_path / "a.ts")

    def answer(request: Request) -> None:
        request.begin("video/mp2t")
        request.wfile.write(stream.read_bytes())

    with web(answer) as address:
        source = open_source(f"{address}/a")
        seen: list[int] = []
        captures = source.read()
        with pytest.raises(SourceError) as caught:
            seen.extend(numbers([capture])[0] for capture in captures)
    assert source.live
    assert seen == list(range(LENGTH))
    assert caught.value.code is StreamErrorCode.LOST


def test_start_skips_the_beginning(movie: Path) -> None:
    with web(serve(movie)) as address:
        assert numbers(open_source(f"{address}/a", start=1.0).read()) == list(range(25, LENGTH))


def test_the_caller_may_decide_that_it_is_live(movie: Path) -> None:
    with web(serve(movie)) as address:
        assert open_source(f"{address}/a", live=True).live


def test_a_transfer_that_breaks_off_is_a_loss(tmp_path: Path) -> None:
    front = clip(tmp_path / "a.mp4", frames=200, options={"movflags": "faststart"})
    data = front.read_bytes()

    def answer(request: Request) -> None:
        request.begin("video/mp4", Content_Length=str(len(data)))
        request.wfile.write(data[: len(data) // 2])

    with web(answer) as address:
        error = first_error(open_source(f"{address}/a"))
    assert error.code is StreamErrorCode.LOST


@pytest.mark.parametrize("status", [301, 302, 307])
def test_redirects_are_followed(movie: Path, status: int) -> None:
    def answer(request: Request) -> None:
        if request.path == "/old":
            request.reply(b"", status=status, Location="/new")
        else:
            request.reply_file(movie)

    with web(answer) as address:
        assert numbers(open_source(f"{address}/old").read()) == list(range(LENGTH))


def test_going_round_in_circles_ends() -> None:
    with web(lambda request: request.reply(b"", status=302, Location="/")) as address:
        error = first_error(open_source(f"{address}/a.mp4"))
        assert "redirects" in str(error)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, StreamErrorCode.AUTH_FAILED),
        (403, StreamErrorCode.AUTH_FAILED),
        (404, StreamErrorCode.NOT_FOUND),
        (500, StreamErrorCode.CONNECTION_FAILED),
    ],
)
def test_refusals_have_their_codes(status: int, code: StreamErrorCode) -> None:
    with web(lambda request: request.reply(b"no", status=status)) as address:
        error = first_error(open_source(f"{address}/a.mp4"))
        assert isinstance(error, SourceConnectionError)
        assert error.code is code


def test_nobody_there_is_refused() -> None:
    error = first_error(open_source(f"http://127.0.0.1:{unused_port()}/a.mp4"))
    assert error.code is StreamErrorCode.REFUSED


def test_basic_log_in_works_and_a_wrong_password_does_not(movie: Path) -> None:
    right = "Basic " + b64encode("me:p@ss:wörd".encode()).decode()

    def answer(request: Request) -> None:
        if request.headers.get("Authorization") == right:
            request.reply_file(movie)
        else:
            request.reply(b"", status=401, WWW_Authenticate='Basic realm="x"')

    with web(answer) as address:
        there = address.replace("://", "://me:p%40ss%3Aw%C3%B6rd@")
        assert numbers(open_source(f"{there}/a").read()) == list(range(LENGTH))
        wrong = open_source(f"{address}/a", username="me", password="SECRET", live=False)
        error = first_error(wrong)
        assert error.code is StreamErrorCode.AUTH_FAILED
        assert "SECRET" not in str(error)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_digest_log_in_works(movie: Path, algorithm: str) -> None:
    def hashed(text: str) -> str:
        made_by = hashlib.md5 if algorithm == "MD5" else hashlib.sha256
        return made_by(text.encode()).hexdigest()

    def right(request: Request) -> bool:
        told = dict(re.findall(r'(\w+)="?([^",]*)"?', request.headers.get("Authorization", "")))
        if not told:
            return False
        secret = hashed("me:cam:open")
        middle = f"{told['nonce']}:{told['nc']}:{told['cnonce']}:auth"
        expected = hashed(f"{secret}:{middle}:{hashed('GET:/a?b=c')}")
        return bool(told["response"] == expected)

    def answer(request: Request) -> None:
        if right(request):
            request.reply_file(movie)
        else:
            challenge = f'Digest realm="cam", nonce="n0", qop="auth", algorithm={algorithm}'
            request.reply(b"", status=401, WWW_Authenticate=challenge)

    with web(answer) as address:
        source = open_source(f"{address}/a?b=c", username="me", password="open")
        assert numbers(source.read()) == list(range(LENGTH))


def test_https_is_verified_unless_told_otherwise(movie: Path, tmp_path: Path) -> None:
    made = self_signed(tmp_path)
    with web(serve(movie), made) as address:
        error = first_error(open_source(f"{address}/a.mp4"))
        assert error.code is StreamErrorCode.TLS_CERTIFICATE
        for options in ({"tls_verify": False}, {"ca_file": str(made.authority)}):
            source = open_source(f"{address}/a", **options)
            assert numbers(source.read()) == list(range(LENGTH))


def test_a_cameras_mjpeg_is_live_and_in_order() -> None:
    with web(jpegs()) as address:
        source = open_source(f"{address}/video.cgi")
        with closing(source.read()) as captures:
            assert numbers(islice(captures, 30)) == list(range(30))
    assert source.live
    assert source.properties is not None
    assert source.properties.width == 320


def test_mjpeg_whose_pts_only_count_is_timed_by_its_arrival() -> None:
    with web(jpegs()) as address, closing(open_source(f"{address}/v").read()) as captures:
        taken = list(islice(captures, 10))
    assert {capture.clock for capture in taken} == {Clock.ARRIVAL}
    assert all(capture.uncertainty for capture in taken)


def test_mjpeg_that_falls_silent_times_out() -> None:
    done = threading.Event()
    with web(jpegs(done)) as address:
        error = first_error(open_source(f"{address}/video", read_timeout=0.5))
        done.set()
    assert error.code is StreamErrorCode.TIMEOUT


def test_mjpeg_that_ends_is_lost() -> None:
    with web(jpegs()) as address:
        assert first_error(open_source(f"{address}/v")).code is StreamErrorCode.LOST


def test_a_silent_server_is_interrupted_soon() -> None:
    done = threading.Event()
    with web(jpegs(done)) as address:
        source = open_source(f"{address}/video")
        captures = source.read()
        next(captures)
        assert seconds_to_interrupt(source, captures) < 1
        done.set()


def hls(folder: Path, frames: int = 100, options: dict[str, str] | None = None) -> Path:
    """A folder with index.m3u8 and its segments, a second each."""
    folder.mkdir()
    told = {"hls_time": "1", "hls_list_size": "0", "format": "hls", **(options or {})}
    made = clip(folder.with_suffix(".mp4"), frames=frames, gop=25)
    with (
        av.open(str(made)) as reading,
        av.open(str(folder / "index.m3u8"), "w", format="hls", options=told) as writing,
    ):
        stream = reading.streams.video[0]
        copy: Any = writing.add_stream_from_template(stream)
        for packet in reading.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                writing.mux(packet)
    return folder


def serve_folder(folder: Path) -> Callable[[Request], None]:
    def answer(request: Request) -> None:
        path = folder / request.path.partition("?")[0].lstrip("/")
        if path.suffix == ".m3u8":
            request.reply(path.read_bytes(), "application/vnd.apple.mpegurl")
        elif path.exists():
            request.reply_file(path, "video/mp2t")
        else:
            request.reply(b"", status=404)

    return answer


@pytest.mark.parametrize("options", [{}, {"hls_segment_type": "fmp4"}])
def test_hls_with_an_end_is_a_recording(tmp_path: Path, options: dict[str, str]) -> None:
    folder = hls(tmp_path / "vod", options=options)
    with web(serve_folder(folder)) as address:
        source = open_source(f"{address}/index.m3u8")
        assert not source.live
        captures = list(source.read())
    assert numbers(captures) == list(range(100))
    assert {capture.clock for capture in captures} == {Clock.PTS}


def test_hls_picks_the_best_of_several_variants(tmp_path: Path) -> None:
    folder = hls(tmp_path / "vod", frames=50)
    (folder / "all.m3u8").write_text(
        '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100,CODECS="a,b"\nnone.m3u8\n'
        "#EXT-X-STREAM-INF:BANDWIDTH=200\nindex.m3u8\n"
    )
    with web(serve_folder(folder)) as address:
        assert numbers(open_source(f"{address}/all.m3u8").read()) == list(range(50))


class LivePlaylist:
    """Serves a recording's segments as if they were made now: one more at each request."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._asked = folder, 0
        self._lines = (folder / "index.m3u8").read_text().splitlines()

    def __call__(self, request: Request) -> None:
        if request.path != "/index.m3u8":
            serve_folder(self._folder)(request)
            return
        self._asked += 1
        head = [line for line in self._lines if "TARGETDURATION" in line or "EXTM3U" in line]
        names = [line for line in self._lines if line.endswith(".ts")][: self._asked]
        listed = [part for name in names for part in ("#EXTINF:1.0,", name)]
        text = "\n".join([*head, "#EXT-X-MEDIA-SEQUENCE:0", *listed])
        request.reply(text.encode(), "application/vnd.apple.mpegurl")


def test_live_hls_follows_the_playlist_at_the_pace_of_its_pictures(tmp_path: Path) -> None:
    folder = hls(tmp_path / "live", frames=200)
    with web(LivePlaylist(folder)) as address:
        source = open_source(f"{address}/index.m3u8")
        assert source.live
        with closing(source.read()) as captures:
            taken = list(islice(captures, 60))
    seen = numbers(taken)
    assert seen == list(range(seen[0], seen[0] + 60))
    lasted = (taken[-1].timestamp - taken[0].timestamp).total_seconds()
    assert lasted > 1.5
    assert {capture.clock for capture in taken} == {Clock.ARRIVAL}


def test_live_hls_without_new_segments_is_interrupted_soon(tmp_path: Path) -> None:
    folder = hls(tmp_path / "live", frames=50)
    text = (folder / "index.m3u8").read_text().replace("#EXT-X-ENDLIST", "")
    (folder / "index.m3u8").write_text(text)
    with web(serve_folder(folder)) as address:
        source = open_source(f"{address}/index.m3u8")
        captures: Iterator[Any] = source.read()
        next(captures)
        assert seconds_to_interrupt(source, captures) < 1.5


def test_encrypted_hls_is_refused_by_name(tmp_path: Path) -> None:
    folder = hls(tmp_path / "vod", frames=50)
    text = (folder / "index.m3u8").read_text()
    key = '#EXT-X-KEY:METHOD=AES-128,URI="key"\n#EXTINF'
    (folder / "index.m3u8").write_text(text.replace("#EXTINF", key, 1))
    with web(serve_folder(folder)) as address:
        error = first_error(open_source(f"{address}/index.m3u8"))
    assert error.code is StreamErrorCode.CODEC_UNSUPPORTED
    assert "encrypted" in str(error)


def test_playlists_with_byte_ranges_and_maps_are_understood() -> None:
    text = """#EXTM3U
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-MAP:URI="init.mp4",BYTERANGE="700@0"
#EXT-X-BYTERANGE:1000@700
#EXTINF:4,
all.mp4
#EXT-X-BYTERANGE:500
#EXTINF:2,
all.mp4
"""
    playlist = parse_playlist(text, "http://host/a/list.m3u8")
    head = Piece("http://host/a/init.mp4", 0, 700)
    assert playlist.first == 7
    assert not playlist.ended
    assert playlist.segments == [
        (head, Piece("http://host/a/all.mp4", 700, 1700)),
        (head, Piece("http://host/a/all.mp4", 1700, 2200)),
    ]
