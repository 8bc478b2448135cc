"""Every fault is really on the wire while it lasts, and gone afterwards."""

from __future__ import annotations

import socket
import ssl
import time
from itertools import pairwise
from pathlib import Path

import av
import pytest

from streamkit.chaos.faults import FAULTS
from streamkit.chaos.lab import Lab, LabCamera
from tests.chaos.viewers import comes_back, plays, viewer, wire
from tests.fakes import until

pytestmark = pytest.mark.rtsp


def connects(port: int) -> bool:
    """Does the kernel say yes?"""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except ConnectionRefusedError:
        return False
    return True


def ended(lab: Lab, fault: str) -> bool:
    return bool(lab.events[-1]["event"] == "ended" and lab.events[-1]["fault"] == fault)


def test_refuse_cuts_clients_off_and_turns_new_ones_away(cam: LabCamera) -> None:
    with viewer(cam.url) as looking:
        assert looking.take(1)
        cam.fault("refuse")
        looking.ends()
    with pytest.raises(ConnectionRefusedError):
        viewer(cam.url).__enter__()
    cam.clear("refuse")
    comes_back(cam.url)


def test_silence_accepts_and_never_answers(cam: LabCamera) -> None:
    with viewer(cam.url) as looking:
        cam.fault("silence")
        looking.ends()
    assert connects(cam.port)
    with pytest.raises(av.FFmpegError):
        viewer(cam.url, timeout=0.5).__enter__()
    cam.clear()
    comes_back(cam.url)


def test_hang_up_disconnects_once(cam: LabCamera) -> None:
    with viewer(cam.url) as looking:
        assert looking.take(1)
        cam.fault("hang_up")
        looking.ends()
    comes_back(cam.url)


def test_flap_goes_down_and_up_again_and_again(cam: LabCamera) -> None:
    cam.fault("flap", up=0.4, down=0.4)
    for _ in range(2):
        until(lambda: not connects(cam.port))
        until(lambda: connects(cam.port))
    cam.clear("flap")
    comes_back(cam.url)


def test_reboot_comes_back_by_itself_on_the_same_port(lab: Lab, cam: LabCamera) -> None:
    with viewer(cam.url) as looking:
        assert looking.take(1)
        cam.fault("reboot", down=0.6)
        looking.ends()
    assert not connects(cam.port)
    until(lambda: ended(lab, "reboot"))
    comes_back(cam.url)


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])
def test_a_handshake_is_cut(cam: LabCamera, method: str) -> None:
    cam.fault("cut_handshake", method=method)
    assert connects(cam.port)
    assert not plays(cam.url)
    cam.clear()
    comes_back(cam.url)


def test_a_tls_handshake_is_cut(lab: Lab) -> None:
    lab["tls"].fault("cut_handshake")
    with pytest.raises((ssl.SSLError, OSError)):
        ssl.get_server_certificate(("127.0.0.1", lab["tls"].port), timeout=3)


def test_an_sdp_comes_late_or_byte_by_byte(cam: LabCamera) -> None:
    for params in ({"delay": 0.7}, {"delay": 0.0, "bytes_per_second": 800}):
        cam.fault("slow_sdp", **params)
        begun = time.monotonic()
        assert plays(cam.url)
        assert time.monotonic() - begun > 0.6
    cam.clear()
    comes_back(cam.url)


def test_a_stream_ends_and_the_next_one_begins(cam: LabCamera) -> None:
    with viewer(cam.url) as looking:
        assert looking.take(1)
        cam.fault("end_of_stream")
        looking.ends()
    comes_back(cam.url)


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_a_changed_password_makes_the_right_one_wrong(lab: Lab, auth: str) -> None:
    with viewer(lab[auth].url) as looking:
        lab[auth].fault("wrong_password")
        looking.ends()
    with pytest.raises(av.HTTPUnauthorizedError):
        viewer(lab[auth].url).__enter__()
    lab[auth].clear()
    comes_back(lab[auth].url)


def test_nothing_is_found_at_the_path(cam: LabCamera) -> None:
    with viewer(cam.url) as looking:
        cam.fault("not_found")
        looking.ends()
    with pytest.raises(av.HTTPNotFoundError):
        viewer(cam.url).__enter__()
    cam.clear()
    comes_back(cam.url)


def greeting(port: int, authority: Path) -> str:
    """How a TLS client that verifies is received: empty if well."""
    context = ssl.create_default_context(cafile=str(authority))
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=3) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1"),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except ssl.SSLError as error:
        return error.reason


