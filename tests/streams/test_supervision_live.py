"""Real cameras that break in every way the lab knows: the right code, once, and back by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from streamkit import InferencePipeline
from streamkit.chaos.camera import Camera
from streamkit.chaos.lab import Lab, LabCamera
from streamkit.options import SourceReference
from tests.fakes import Collector, Updates, numbers, until
from tests.needs import needs_rtsp_server

pytestmark = pytest.mark.rtsp

OPTIONS: dict[str, Any] = {
    "open_timeout": 2.0,
    "read_timeout": 1.5,
    "restart_delay": 0.1,
    "restart_delay_max": 0.3,
    "wrong_delay": 0.2,
    "wrong_delay_max": 0.4,
    "auth_delay": 0.2,
    "auth_delay_max": 0.4,
    "first_frame_timeout": 6.0,
    "stall_timeout": 3.0,
    "frozen_after": 1.5,
}
SMALL: dict[str, Any] = {"size": (320, 240), "fps": 15, "gop": 8}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    needs_rtsp_server()
    cameras = [
        Camera(name="plain", **SMALL),
        Camera(name="healthy", **SMALL),
        Camera(name="guarded", auth="digest", **SMALL),
        Camera(name="secure", tls=True, **SMALL),
    ]
    with Lab(cameras) as running:
        yield running


@dataclass
class Watched:
    """A camera of the lab that is going to break, beside one that is not."""

    pipeline: InferencePipeline
    camera: LabCamera
    sink: Collector = field(default_factory=Collector)
    updates: Updates = field(default_factory=Updates)

    def codes(self, *events: str) -> set[str]:
        found = [update for event in events for update in self.updates.of(event)]
        return {u.payload["code"] for u in found if u.payload["source_id"] == 0}

    def await_code(self, code: str, *events: str, timeout: float = 20.0) -> None:
        until(lambda: code in self.codes(*events), timeout)

    def stats(self, source_id: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.pipeline.stats()["streams"][source_id]
        return found

    def pictures_again(self, count: int = 5) -> None:
        seen = len(self.sink.ids())
        until(lambda: len(self.sink.ids()) >= seen + count)


@pytest.fixture
def watched(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Watched]:
    camera, sink, updates = lab[getattr(request, "param", "plain")], Collector(), Updates()
    own = OPTIONS | ({"ca_file": str(camera.certificate)} if camera.certificate else {})
    pipeline = InferencePipeline.init_with_custom_logic(
        [SourceReference(camera.url, own), SourceReference(lab["healthy"].url, OPTIONS)],
        on_video_frame=numbers,
        sinks=[sink],
        status_update_handlers=[updates],
    )
    found = Watched(pipeline, camera, sink, updates)
    try:
        with pipeline:
            until(lambda: len(sink.ids(0)) > 8 and len(sink.ids(1)) > 8)
            yield found
            began = time.monotonic()
        assert time.monotonic() - began < 2.0
    finally:
        camera.clear()
    for stream in pipeline.stats()["streams"]:
        assert stream["in_flight"] == 0
        assert stream["captured"] == stream["delivered"] + sum(stream["dropped"].values())
    neighbour = pipeline.stats()["streams"][1]
    assert neighbour["outages"] == 0, "neighbours are untouched"
    assert sink.ids(0) == sorted(set(sink.ids(0)))


LOSSES = ("SOURCE_LOST", "SOURCE_CONNECTION_ATTEMPT_FAILED")


@pytest.mark.parametrize(
    ("watched", "fault", "params", "hang_up", "code"),
    [
        ("plain", "refuse", {}, False, "STREAM_REFUSED"),
        ("plain", "silence", {}, True, "STREAM_TIMEOUT"),
        ("plain", "stall", {}, False, "STREAM_TIMEOUT"),
        ("plain", "slow_sdp", {"delay": 30.0}, True, "STREAM_TIMEOUT"),
        ("plain", "not_found", {}, True, "STREAM_NOT_FOUND"),
        ("plain", "audio_only", {}, True, "STREAM_NO_VIDEO"),
        ("plain", "freeze", {}, False, "STREAM_FROZEN"),
        ("guarded", "wrong_password", {}, True, "STREAM_AUTH_FAILED"),
        ("secure", "wrong_certificate", {}, True, "STREAM_TLS_CERTIFICATE"),
        ("secure", "no_tls", {}, True, "STREAM_TLS_HANDSHAKE"),
    ],
    indirect=["watched"],
)
def test_a_fault_that_lasts_has_its_code_and_ends_with_one_recovery(
    watched: Watched, fault: str, params: dict[str, Any], hang_up: bool, code: str
) -> None:
    watched.camera.fault(fault, **params)
    if hang_up and fault != "silence":
        watched.camera.fault("hang_up")
    watched.await_code(code, *LOSSES)
    stats = watched.stats()
    assert stats["state"] in ("RESTARTING", "RUNNING")
    watched.camera.clear()
    watched.updates.wait_for("SOURCE_RECOVERED")
    watched.pictures_again()
    assert len(watched.updates.of("SOURCE_LOST")) == 1, "told once"
    lost = [u for u in watched.updates.of("SOURCE_RECOVERED")]
    assert [u.payload["recovered_from"] for u in lost] == ["lost"]
    assert watched.stats()["degraded"] is None
    assert watched.stats()["downtime"] > 0


@pytest.mark.parametrize("fault", ["hang_up", "end_of_stream"])
def test_a_camera_that_hangs_up_is_back_within_two_seconds(watched: Watched, fault: str) -> None:
    watched.camera.fault(fault)
    assert watched.updates.wait_for("SOURCE_LOST").payload["code"] == "STREAM_LOST"
    downtime = watched.updates.wait_for("SOURCE_RECOVERED").payload["downtime"]
    assert downtime < 3.0
    watched.pictures_again()


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judges within one second instead of three, having seen two seconds instead of five."""
    monkeypatch.setattr("streamkit.streams.health._HOLDS", 1.0)
    monkeypatch.setattr("streamkit.streams.health._LEARN", 8)


