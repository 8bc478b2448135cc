"""Session descriptions as cameras write them."""

from __future__ import annotations

import pytest

from streamkit.doctor.sdp import parse

HEAD = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\na=control:*\r\n"
VIDEO = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=framerate:25.000\r\n"


@pytest.mark.parametrize(
    ("control", "place"),
    [
        ("trackID=1", "rtsp://cam/live/trackID=1"),
        ("rtsp://cam/other/1", "rtsp://cam/other/1"),
        ("/absolute", "rtsp://cam/absolute"),
        ("*", "rtsp://cam/live/"),
    ],
)
def test_where_a_section_is_set_up(control: str, place: str) -> None:
    (video,) = parse(f"{HEAD}{VIDEO}a=control:{control}\r\n", "rtsp://cam/live/")
    assert (video.control, video.codec, video.clock_rate) == (place, "H.264", 90000)
    assert video.declared_fps == 25


def test_every_section_is_found_also_with_plain_line_ends() -> None:
    audio = "m=audio 0 RTP/AVP 0\na=control:2\n"
    jpeg = "m=video 0 RTP/AVP 26\na=control:1\na=framerate:0\n"
    media = parse(HEAD.replace("\r\n", "\n") + audio + jpeg, "rtsp://cam/x")
    assert [(m.kind, m.codec) for m in media] == [("audio", "payload type 0"), ("video", "MJPEG")]
    assert media[1].declared_fps is None
    assert media[1].control == "rtsp://cam/x/1"


def test_nonsense_has_no_sections() -> None:
    assert parse("<html>", "rtsp://cam") == []
    assert parse("m=broken", "rtsp://cam") == []
