"""Thirty nasty passwords open a real camera, by Basic and by Digest, and are told nowhere."""

from __future__ import annotations

import json
import logging
import threading
import traceback
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import av
import psutil
import pytest
from pydantic import SecretStr

from streamkit.chaos.camera import Camera as LabSpec
from streamkit.chaos.lab import Lab, LabCamera
from streamkit.errors import SourceError, StreamErrorCode
from streamkit.options import SourceReference
from streamkit.pipeline import InferencePipeline
from streamkit.sources import open_source
from streamkit.sources.base import Source
from streamkit.sources.reference import parse
from tests.fakes import Updates, numbers
from tests.needs import needs_rtsp_server

pytestmark = [pytest.mark.rtsp, pytest.mark.slow, pytest.mark.timeout(150)]

MARK = "Nasty7"
"""In each password, so that a part of one is found, too."""
PASSWORDS = [
    f"{MARK}p@ss",
    f"@{MARK}",
    f"{MARK}@",
    f"{MARK}:x:y",
    f":{MARK}",
    f"{MARK}/a/b",
    f"/{MARK}/",
    f"{MARK}?x=1",
    f"{MARK}#frag",
    f"{MARK}%40",
    f"{MARK}%",
    f"{MARK}%zz%2",
    f"{MARK}&a=b;c",
    f" {MARK}",
    f"{MARK} ",
    f"  {MARK}  two  blanks  ",
    f'"{MARK}"',
    f"'{MARK}'",
    f'{MARK}"quoted"',
    f"{MARK}\\back\\slash",
    f"{MARK}\\",
    f"{MARK}äöüß€",
    f"{MARK}密码",
    f"{MARK}🙂",
    f"{MARK}+plus+=,",
    f"${{{MARK}}}$HOME`id`",
    f"{MARK}<>|*()[]{{}}!~^",
    f"env:{MARK}",
    f"{MARK}" + "x" * 116,
    f"{MARK}p@ss:w/or?d#1% &äß",
]
assert len(set(PASSWORDS)) == 30


@dataclass
class Told:
    """Everything that anybody could have read."""

    texts: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *texts: object) -> None:
        with self.lock:
            self.texts += [str(text) for text in texts]

    def secrets(self) -> list[str]:
        everything = "\n".join(self.texts)
        return [form for password in PASSWORDS for form in forms(password) if form in everything]


def forms(password: str) -> set[str]:
    """How it might be written: as it is, percent-encoded, quoted, as Basic sends it."""
    return {
        password, MARK, quote(password, safe=""), quote(password), quote_plus(password),
        json.dumps(password)[1:-1], repr(password)[1:-1],
        b64encode(f"user:{password}".encode()).decode(),
    }  # fmt: skip


class Recorder(logging.Handler):
    """Every log line, with its traceback."""

    def __init__(self, told: Told) -> None:
        super().__init__(1)
        self._told = told
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._told.add(self.format(record))


@pytest.fixture
def told() -> Iterator[Told]:
    """Python's and FFmpeg's logs from the finest level on."""
    found, before = Told(), av.logging.get_level()
    recorder, root = Recorder(found), logging.getLogger()
    level, libav = root.level, logging.getLogger("libav").level
    root.addHandler(recorder)
    root.setLevel(1)
    logging.getLogger("libav").setLevel(1)
    av.logging.set_level(av.logging.DEBUG)
    yield found
    av.logging.set_level(before)
    logging.getLogger("libav").setLevel(libav)
    root.setLevel(level)
    root.removeHandler(recorder)


@pytest.fixture(scope="module", params=["basic", "digest"])
def cameras(request: pytest.FixtureRequest, camera_clip: Path) -> Iterator[list[LabCamera]]:
    """One camera for each password, all in one process."""
    needs_rtsp_server()
    how: dict[str, Any] = {"clip": camera_clip, "auth": request.param, "transport": "tcp"}
    specs = [
        LabSpec(**how, name=f"c{number}", password=SecretStr(password))
        for number, password in enumerate(PASSWORDS)
    ]
    with Lab(specs) as lab:
        yield [lab[f"c{n}"] for n in range(len(specs))]


def ways(camera: LabCamera, number: int) -> Iterator[Source]:
    """Every way of giving the password of this camera."""
    password, bare = PASSWORDS[number], camera.open_url
    place = bare.removeprefix("rtsp://")
    yield open_source(camera.url)
    literal = f"literal:{password}" if password.startswith("env:") else password
    yield open_source(bare, username="user", password=literal)
    yield open_source(bare, username="user", password=f"env:CAM_{number}")
    yield open_source(f"rtsp://user:${{CAM_{number}}}@{place}")
    if raw_is_promised(password, place):
        yield open_source(f"rtsp://user:{password}@{place}")


