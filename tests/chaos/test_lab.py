"""The lab itself: any codec and transport, no orphan, no secret, one clear error."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
import threading
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from streamkit.chaos import interpreter
from streamkit.chaos.burned import read
from streamkit.chaos.camera import Camera
from streamkit.chaos.lab import Lab
from streamkit.chaos.scenario import Scenario, perform
from streamkit.chaos.script import Entry, cues
from streamkit.errors import ConfigError, StreamkitError
from tests.cameras import clock_camera
from tests.chaos.viewers import Viewer, comes_back, plays, viewer
from tests.fakes import until
from tests.needs import needs_rtsp_server
from tests.processes import process

pytestmark = pytest.mark.rtsp
NASTY = "p@ss:w/or?d#1% &äß"


@pytest.fixture(autouse=True)
def server() -> None:
    needs_rtsp_server()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("name", ["open", "basic", "digest", "clock", "h265", "mjpeg"])
def test_every_codec_comes_over_either_transport(lab: Lab, name: str, transport: str) -> None:
    with viewer(lab[name].url, transport) as looking:
        taken = looking.take(12)
    assert all(a.at < b.at for a, b in pairwise(taken[1:]))
    assert not any(one.corrupt for one in taken)


def moments(looking: Viewer, told_of: int) -> list[tuple[int, int, int | None]]:
    """(number, burned-in moment, moment by sender reports) of pictures, until so many are told."""
    told, found = dict[int, int](), list[tuple[int, int, int | None]]()
    for packet in looking.packets():
        if packet.has_sidedata("prft"):
            told[packet.pts] = struct.unpack_from("<qi", bytes(packet.get_sidedata("prft")))[0]
        for frame in packet.decode():
            burned = read(frame.reformat(format="gray8").to_ndarray())
            assert burned is not None
            found.append((*burned, told.get(frame.pts)))
        if sum(known is not None for _, _, known in found) >= told_of:
            break
    return found


@pytest.mark.parametrize("b_frames", [0, 2])
def test_sender_reports_tell_the_moment_that_is_burned_in(b_frames: int) -> None:
    with clock_camera(bframes=b_frames) as cam, viewer(cam.url) as looking:
        taken = moments(looking, 15)
    numbers = [number for number, _, _ in taken]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    errors = [abs(told - burned) for _, burned, told in taken if told is not None]
    assert sorted(errors)[len(errors) // 2] < 10_000, "microseconds"


def test_cameras_of_the_wrong_kind_are_one_clear_error(lab: Lab, tmp_path: Path) -> None:
    cam = lab["open"]
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("frezee", {}, "choose from"),
        ("freeze", {"percent": 5}, "no parameter 'percent'; it takes none"),
        ("drop_packets", {"percent": "many"}, "percent"),
        ("no_tls", {}, "camera open is not rtsps"),
        ("wrong_password", {}, "camera open asks for no password"),
        ("hang_up", {"seconds": 3}, "takes no duration"),
        ("freeze", {"seconds": 0}, "more than 0"),
        ("codec", {"codec": "h264"}, "sends h264 already"),
    ]
    for name, params, said in wrong:
        with pytest.raises(ConfigError, match=said):
            cam.fault(name, **params)
    with pytest.raises(ConfigError, match="every picture"):
        lab["mjpeg"].fault("mid_gop")
    with pytest.raises(ConfigError, match="there are open, basic"):
        lab["garden"]
    with pytest.raises(ConfigError, match="no fault 'x'"):
        cam.clear("x")
    words = tmp_path / "words.mp4"
    words.write_text("no video", encoding="utf-8")
    with (
        pytest.raises(ConfigError, match=r"camera w: .*no H.264, H.265 or MJPEG"),
        Lab([Camera(name="w", clip=words)]),
    ):
        pass
    with pytest.raises(ConfigError, match="more than one camera is called a"):
        Lab([Camera(name="a"), Camera(name="a")])


def test_a_port_that_is_taken_is_named_and_no_process_stays() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        before = children()
        with (
            pytest.raises(ConfigError, match=f"port {port} cannot be used"),
            Lab([Camera(port=port)]),
        ):
            pass
        assert children() == before


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_cameras_listen_on_loopback_only(lab: Lab) -> None:
    listening = [
        one.laddr.ip
        for one in psutil.Process(lab.process.pid).net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    ]
    assert len(listening) == 14
    assert set(listening) == {"127.0.0.1"}


def test_a_password_is_told_to_nobody(numbered: Path) -> None:
    camera = Camera(name="a", clip=numbered, auth="digest", password=SecretStr(NASTY))
    with Lab([camera]) as lab:
        comes_back(lab["a"].url)
        lab["a"].fault("wrong_password")
        lab["a"].clear()
        comes_back(lab["a"].url)
        told = f"{camera!r} {lab['a']!r} {lab!r} {list(lab.events)} {lab['a'].open_url}"
        told += " ".join(psutil.Process(lab.process.pid).cmdline())
    assert NASTY not in told
    assert "p%40ss" not in told


def test_a_lab_ends_in_every_state(numbered: Path) -> None:
    for state in ("killed", "stopped", "refusing", "watched", "closed"):
        with Lab([Camera(clip=numbered)]) as lab:
            if state == "killed":
                lab.process.kill()
                with pytest.raises(StreamkitError, match="does not answer"):
                    lab["camera"].fault("freeze")
            elif state == "stopped":
                lab.process.send_signal(signal.SIGSTOP)
            elif state == "refusing":
                lab["camera"].fault("flap", up=0.1, down=0.05)
            elif state == "watched":
                looking = Viewer(lab["camera"].url)
            else:
                lab.close()
        assert lab.process.poll() is not None
    looking.ends()
    looking.container.close()


PARENT = """
import sys, os, signal, time
from streamkit.chaos.camera import Camera
from streamkit.chaos.lab import Lab
lab = Lab([Camera()]).__enter__()
if sys.argv[1] == "stopped":
    os.kill(lab.process.pid, signal.SIGSTOP)
