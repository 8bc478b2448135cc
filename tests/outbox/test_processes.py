"""Several processes share one file: one of them sends, another takes over when it ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from streamkit.outbox.store import Store
from tests.fakes import until
from tests.outbox.making import Recorder, joined, several
from tests.processes import process

OTHER = """
import sys

from pathlib import Path
from tests.outbox.making import Recorder, joined, several

class Telling(Recorder):
    def send(self, messages):
        sys.stdout.write(f"sent {messages[0].id}\\n")
        sys.stdout.flush()

with joined(Path(sys.argv[1]), Telling()) as seat:
    for line in sys.stdin:
        stream, first, count = line.split()
        seat.put(several(int(count), stream, int(first)))
        sys.stdout.write("put\\n")
        sys.stdout.flush()
"""


class Other:
    """Another process at the same outbox."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def put(self, stream: str, first: int, count: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{stream} {first} {count}\n")
        self.process.stdin.flush()

    def heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def other(path: Path) -> Iterator[Other]:
    command = [sys.executable, "-c", OTHER, path]
    with process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        yield Other(started)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "box.sqlite"


def test_what_another_process_puts_is_sent_by_the_one_that_sends(path: Path) -> None:
    there = Recorder()
    with joined(path, there) as seat:
        seat.put(several(1))
        there.await_sent(1)
        with other(path) as second:
            second.put("yard", 0, 5)
            assert second.heard() == "put"
            there.await_sent(6)
            seat.put(several(1, first=1))
            there.await_sent(7)
            assert second.process.stdin is not None
            second.process.stdin.close()
            assert second.heard() == "", "it has sent nothing"
    assert there.ids("yard") == [each.id for each in several(5, "yard")]


def test_another_takes_over_when_the_one_that_sends_is_killed(path: Path) -> None:
    with other(path) as first:
        first.put("entrance", 0, 1)
        told = {first.heard(), first.heard()}
        assert told == {"put", "sent entrance-0.instant"}
        there = Recorder()
        with joined(path, there) as seat:
            seat.put(several(2, first=1))
            assert first.heard() == "sent entrance-1.instant"
            assert first.heard() == "sent entrance-2.instant"
            first.process.kill()
            first.process.wait()
            seat.put(several(2, first=3))
            until(lambda: "entrance-4.instant" in there.ids())
    with closing(Store(path)) as store:
        until(lambda: store.waiting("there")[0] == 0)


def test_many_threads_and_processes_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    path, there = tmp_path / "box.sqlite", Recorder(batch=50)
    with joined(path, there, durable=False) as seat, other(path) as one, other(path) as two:
        one.put("one", 0, 200)
        two.put("two", 0, 200)
        for number in range(100):
            seat.put(several(1, first=number))
        assert (one.heard(), two.heard()) == ("put", "put")
        there.await_sent(500)
        for stream, count in (("one", 200), ("two", 200), ("entrance", 100)):
            assert there.ids(stream) == [each.id for each in several(count, stream)]
        for each in (one.process, two.process):
            assert each.stdin is not None
            each.stdin.close()