def test_tls_with_another_certificate_and_without_tls(lab: Lab) -> None:
    cam = lab["tls"]
    assert cam.certificate is not None
    assert greeting(cam.port, cam.certificate) == ""
    assert cam.url.startswith("rtsps://")
    cam.fault("wrong_certificate")
    assert greeting(cam.port, cam.certificate) != ""
    cam.clear()
    cam.fault("no_tls")
    assert "WRONG_VERSION" in greeting(cam.port, cam.certificate).replace(" ", "_")
    assert not plays(cam.url)
    cam.clear()
    assert greeting(cam.port, cam.certificate) == ""
    comes_back(cam.url)


def test_sound_and_no_video(cam: LabCamera) -> None:
    with viewer(cam.url) as looking:
        cam.fault("audio_only")
        looking.ends()
    with viewer(cam.url) as looking:
        assert looking.kinds == ["audio"]
    cam.clear()
    comes_back(cam.url)


@pytest.mark.parametrize("codec", ["mjpeg", "h265"])
def test_another_codec_after_a_hang_up(cam: LabCamera, codec: str) -> None:
    with viewer(cam.url) as looking:
        assert looking.codec == "h264"
        cam.fault("codec", codec=codec)
        looking.ends()
    with viewer(cam.url) as looking:
        assert looking.codec == {"h265": "hevc"}.get(codec, codec)
        assert looking.take(3)[-1].size == (320, 240)
    cam.clear()
    with viewer(cam.url) as looking:
        assert looking.codec == "h264"


@pytest.mark.parametrize("name", ["open", "h265", "mjpeg"])
def test_another_size_in_the_running_stream(lab: Lab, name: str) -> None:
    with viewer(lab[name].url) as looking:
        assert looking.take(2)[-1].size == (320, 240)
        lab[name].fault("resolution", width=480, height=272)
        assert next(one for one in looking.pictures() if one.size == (480, 272))
        lab[name].clear()
        assert next(one for one in looking.pictures() if one.size == (320, 240))


def test_a_stall_is_a_connection_without_packets(cam: LabCamera) -> None:
    with viewer(cam.url) as looking:
        before = looking.take(5)[-1]
        cam.fault("stall", seconds=0.8)
        taken = [before, *looking.take(40)]
    gaps = [b.at - a.at for a, b in pairwise(taken)]
    assert max(gaps) > 0.7
    after = taken[gaps.index(max(gaps)) + 1]
    assert after.number is not None
    assert after.number % 10 == 0, "it goes on with a key frame"
    with viewer(cam.url, timeout=0.5) as looking:
        cam.fault("stall")
        with pytest.raises(av.FFmpegError):
            looking.take(100)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_freeze_repeats_one_picture_while_time_goes_on(cam: LabCamera, transport: str) -> None:
    with viewer(cam.url, transport) as looking:
        looking.take(3)
        cam.fault("freeze")
        frozen = looking.take(30)[-10:]
        assert len({one.number for one in frozen}) == 1
        assert len({one.luma.tobytes() for one in frozen}) == 1
        assert all(b.at > a.at for a, b in pairwise(frozen))
        with viewer(cam.url) as second:
            assert second.take(3)[-1].number == frozen[0].number
        cam.clear()
        assert len({one.number for one in looking.take(40)}) > 10


def test_a_live_encoded_camera_freezes_too(lab: Lab) -> None:
    with viewer(lab["clock"].url) as looking:
        looking.take(3)
        lab["clock"].fault("freeze")
        assert len({one.luma.tobytes() for one in looking.take(30)[-5:]}) == 1


def test_a_stream_resumes_in_the_middle_of_a_group_of_pictures(cam: LabCamera) -> None:
    with viewer(cam.url) as looking:
        taken = [(p.pts, p.is_keyframe) for _, p in zip(range(15), looking.packets(), strict=False)]
        cam.fault("mid_gop", seconds=0.5)
        taken += [
            (p.pts, p.is_keyframe) for _, p in zip(range(15), looking.packets(), strict=False)
        ]
    known = [(pts, key) for pts, key in taken if pts is not None]
    gaps = [(b[0] - a[0], b[1]) for a, b in pairwise(known)]
    gap, key_after = max(gaps)
    assert gap > 0.4 * 90_000
    assert not key_after


@pytest.mark.parametrize(("fault", "least", "most"), [("black", 0, 20), ("covered", 30, 60)])
@pytest.mark.parametrize("name", ["open", "h265", "mjpeg"])
def test_nothing_to_be_seen(lab: Lab, name: str, fault: str, least: float, most: float) -> None:
    with viewer(lab[name].url) as looking:
        assert looking.take(2)[-1].spread > 10
        lab[name].fault(fault)
        assert next(one for one in looking.pictures() if one.spread < 6)
        hidden = looking.take(10)
        assert all(least <= one.mean <= most and one.spread < 6 for one in hidden)
        assert len({one.luma.tobytes() for one in hidden}) > 2, "noise: not a frozen picture"
        lab[name].clear()
        assert next(one for one in looking.pictures() if one.spread > 10)


