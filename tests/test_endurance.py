"""Opening, failing, short streams: for ever, they leave no memory, descriptor or thread behind.

Shortened here. In full:
``STREAMKIT_ENDURANCE=10000 pytest -o faulthandler_timeout=3600 tests/test_endurance.py``.
"""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import psutil
import pytest

from streamkit import InferencePipeline
from streamkit.errors import SourceError, StreamErrorCode
from streamkit.frame import VideoFrame
from streamkit.predictions import Detections, Result
from streamkit.sources import open_source
from streamkit.sources.base import Source
from streamkit.stages import open_stage
from tests.cameras import camera
from tests.clips import clip
from tests.fakes import Clip, until
from tests.sources.servers import unused_port, web
from tests.stages.making import objects

FULL = int(os.environ.get("STREAMKIT_ENDURANCE", "0"))
KIB_A_CYCLE = 2.0
"""What the allocator's noise over some hundred cycles may look like; in full it is a tenth."""
PARTS = 8

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(3600 if FULL else 120)]

Cycle: TypeAlias = Callable[[], None]


def cycles(short: int, share: float) -> int:
    """How many of one kind: ``share`` of them all in full."""
    return int(FULL * share) or short


def fails_with(make: Callable[[], Source], code: StreamErrorCode) -> Cycle:
    def cycle() -> None:
        with pytest.raises(SourceError) as caught:
            for _ in make().read():
                pass
        assert caught.value.code is code

    return cycle


def is_interrupted(make: Callable[[], Source]) -> Cycle:
    """Interrupted while it waits for an answer, from another thread."""

    def cycle() -> None:
        source = make()
        timer = threading.Timer(0.01, source.interrupt)
        timer.start()
        begun = time.monotonic()
        assert list(source.read()) == []
        timer.join()
        assert time.monotonic() - begun < 10

    return cycle


def held() -> tuple[float, int, int]:
    """KiB of memory, descriptors, threads."""
    gc.collect()
    process = psutil.Process()
    return process.memory_info().rss / 1024, process.num_fds(), process.num_threads()


def endure(cycle: Cycle, count: int, *, at_once: int = 1) -> None:
    """Some to warm up, then ``count`` in parts; what is held must not grow from part to part."""

    def several(number: int) -> None:
        if at_once == 1:
            for _ in range(number):
                cycle()
            return
        with ThreadPoolExecutor(at_once) as pool:
            for future in [pool.submit(cycle) for _ in range(number)]:
                future.result()

    each = max(1, count // PARTS)
    several(2 * each)
    seen = [held()]
    for _ in range(PARTS):
        several(each)
        seen.append(held())
    until(lambda: held()[1:] <= seen[0][1:], 5)
    allowed = KIB_A_CYCLE / (10 if FULL >= 10_000 else 1)
    growth = slope([memory for memory, *_ in seen[PARTS // 2 :]]) / each
    assert growth < max(allowed, 1024 / count), f"{growth:.2f} KiB a cycle: {seen}"


def slope(values: list[float]) -> float:
    """By how much each is more than the one before, by the median of all pairs."""
    rises = sorted(
        (later - earlier) / (j - i)
        for i, earlier in enumerate(values)
        for j, later in enumerate(values)
        if i < j
    )
    return rises[len(rises) // 2]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("endurance") / "clip.mp4", frames=60, fps=30, gop=30)


@contextmanager
def denying(path: Path) -> Iterator[tuple[str, str]]:
    """(an address with a wrong path, one with a wrong password) of a real camera."""
    with camera(path, auth="digest") as cam:
        yield f"{cam.url}s", cam.open_url.replace("rtsp://", "rtsp://user:wrong@")


def test_refused_connections() -> None:
    address = f"rtsp://user:pass@127.0.0.1:{unused_port()}/live"
    endure(
        fails_with(lambda: open_source(address), StreamErrorCode.REFUSED),
        cycles(400, 0.4),
    )


@pytest.mark.rtsp
def test_paths_that_are_not_there(recording: Path) -> None:
    with denying(recording) as (nowhere, _):
        endure(
            fails_with(lambda: open_source(nowhere), StreamErrorCode.NOT_FOUND),
            cycles(64, 0.15),
        )


@pytest.mark.rtsp
def test_passwords_that_are_wrong(recording: Path) -> None:
    with denying(recording) as (_, wrong):
        endure(
            fails_with(lambda: open_source(wrong), StreamErrorCode.AUTH_FAILED),
            cycles(64, 0.15),
        )


def test_http_that_is_not_there() -> None:
    def answer(request: Any) -> None:
        request.reply(b"", status=404)

    with web(answer) as address:
        endure(
            fails_with(lambda: open_source(f"{address}/x", live=True), StreamErrorCode.NOT_FOUND),
            cycles(96, 0.1),
        )


def test_files_that_are_no_video(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(bytes(range(256)) * 40)
    endure(
        fails_with(lambda: open_source(path), StreamErrorCode.CODEC_UNSUPPORTED),
        cycles(96, 0.1),
    )


def test_silence_that_is_interrupted() -> None:
    # Nobody accepts: the kernel connects them, and the test holds no descriptors of its own.
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as silent:
        port = silent.getsockname()[1]
        endure(
            is_interrupted(lambda: open_source(f"rtsp://127.0.0.1:{port}/x")),
            cycles(64, 0.08),
            at_once=8,
        )


def test_short_streams_with_every_stage_that_remembers(tmp_path: Path) -> None:
    """Each is added, gives four frames and is removed; what its stages knew goes with it."""
    area = [[0, 0], [640, 0], [640, 480], [0, 480]]
    stages: dict[str, dict[str, Any]] = {
        "track": {"events": True, "rate": 25},
        "zone": {"polygon": area, "loiter": 0.05},
        "line": {"start": [300, 0], "end": [300, 480]},
        "still": {"after": 0.05},
        "speed": {"limit": 1},
        "trails": {},
        "heat": {},
        "window": {"seconds": 1},
        "limit": {"cooldown": 0.01, "per": "track"},
        "evidence": {"folder": tmp_path / "evidence", "keep_gb": 1e-3},
    }
    heard = Counter[str]()

    class Alarms:
        takes_events = True

        def write(self, result: Result) -> None:
            heard.update(event.phase for event in result.events)

        def close(self) -> None:
            pass

    def crowded(frames: Sequence[VideoFrame]) -> list[Detections]:
        return [objects((0, 0, 200, 300), (0, 2, 400, 300), tracked=False) for _ in frames]

    pipeline = InferencePipeline.init_with_custom_logic(
        [],
        on_video_frame=crowded,
        stages=[partial(open_stage, name, options) for name, options in stages.items()],
        sinks=[Alarms()],
        keep_alive=True,
    )

    def cycle() -> None:
        source = pipeline.add_source(Clip(4), name="short")
        until(lambda: any(s["delivered"] == 4 for s in pipeline.stats()["streams"]))
        pipeline.remove_source(source)
        until(lambda: heard["start"] == heard["end"] > 0)

    with pipeline:
        endure(cycle, cycles(40, 1.0))


def test_processes_that_fail() -> None:
    address = f"rtsp://user:pass@127.0.0.1:{unused_port()}/live"
    endure(
        fails_with(lambda: open_source(address, isolated=True), StreamErrorCode.REFUSED),
        cycles(8, 0.02),
        at_once=2,
    )
    assert not [p for p in psutil.Process().children() if p.status() == psutil.STATUS_ZOMBIE]
