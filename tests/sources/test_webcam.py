from __future__ import annotations

import sys
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from streamkit.errors import ConfigError, SourceConnectionError, SourceError, StreamErrorCode
from streamkit.sources import open_source
from streamkit.sources.webcam import WebcamSource

PICTURES = "testsrc2=size=320x240:rate=50,realtime,format=yuv420p"
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux's")


@on_linux
def test_a_camera_that_is_not_there_is_not_found() -> None:
    source = open_source(97)
    assert source.live
    assert source.reference == "/dev/video97"
    with pytest.raises(SourceConnectionError) as caught:
        next(source.read())
    assert caught.value.code is StreamErrorCode.NOT_FOUND


@on_linux
def test_what_is_no_camera_is_an_error(tmp_path: Path) -> None:
    plain = tmp_path / "video0"
    plain.write_bytes(b"x")
    with pytest.raises(SourceConnectionError):
        next(WebcamSource(str(plain)).read())


def test_pictures_come_from_any_ffmpeg_input() -> None:
    source = WebcamSource(PICTURES, form="lavfi")
    with closing(source.read()) as captures:
        taken = list(islice(captures, 10))
    assert source.properties is not None
    assert (source.properties.width, source.properties.height) == (320, 240)
    moments = [capture.timestamp for capture in taken]
    assert moments == sorted(moments)


def test_the_end_of_a_camera_is_its_loss() -> None:
    source = WebcamSource("testsrc2=size=64x48:duration=0.1,format=yuv420p", form="lavfi")
    with pytest.raises(SourceError) as caught:
        list(source.read())
    assert caught.value.code is StreamErrorCode.LOST


def test_interrupting_ends_a_reading_quietly() -> None:
    source = WebcamSource(PICTURES, form="lavfi")
    captures = source.read()
    next(captures)
    source.interrupt()
    assert len(list(captures)) < 5


def test_wishes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="MJPG, YUYV"):
        open_source(0, fourcc="ABCD")
    with pytest.raises(ConfigError, match="together"):
        open_source(0, width=640)