@pytest.mark.usefixtures("_hasty")
def test_a_view_that_shows_nothing_is_delivered_and_told(
    watched: Watched,
) -> None:
    until(lambda: watched.stats()["captured"] > 15 * 3)  # it has to know what is usual
    for number, (fault, code) in enumerate({"black": "BLACK", "covered": "COVERED"}.items(), 1):
        watched.camera.fault(fault)
        degraded = watched.updates.wait_for("SOURCE_DEGRADED", number).payload
        assert degraded["code"] == f"STREAM_{code}"
        watched.pictures_again()
        watched.camera.clear()
        back = watched.updates.wait_for("SOURCE_RECOVERED", number).payload
        assert (back["recovered_from"], back["code"]) == ("degraded", f"STREAM_{code}")
    assert not watched.updates.of("SOURCE_LOST")


def test_another_resolution_in_the_running_stream_is_told_and_nothing_else(
    watched: Watched,
) -> None:
    watched.camera.fault("resolution", width=480, height=272)
    changed = watched.updates.wait_for("SOURCE_CHANGED").payload
    assert (changed["before"]["width"], changed["before"]["height"]) == (320, 240)
    assert (changed["after"]["width"], changed["after"]["height"]) == (480, 272)
    watched.pictures_again()
    assert not watched.updates.of("SOURCE_LOST")


def test_another_codec_is_a_clean_reconnection(watched: Watched) -> None:
    watched.camera.fault("codec", codec="mjpeg")
    watched.updates.wait_for("SOURCE_LOST")
    watched.updates.wait_for("SOURCE_RECOVERED")
    watched.pictures_again()
    changed = watched.updates.wait_for("SOURCE_CHANGED").payload
    assert (changed["before"]["codec"], changed["after"]["codec"]) == ("h264", "mjpeg")


def test_a_camera_that_flaps_is_told_to_keep_failing(watched: Watched) -> None:
    watched.camera.fault("flap", up=0.8, down=0.3)
    watched.await_code("STREAM_UNSTABLE", "SOURCE_DEGRADED", timeout=40.0)
    watched.camera.clear()
    watched.pictures_again()


def test_damaged_packets_are_told_and_no_damaged_picture_is_delivered(watched: Watched) -> None:
    watched.camera.fault("corrupt_packets", percent=10.0)
    assert watched.updates.wait_for("SOURCE_DEGRADED").payload["code"] == "STREAM_CORRUPT"
    until(lambda: watched.stats()["dropped"].get("concealed", 0) > 3)
    watched.camera.clear()
    watched.updates.wait_for("SOURCE_RECOVERED")
    watched.pictures_again()
    assert watched.stats()["degraded"] is None
