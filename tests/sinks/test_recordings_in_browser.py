"""Clips, segments and HLS in a real browser: they play, and a clip can be searched."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamkit.sinks import RestreamSink
from tests.clips import clip
from tests.needs import needs_program
from tests.recording.making import instant, packets_of
from tests.sinks.making import result
from tests.sinks.test_clips import clips, ran
from tests.sinks.test_segments import recorded, retimed
from tests.sinks.test_video_in_browser import Site, seen_by_chromium, site

__all__ = ["site"]

HLS = """<video id=video muted autoplay src="/index.m3u8"></video><script>
const video = document.getElementById("video");
const tell = what => fetch("/told", {method: "POST", body: JSON.stringify(what)});
video.onerror = () => tell({error: video.error.message});
video.onended = () => tell({at: video.currentTime, size: [video.videoWidth, video.videoHeight]});
video.playbackRate = 4;
</script>"""


def test_a_clip_plays_and_can_be_searched_in_chromium(
    site: tuple[type[Site], int], tmp_path: Path
) -> None:
    needs_program("chromium")
    source = clip(tmp_path / "in.mp4", frames=200, gop=25, b_frames=2)
    ran(source, instant(101), tmp_path / "out", before=2, after=2)
    pages, port = site
    pages.video = clips(tmp_path / "out")[0].read_bytes()

    seen = seen_by_chromium(port, pages.told, tmp_path / "profile")

    assert seen.get("error") is None
    assert seen["size"] == [320, 240]
    assert seen["duration"] == pytest.approx(4.04, abs=0.09)
    assert seen["at"] == pytest.approx(seen["duration"] / 2, abs=0.01)


def test_a_segment_plays_in_chromium(site: tuple[type[Site], int], tmp_path: Path) -> None:
    needs_program("chromium")
    source = clip(tmp_path / "in.mp4", frames=100, gop=25, b_frames=2)
    recorded(tmp_path / "out", retimed(list(packets_of(source))))
    pages, port = site
    pages.video = clips(tmp_path / "out")[0].read_bytes()

    seen = seen_by_chromium(port, pages.told, tmp_path / "profile")

    assert seen.get("error") is None
    assert seen["duration"] == pytest.approx(4.0, abs=0.05)


def test_hls_plays_in_chromium(
    site: tuple[type[Site], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_program("chromium")
    sink = RestreamSink(path=tmp_path / "live" / "index.m3u8")
    for number in range(100):
        sink.write(result(number, at=number / 25))
    sink.close()

    def serve(self: Site) -> None:
        file = tmp_path / "live" / self.path.lstrip("/")
        if self.path == "/":
            self._answer(HLS.encode(), "text/html")
        elif file.is_file():
            kinds = {".m3u8": "application/vnd.apple.mpegurl"}
            self._answer(file.read_bytes(), kinds.get(file.suffix, "video/mp4"))
        else:
            self._answer(b"", "text/plain")

    pages, port = site
    monkeypatch.setattr(pages, "do_GET", serve)
    seen = seen_by_chromium(port, pages.told, tmp_path / "profile")

    assert seen.get("error") is None
    assert seen["size"] == [320, 240]
    assert seen["at"] == pytest.approx(4.0, abs=0.2)