def test_another_rate_than_is_declared(cam: LabCamera) -> None:
    with viewer(cam.url) as looking:
        assert looking.stream.average_rate in (None, 25)
        cam.fault("fps", fps=8)
        taken = looking.take(40)
        assert taken[-1].at - taken[-5].at == pytest.approx(4 / 8, abs=0.02)
        cam.clear()
        taken = looking.take(40)
        assert taken[-1].at - taken[-5].at == pytest.approx(4 / 50, abs=0.02)


@pytest.mark.parametrize("by", [3600.0, -1800.0])
def test_timestamps_jump(cam: LabCamera, by: float) -> None:
    with wire(cam.url) as looking:
        before = looking.take(5)[-1].timestamp
        cam.fault("jump", by=by)
        after = looking.take(30)[-1].timestamp
    assert ((after - before + 2**31) % 2**32 - 2**31) / 90_000 == pytest.approx(by, abs=5)
    with viewer(cam.url) as looking:
        before_jump = looking.take(5)[-1].at
        cam.fault("jump", by=3600)
        assert next(one for one in looking.pictures() if one.at > before_jump + 3500)


def test_timestamps_begin_again_at_zero(cam: LabCamera) -> None:
    with wire(cam.url) as looking:
        looking.take(3)
        cam.fault("reset")
        stamps = [packet.timestamp for packet in looking.take(60)]
    assert 0 in stamps
    assert all(b - a == 1800 for a, b in pairwise(sorted(set(stamps[stamps.index(0) :]))))


def missing(cam: LabCamera, count: int = 60) -> tuple[int, int]:
    """How many of the next packets were lost, and how many came late."""
    with wire(cam.url) as looking:
        seen = [packet.sequence for packet in looking.take(count)]
    steps = [(b - a) % 65536 for a, b in pairwise(seen)]
    late = sum(step > 32768 for step in steps)
    span = {(one - seen[0]) % 65536 for one in seen}
    return max(one for one in span if one < 32768) + 1 - len(span), late


def test_packets_are_lost(cam: LabCamera) -> None:
    assert missing(cam) == (0, 0)
    cam.fault("drop_packets", percent=20)
    lost, late = missing(cam)
    assert lost > 3
    assert late == 0
    cam.clear()
    assert missing(cam) == (0, 0)


def test_packets_change_places(cam: LabCamera) -> None:
    cam.fault("reorder_packets", percent=10, distance=2)
    assert missing(cam)[1] > 1
    cam.clear()
    assert missing(cam) == (0, 0)


@pytest.mark.parametrize("name", ["open", "mjpeg"])
def test_packets_are_damaged(lab: Lab, name: str) -> None:
    """Of a frozen camera's packets few differ, until some are damaged."""

    def different() -> int:
        with wire(lab[name].url) as looking:
            return len({packet.payload for packet in looking.take(60)[20:]})

    lab[name].fault("freeze")
    well = different()
    lab[name].fault("corrupt_packets", percent=60)
    assert different() > well + 10
    lab[name].clear("corrupt_packets")
    assert different() == well


def test_a_damaged_stream_is_seen_as_such(cam: LabCamera) -> None:
    cam.fault("corrupt_packets", percent=40, bits=60)
    with viewer(cam.url) as looking:
        taken = looking.take(50)
    wrong = [one for one in taken if one.corrupt or one.number is None]
    out_of_order = [
        1 for a, b in pairwise(taken) if (b.number or 0) - (a.number or 0) not in (1, -99)
    ]
    assert wrong or out_of_order


def test_a_camera_whose_clock_is_wrong(lab: Lab) -> None:
    lab["clock"].fault("clock_skew", by=90)
    with wire(lab["clock"].url) as looking:
        off = looking.report()
    assert off == pytest.approx(90, abs=2)


def test_a_camera_without_sender_reports(lab: Lab) -> None:
    lab["clock"].fault("no_reports")
    with wire(lab["clock"].url) as looking:
        assert looking.report(3.5) is None
        lab["clock"].clear()
        assert looking.report() == pytest.approx(0, abs=2)


def test_a_fault_ends_another_that_contradicts_it(lab: Lab, cam: LabCamera) -> None:
    cam.fault("refuse", seconds=30)
    cam.fault("reboot", down=0.3)
    assert [e["event"] for e in list(lab.events)[-3:]] == ["begun", "ended", "begun"]
    until(lambda: ended(lab, "reboot"))
    assert connects(cam.port)


def test_every_fault_has_a_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in FAULTS if f'"{name}"' not in text] == []
