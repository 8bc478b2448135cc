"""Pipelines of a server against its own edges: begun, ended and closed at the same moment."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from streamkit.errors import ClosedError, ConfigError, StreamkitError
from streamkit.pipeline import InferencePipeline
from streamkit.server.failures import HttpError
from streamkit.server.hosting import Build, Hosting
from streamkit.server.ledger import Ledger
from streamkit.server.strangers import House
from tests.fakes import until

LIVE = {"sources": ["synthetic:fps=5"], "model": "street/1"}


class Pipe:
    """A pipeline that runs until it is told to end."""

    def __init__(self) -> None:
        self.running = self.muted = self.ended = False

    def start(self, *, use_main_thread: bool) -> None:
        assert not use_main_thread
        self.running = True

    def terminate(self) -> None:
        self.running, self.ended = False, True

    def mute_stream(self) -> None:
        self.muted = True

    def resume_stream(self) -> None:
        self.muted = False

    def join(self, _seconds: float) -> None:
        pass


class Made:
    """Builds those; holds still while ``gate`` is shut, raises ``error`` while there is one."""

    def __init__(self) -> None:
        self.all: list[Pipe] = []
        self.asked = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def __call__(self, *_: Any, **__: Any) -> InferencePipeline:
        self.asked.release()
        assert self.gate.wait(20)
        if self.error is not None:
            raise self.error
        self.all.append(Pipe())
        return cast(InferencePipeline, self.all[-1])


@pytest.fixture
def made() -> Made:
    return Made()


@pytest.fixture
def hosting(tmp_path: Path, made: Made) -> Iterator[Hosting]:
    hosting = opened(tmp_path, made)
    yield hosting
    made.gate.set()
    hosting.close()


def opened(folder: Path, build: Build, most: int = 3) -> Hosting:
    return Hosting(House(folder / "files"), Ledger(folder / "p.sqlite3"), most, build)


def test_one_that_is_ended_while_it_begins_does_not_run_on(
    tmp_path: Path, made: Made, hosting: Hosting
) -> None:
    name = hosting.add(LIVE)
    hosting.close()
    again = opened(tmp_path, made)
    made.gate.clear()
    made.asked = threading.Semaphore(0)
    again.start()
    assert made.asked.acquire(timeout=20)
    again.remove(name)
    made.gate.set()
    until(lambda: len(made.all) == 2 and made.all[1].ended)
    assert again.names() == []
    again.close()


def test_one_that_is_slow_to_begin_holds_up_no_other(
    tmp_path: Path, made: Made, hosting: Hosting
) -> None:
    first, second = hosting.add(LIVE), hosting.add(LIVE)
    hosting.close()
    made.gate.clear()
    made.asked = threading.Semaphore(0)
    again = opened(tmp_path, made)
    again.start()
    assert made.asked.acquire(timeout=20)
    assert made.asked.acquire(timeout=20)  # both at a time
    again.pause(first, True)  # counts from its beginning on
    made.gate.set()
    until(lambda: again.find(first).state == "paused" and again.find(second).state == "running")
    assert sum(pipe.muted for pipe in made.all) == 1
    again.close()


def test_what_cannot_be_written_down_does_not_run(made: Made, hosting: Hosting) -> None:
    hosting._ledger.close()  # as a disk that is full
    with pytest.raises(HttpError) as told:
        hosting.add(LIVE)
    assert told.value.status == 503
    assert hosting.names() == []
    assert [pipe.ended for pipe in made.all] == [True]


@pytest.mark.parametrize("extra", [2**70, "\ud800", "x" * 2_000_000])
def test_what_cannot_be_kept_is_told(hosting: Hosting, made: Made, extra: object) -> None:
    with pytest.raises(ConfigError):
        hosting.add({**LIVE, "x-note": extra})
    assert made.all == []


def test_many_at_once_are_never_more_than_may_be(hosting: Hosting, made: Made) -> None:
    made.gate.clear()
    answers: list[object] = []

    def add() -> None:
        try:
            answers.append(hosting.add(LIVE))
        except HttpError as error:
            answers.append(error.status)

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: answers.count(503) == 5)
    made.gate.set()
    for thread in threads:
        thread.join()
    assert len(hosting.names()) == 3


def test_one_that_has_ended_makes_room(hosting: Hosting, made: Made) -> None:
    names = [hosting.add(LIVE) for _ in range(3)]
    made.all[1].running = False
    hosting.add(LIVE)
    assert names[1] not in hosting.names()
    assert len(hosting.names()) == 3


def test_one_that_made_room_does_not_come_back(
    tmp_path: Path, hosting: Hosting, made: Made
) -> None:
    names = [hosting.add(LIVE) for _ in range(3)]
    evicted = hosting.find(names[1])
    made.all[1].running = False
    names.append(hosting.add(LIVE))
    assert evicted.results.over, "who reads them is told"
    kept = Ledger(tmp_path / "p.sqlite3").entries()
    assert [entry.id for entry in kept] == [names[0], *names[2:]]


def test_nothing_is_begun_when_the_server_ends(
    tmp_path: Path, made: Made, hosting: Hosting
) -> None:
    hosting.add(LIVE)
    hosting.close()
    with pytest.raises(ClosedError):
        hosting.add(LIVE)
    assert [pipe.ended for pipe in made.all] == [True]
    assert len(Ledger(tmp_path / "p.sqlite3").entries()) == 1, "it goes on with the next start"


def test_an_error_nobody_foresaw_ends_no_other(tmp_path: Path, made: Made) -> None:
    hosting = opened(tmp_path, made)
    first = hosting.add(LIVE)
    hosting.close()
    again = opened(tmp_path, made)
    made.error = RuntimeError("/a/place/on/the/server")
    again.start()
    until(lambda: again.find(first).error is not None)
    assert "/a/place" not in str(again.find(first).error)
    made.error = None
    second = again.add({**LIVE, "consumption_timeout": 0.1})
    until(lambda: again.names() == [first])
    assert second not in again.names()
    again.close()


def test_a_document_that_is_wrong_is_tried_once(tmp_path: Path, made: Made) -> None:
    hosting = opened(tmp_path, made)
    name = hosting.add(LIVE)
    hosting.close()
    made.error = ConfigError("no such option")
    again = opened(tmp_path, made)
    again.start()
    until(lambda: again.find(name).tried > 0)
    assert again.find(name).tried == math.inf
    assert again.find(name).state == "failed"
    again.close()


def test_a_begin_that_fails_leaves_nothing(hosting: Hosting, made: Made) -> None:
    made.error = StreamkitError("no such model")
    with pytest.raises(StreamkitError, match="no such model"):
        hosting.add(LIVE)
    assert hosting.names() == []


def test_two_documents_of_one_name_are_told(tmp_path: Path, hosting: Hosting) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    for suffix in ("yaml", "yml"):
        (folder / f"yard.{suffix}").write_text('{"sources": ["synthetic:fps=5"], "model": "a/1"}')
    with pytest.raises(ConfigError, match=r"yard\.yml"):
        hosting.adopt(folder)
