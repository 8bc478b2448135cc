"""Recordings in a real browser: closed or cut by a crash, they play, and can be searched."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.needs import needs_program

PAGE = """<video id=video muted autoplay src="/video.mp4"></video><script>
const video = document.getElementById("video");
const tell = what => fetch("/told", {method: "POST", body: JSON.stringify(what)});
video.onerror = () => tell({error: video.error.message});
video.onended = () => { video.currentTime = video.duration / 2 };
video.onseeked = () => tell({duration: video.duration, at: video.currentTime,
                             size: [video.videoWidth, video.videoHeight]});
video.playbackRate = 4;
</script>"""

RECORDER = """
import os, sys
from streamkit.sinks import VideoFileSink
from tests.sinks.making import result
sink = VideoFileSink(sys.argv[1])
for number in range(100):
    sink.write(result(number, at=number / 25 + (number > 60) * 1.5))
if sys.argv[2] == "killed":
    os.abort()
sink.close()
"""


class Site(SimpleHTTPRequestHandler):
    """A page with one video, and an ear for what the page has to tell."""

    video = b""
    told: queue.Queue[Any]

    def do_GET(self) -> None:
        if self.path == "/video.mp4":
            self._answer(self.video, "video/mp4")
        else:
            self._answer(PAGE.encode() if self.path == "/" else b"", "text/html")

    def do_POST(self) -> None:
        self.told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(b"", "text/plain")

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _answer(self, body: bytes, kind: str) -> None:
        wanted = self.headers.get("Range", "")
        if wanted:
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            whole, first, last = len(body), int(start), int(end or len(body) - 1)
            body = body[first : last + 1]
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            return  # the browser has seen enough of this range


@pytest.fixture
def site() -> Iterator[tuple[type[Site], int]]:
    pages: type[Site] = type("Pages", (Site,), {"told": queue.Queue()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield pages, server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def seen_by_chromium(port: int, told: queue.Queue[Any], profile: Path) -> Any:
    command = [
        needs_program("chromium"), "--headless=new", "--no-sandbox", "--disable-gpu",
        "--autoplay-policy=no-user-gesture-required", f"--user-data-dir={profile}",
        f"http://127.0.0.1:{port}/",
    ]  # fmt: skip
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return told.get(timeout=45)
    finally:
        browser.terminate()
        browser.wait(timeout=10)


@pytest.mark.parametrize(("end", "duration"), [("closed", 5.5), ("killed", 4.0)])
def test_a_recording_plays_and_can_be_searched_in_chromium(
    site: tuple[type[Site], int], tmp_path: Path, end: str, duration: float
) -> None:
    needs_program("chromium")
    subprocess.run(
        [sys.executable, "-c", RECORDER, str(tmp_path / "video.mp4"), end],
        check=False, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    pages, port = site
    pages.video = (tmp_path / "video.mp4").read_bytes()

    seen = seen_by_chromium(port, pages.told, tmp_path / "profile")

    assert seen.get("error") is None
    assert seen["size"] == [320, 240]
    assert seen["duration"] == pytest.approx(duration, abs=0.6 if end == "killed" else 0.05)
    assert seen["at"] == pytest.approx(seen["duration"] / 2, abs=0.01)