def raw_is_promised(password: str, place: str) -> bool:
    """May it stand in the address as it is? No percent sign that reads as an encoding, no ``${``,
    no blank at either end."""
    return parse(f"rtsp://user:{password}@{place}").password == password and "${" not in password


def look(told: Told, source: Source) -> None:
    """Read one picture; note what can be printed of the source."""
    with closing(source.read()) as captures:
        capture = next(captures)
    told.add(repr(source), source.reference, source.properties, repr(capture))
    told.add({name: repr(value) for name, value in vars(source).items()})


def fail(told: Told, camera: LabCamera, password: str) -> None:
    """A password that is wrong by one letter."""
    source = open_source(camera.open_url, username="user", password=f"literal:{password}x")
    with pytest.raises(SourceError) as caught:
        next(source.read())
    assert caught.value.code is StreamErrorCode.AUTH_FAILED
    told.add(*traceback.format_exception(caught.value), repr(caught.value), caught.value.args)
    cause: BaseException | None = caught.value
    while cause is not None:
        told.add(repr(cause), vars(cause), cause.args)
        cause = cause.__cause__ or cause.__context__


def processes() -> str:
    """What others see of this process, and of those it started."""
    seen = []
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        for name in ("cmdline", "environ"):
            try:
                data = Path(f"/proc/{process.pid}/{name}").read_bytes()
            except OSError:
                continue
            seen.append(data.decode(errors="replace"))
    return "\n".join(seen)


def test_they_log_in_by_every_way_and_are_told_nowhere(
    cameras: list[LabCamera],
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for number, password in enumerate(PASSWORDS):
        monkeypatch.setenv(f"CAM_{number}", password)

    def all_ways(number: int) -> int:
        sources = list(ways(cameras[number], number))
        for source in sources:
            look(told, source)
        fail(told, cameras[number], PASSWORDS[number])
        return len(sources)

    with ThreadPoolExecutor(4) as pool:
        ways_each = list(pool.map(all_ways, range(len(PASSWORDS))))
    assert sum(each == 5 for each in ways_each) >= 20  # the raw form is the rule, not the exception
    told.add(*capfd.readouterr(), processes())
    assert told.secrets() == []


def test_ffmpeg_at_its_most_talkative_tells_nothing(cameras: list[LabCamera], told: Told) -> None:
    av.logging.set_level(av.logging.TRACE)
    fail(told, cameras[10], PASSWORDS[10])
    assert any("Authorization:" in text for text in told.texts)
    assert told.secrets() == []


def test_what_ffmpeg_would_cut_off_is_told(cameras: list[LabCamera]) -> None:
    long = "x" * 123
    for password, told in ((long[:-1], "not accepted"), (long, "too long")):
        source = open_source(cameras[0].open_url, username="user", password=password)
        with pytest.raises(SourceError, match=told) as caught:
            next(source.read())
        assert caught.value.code is StreamErrorCode.AUTH_FAILED


def test_a_pipeline_and_a_process_of_its_own_tell_nothing(
    cameras: list[LabCamera],
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    updates, chosen = Updates(), (10, 19, 29)
    for number in chosen:
        monkeypatch.setenv(f"CAM_{number}", PASSWORDS[number])
    references: list[Any] = [
        SourceReference(cameras[n].open_url, {"username": "user", "password": f"env:CAM_{n}"} | how)
        for n in chosen
        for how in ({}, {"isolated": True})
    ]
    references.append(SourceReference(cameras[0].open_url, {"username": "u", "password": MARK}))
    came, seen = threading.Event(), set[int]()

    def saw(_: Any, frames: Any) -> None:
        for frame in frames if isinstance(frames, list) else [frames]:
            if frame is not None:
                seen.add(frame.source_id)
                told.add(repr(frame))
        if len(seen) == 2 * len(chosen):
            came.set()

    pipeline = InferencePipeline.init_with_custom_logic(
        references, numbers, on_prediction=saw, status_update_handlers=[updates]
    )
    pipeline.start(use_main_thread=False)
    try:
        assert came.wait(40), seen
        told.add(processes(), pipeline.stats(), repr(pipeline))
    finally:
        pipeline.terminate()
        pipeline.join()
    told.add(*(f"{u.event_type} {u.payload}" for u in updates.all), pipeline.stats())
    told.add(*capfd.readouterr())
    assert told.secrets() == []