print(lab.process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_no_orphan_stays_when_the_parent_is_killed(state: str) -> None:
    with process([sys.executable, "-c", PARENT, state], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.kill()
        parent.communicate()
        until(lambda: not psutil.pid_exists(child) or zombie(child))


def zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_lab_of_another_thread_outlives_that_thread(numbered: Path) -> None:
    made: list[Any] = []
    thread = threading.Thread(target=lambda: made.append(Lab([Camera(clip=numbered)]).__enter__()))
    thread.start()
    thread.join()
    with closing(made[0]) as lab:
        assert plays(lab["camera"].url)
        with pytest.raises(StreamkitError, match="once"):
            lab.__enter__()


def test_a_python_without_gstreamer_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STREAMKIT_CHAOS_PYTHON", sys.executable)
    if not interpreter.lacks(sys.executable):
        pytest.skip("this Python has GStreamer")
    with (
        pytest.raises(ConfigError, match=r"apt install .*gir1\.2-gst-rtsp-server-1\.0"),
        Lab([Camera()]),
    ):
        pass
    monkeypatch.setenv("STREAMKIT_CHAOS_PYTHON", "/nowhere/python3")
    with pytest.raises(ConfigError, match="nowhere"), Lab([Camera()]):
        pass


def test_a_script_is_performed_in_its_order(numbered: Path) -> None:
    entries = [Entry.word("freeze@0.2+0.3"), Entry.word("hang_up@0.1"), Entry.word("stall@0.3")]
    with Lab([Camera(name="a", clip=numbered)]) as lab:
        perform(lab, cues({"a": entries}, 1), threading.Event())
        until(lambda: lab.events[-1]["event"] == "ended")
        done = [(event["event"], event["fault"]) for event in lab.events]
        times = [event["at"] for event in lab.events]
    assert done == [
        ("begun", "hang_up"), ("begun", "freeze"), ("begun", "stall"), ("ended", "freeze")
    ]  # fmt: skip
    assert times == sorted(times)
    assert times[-1] - times[1] == pytest.approx(0.3, abs=0.2)


def test_a_script_can_be_stopped(numbered: Path, tmp_path: Path) -> None:
    scenario = Scenario.of(
        {"cameras": [{"clip": str(numbered), "faults": ["freeze/60"]}]}, tmp_path
    )
    stopped = threading.Event()
    with Lab(scenario.cameras) as lab:
        thread = threading.Thread(target=perform, args=(lab, cues(scenario.script, 1), stopped))
        thread.start()
        stopped.set()
        thread.join(2)
        assert not thread.is_alive()
        assert not lab.events
