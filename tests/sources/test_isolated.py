"""A source in a process of its own gives the same, and its end is only its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from streamkit.errors import ConfigError, SourceConnectionError, SourceError, StreamErrorCode
from streamkit.sources import check_source, open_source
from streamkit.sources.base import Capture, Source
from streamkit.sources.isolated_wire import SLOTS, Memory, read, written
from tests.cameras import Camera
from tests.clips import clip, numbers, pixels
from tests.fakes import until
from tests.processes import process
from tests.sources.servers import listener, unused_port, web

MISBEHAVING = "tests.sources.misbehaving:Misbehaving"
ROOT = Path(__file__).resolve().parents[2]


def misbehaving(deed: str, **options: Any) -> Source:
    return open_source(MISBEHAVING, isolated=True, deed=deed, **options)


def error_of(source: Source, taken: int = 2) -> SourceError:
    """What ends it, after ``taken`` pictures."""
    captures = source.read()
    assert len(list(islice(captures, taken))) == taken
    with pytest.raises(SourceError) as caught:
        list(captures)
    return caught.value


def children() -> list[psutil.Process]:
    """Those of isolated sources, zombies too."""
    found = psutil.Process().children()
    return [p for p in found if p.status() == psutil.STATUS_ZOMBIE or is_ours(p)]


def is_ours(process: psutil.Process) -> bool:
    try:
        return "streamkit.sources.isolated_child" in process.cmdline()
    except psutil.Error:
        return False


@pytest.fixture(autouse=True)
def nothing_is_left() -> Any:
    before = psutil.Process().num_fds()
    yield
    assert children() == []
    assert psutil.Process().num_fds() <= before


@pytest.mark.parametrize(
    ("codec", "suffix"), [("libx264", "mp4"), ("mjpeg", "mov"), ("libx265", "mp4")]
)
def test_a_file_is_the_same_picture_by_picture(tmp_path: Path, codec: str, suffix: str) -> None:
    made = clip(tmp_path / f"clip.{suffix}", codec=codec, size=(322, 242), rotation=90)
    plain, isolated = open_source(made), open_source(made, isolated=True)
    assert (isolated.live, isolated.reference) == (plain.live, plain.reference)
    ours, theirs = list(isolated.read()), list(plain.read())
    assert numbers_turned(ours) == list(range(50))
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(pixels(one.picture), pixels(other.picture))
        assert np.array_equal(one.picture.luma, other.picture.luma)  # type: ignore[union-attr]
        assert (one.timestamp, one.clock) == (other.timestamp, other.clock)
        assert (one.uncertainty, one.concealed) == (other.uncertainty, other.concealed)
    assert isolated.properties == plain.properties


def numbers_turned(captures: list[Capture]) -> list[int]:
    from streamkit.sources.numbered import decode_number

    return [
        decode_number(np.ascontiguousarray(np.rot90(pixels(c.picture), k=-1))) for c in captures
    ]


def test_options_pass_through_and_it_can_be_read_again(tmp_path: Path) -> None:
    source = open_source(clip(tmp_path / "clip.mp4"), isolated=True, start=1.0)
    for _ in range(2):
        assert numbers(source.read()) == list(range(25, 50))


def test_pictures_that_are_arrays_come_through() -> None:
    source = open_source("synthetic:frames=30,fps=1000", isolated=True, live=False)
    assert numbers(source.read()) == list(range(30))


def test_a_finite_source_waits_for_its_reader_and_loses_nothing() -> None:
    captures = misbehaving("nothing", live=False, pictures=SLOTS * 3).read()
    taken = [next(captures)]
    until(lambda: bool(children()))
    time.sleep(0.5)  # the ring is full meanwhile
    taken += captures
    assert [int(pixels(c.picture)[0, 0, 0]) for c in taken] == list(range(SLOTS * 3))


def test_of_a_live_source_the_newest_waits_and_the_others_are_counted() -> None:
    source = misbehaving("flood", pictures=0)
    with closing(source.read()) as captures:
        seen = [next(captures)]
        time.sleep(0.5)
        seen += islice(captures, 2 * SLOTS)
    gaps = [c.missed for c in seen]
    assert sum(gaps) > SLOTS
    stamps = [c.timestamp for c in seen]
    assert stamps == sorted(stamps)
    assert all(a.arrived and b.arrived and a.arrived <= b.arrived for a, b in pairwise(seen))


def test_pictures_may_grow() -> None:
    captures = misbehaving("grow", pictures=0, live=False, side=16).read()
    sides = [pixels(c.picture).shape[0] for c in captures]
    assert sides == [16 * (1 + n) for n in range(20)]


def test_what_is_wanted_arrives() -> None:
    source = misbehaving("wanted", pictures=1)
    with closing(source.read()) as captures:
        next(captures)
        source.want(7.0)  # type: ignore[attr-defined]
        assert pixels(next(captures).picture)[0, 0, 0] == 7
    with closing(source.read()) as captures:  # it is remembered
        assert pixels(list(islice(captures, 2))[1].picture)[0, 0, 0] == 7


@pytest.mark.parametrize(
    ("deed", "told"),
    [("crash", "died of SIGSEGV"), ("killed", "SIGKILL .out of memory"), ("exit", "exit code 7")],
)
def test_a_death_is_an_error_with_a_code(deed: str, told: str) -> None:
    error = error_of(misbehaving(deed))
    assert error.code is StreamErrorCode.DECODER_DIED
    assert error.source_reference == f"misbehaving: {deed}"
    with pytest.raises(SourceError, match=told):
        raise error


def test_a_death_before_the_first_picture_is_a_failed_connection() -> None:
    assert isinstance(error_of(misbehaving("crash", pictures=0), 0), SourceConnectionError)


@pytest.mark.parametrize("deed", ["hang", "hang hard", "stop"])
def test_what_hangs_is_found_within_its_limit(deed: str) -> None:
    begun = time.monotonic()
    error = error_of(misbehaving(deed, read_timeout=1.0))
    assert error.code is StreamErrorCode.TIMEOUT
    assert "hangs" in str(error)
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize("deed", ["hang", "hang hard", "stop", "flood"])
def test_interrupting_ends_anything_soon(deed: str) -> None:
    source = misbehaving(deed, read_timeout=60.0)
    captures = source.read()
    next(captures)
    called: list[float] = []

    def interrupt() -> None:
        begun = time.monotonic()
        source.interrupt()
        called.extend((begun, time.monotonic() - begun))

    timer = threading.Timer(0.3, interrupt)
    timer.start()
    list(captures)
    timer.join()
    assert called[1] < 0.5
    assert time.monotonic() - called[0] < 4


def test_interrupted_before_it_is_read_it_gives_nothing() -> None:
    source = misbehaving("flood")
    source.interrupt()
    assert list(source.read()) == []


def test_errors_keep_their_class_their_code_and_their_text() -> None:
    error = error_of(misbehaving("fail"))
    assert (type(error), error.code) == (SourceError, StreamErrorCode.FROZEN)
    assert str(error) == "misbehaving: as ordered"
    address = f"rtsp://user:SECRETIVE@127.0.0.1:{unused_port()}/live"
    kept = [error_of(open_source(address, isolated=i), 0) for i in (False, True)]
    assert kept[0].code is kept[1].code is StreamErrorCode.REFUSED
    assert str(kept[0]) == str(kept[1])
    assert type(kept[0]) is type(kept[1]) is SourceConnectionError


def test_what_a_stranger_tells_loses_its_secrets(caplog: pytest.LogCaptureFixture) -> None:
    error = error_of(misbehaving("raise", password="SECRETIVE"))
    assert "ValueError: told the password: ***" in str(error)
    list(misbehaving("tell", live=False, password="SECRETIVE").read())
    assert "the password is ***" in caplog.text
    assert "SECRETIVE" not in caplog.text + repr(error)


def test_what_cannot_leave_the_process_is_refused() -> None:
    with pytest.raises(ConfigError, match="lives in this process"):
        open_source(iter([]), isolated=True)
    with pytest.raises(ConfigError, match="lives in this process"):
        check_source(lambda: [], isolated=True)
    with pytest.raises(ConfigError, match="true or false"):
        check_source("x.mp4", isolated="perhaps")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="takes no option"):
        open_source("x.mp4", isolated=True, transport="tcp")
    with pytest.raises(ConfigError, match="transport is one of"):
        open_source("rtsp://cam/x", isolated=True, transport="pigeon")


def test_options_survive_the_way() -> None:
    from datetime import UTC, datetime

    options = {"a": (1, 2.5), "b": [None, True], "c": Path("x"), "d": datetime.now(UTC)}
    assert read(written(options)) == options
    with pytest.raises(ConfigError, match="a set cannot be given"):
        written({1})


def test_shared_memory_cannot_be_made_smaller_and_has_no_name() -> None:
    memory = Memory.made()
    memory.grow(1000)
    memory.slot(SLOTS - 1, 1000)
    for wrong in ((SLOTS, 1000), (-1, 1000), (0, 10**12), (0, -5)):
        with pytest.raises(ValueError, match="no such slot"):
            memory.slot(*wrong)
    with pytest.raises(PermissionError):
        os.ftruncate(memory.descriptor, 10)
    memory.close()
    assert not list(Path("/dev/shm").glob("*streamkit*"))


@pytest.mark.parametrize("deed", ["flood", "hang hard", "stop"])
def test_the_child_dies_with_its_parent(deed: str) -> None:
    script = (
        "import sys; from streamkit.sources import open_source\n"
        f"s = open_source({MISBEHAVING!r}, isolated=True, deed={deed!r}, read_timeout=60.0)\n"
        "r = s.read(); next(r); next(r); print(s._child._process.pid, flush=True); next(r)\n"
        "import time; time.sleep(600)"
    )
    with process([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        parent.communicate()
        until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 10)


def test_http_is_asked_once_whether_it_is_live(tmp_path: Path) -> None:
    made = clip(tmp_path / "clip.mp4")
    with web(lambda request: request.reply_file(made)) as address:
        source = open_source(f"{address}/clip.mp4", isolated=True)
        assert not source.live
        assert numbers(source.read()) == list(range(50))


@pytest.mark.rtsp
def test_a_camera_is_read_lost_and_read_again(cam: Camera) -> None:
    source = open_source(cam.url, isolated=True)
    for _ in range(2):
        captures = source.read()
        taken = list(islice(captures, 10))
        steps = zip(pairwise(numbers(taken)), taken[1:], strict=True)
        assert all((b - a) % 300 == 1 + later.missed for (a, b), later in steps)
        cam.drop()
        with pytest.raises(SourceError) as caught:
            list(captures)
        assert caught.value.code is StreamErrorCode.LOST
    assert source.live
    assert source.properties is not None
    assert (source.properties.width, source.properties.height) == (320, 240)


def test_connecting_is_interrupted_soon() -> None:
    with listener() as port:
        source = open_source(f"rtsp://127.0.0.1:{port}/x", isolated=True)
        timer = threading.Timer(0.6, source.interrupt)
        timer.start()
        begun = time.monotonic()
        assert list(source.read()) == []
        timer.join()
        assert time.monotonic() - begun < 4
