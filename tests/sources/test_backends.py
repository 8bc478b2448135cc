from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest

from streamkit.errors import ConfigError, SourceConnectionError, StreamErrorCode
from streamkit.sources import backends, open_source
from streamkit.sources.decoder import DecodeOptions, Decoder, Demand
from streamkit.sources.decoding import DecodedPicture
from streamkit.sources.numbered import decode_number
from tests.clips import clip

MISSING = [backend for backend in backends.HARDWARE if backends.unavailable(backend)]


def seen(path: Path, demand: Demand) -> list[int]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = Decoder(stream, demand)
        shown = [s for packet in container.demux(stream) for s in decoder.pictures(packet)]
        return [decode_number(DecodedPicture(frame).bgr()) for frame, _ in shown]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mjpeg"])
def test_auto_decodes_whatever_is_here_and_says_who_does(tmp_path: Path, codec: str) -> None:
    suffix = "mov" if codec == "mjpeg" else "mp4"
    path = clip(tmp_path / f"clip.{suffix}", codec=codec, frames=30)
    demand = Demand(DecodeOptions(backend="auto"))
    assert seen(path, demand) == list(range(30))
    told = demand.as_dict()
    assert told["backend"] in backends.BACKENDS
    if told["backend"] == "software":
        assert all(f"{backend}: " in told["backend_reason"] for backend in backends.HARDWARE)


@pytest.mark.parametrize("backend", backends.HARDWARE)
def test_a_backend_is_here_or_gives_its_reason(tmp_path: Path, backend: str) -> None:
    if reason := backends.unavailable(backend):
        assert len(reason) > 10
        with pytest.raises(ConfigError) as caught:
            DecodeOptions(backend=backend)
        assert reason in str(caught.value)
        assert "usable here: software" in str(caught.value)
    else:
        path = clip(tmp_path / "clip.mp4", frames=30, size=(320, 240))
        assert seen(path, Demand(DecodeOptions(backend=backend))) == list(range(30))


def test_a_source_refuses_a_backend_before_it_opens_anything() -> None:
    if not MISSING:
        pytest.skip("every backend works on this machine")
    with pytest.raises(ConfigError, match=MISSING[0]):
        open_source("rtsp://127.0.0.1:1/x", backend=MISSING[0])
    with pytest.raises(ConfigError, match="choose one of auto, software"):
        open_source("rtsp://127.0.0.1:1/x", backend="gpu")


def test_a_named_backend_is_not_replaced_in_silence(tmp_path: Path) -> None:
    if not MISSING:
        pytest.skip("every backend works on this machine")
    with (
        av.open(str(clip(tmp_path / "clip.mp4", frames=2))) as container,
        pytest.raises(SourceConnectionError) as caught,
    ):
        backends.choose(container.streams.video[0], MISSING[0], "the camera")
    assert caught.value.code is StreamErrorCode.CODEC_UNSUPPORTED
    assert caught.value.source_reference == "the camera"


def test_a_device_that_fails_is_replaced_from_the_next_key_frame_on(tmp_path: Path) -> None:
    class Broken:
        """A device's decoder whose device went away."""

        reorder_depth = 0
        flags = flags2 = 0

        def decode(self, _packet: Any) -> Any:
            raise av.error.ExternalError(5, "the device is gone")

    demand = Demand()
    with av.open(str(clip(tmp_path / "clip.mp4", frames=60))) as container:
        stream = container.streams.video[0]
        decoder = Decoder(stream, demand)
        decoder._use(backends.Chosen(Broken(), "cuda", "asked for"))
        shown = [s for packet in container.demux(stream) for s in decoder.pictures(packet)]
    whole = [decode_number(DecodedPicture(f).bgr()) for f, concealed in shown if not concealed]
    assert whole == list(range(25, 60))
    assert demand.backend == "software"
    assert "cuda failed" in demand.backend_reason
