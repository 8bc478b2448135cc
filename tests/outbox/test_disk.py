"""When the disk takes nothing: events wait in memory, that is told, and they go to disk later."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from streamkit.errors import OutboxError, OutboxErrorCode
from streamkit.outbox.base import Destination
from streamkit.outbox.opened import Outboxes
from streamkit.outbox.queue import Queue
from streamkit.outbox.store import Store
from tests.fakes import until
from tests.needs import needs_mounts
from tests.outbox.making import Recorder, joined, message, options, several


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "box.sqlite"


class Nowhere(Recorder):
    """Never takes anything."""

    def __init__(self) -> None:
        super().__init__()
        self.gate.clear()


def ids(messages: list[tuple[str]]) -> list[str]:
    return [each for (each,) in messages]


@contextmanager
def queue(path: Path, destination: Destination, **more: object) -> Iterator[Queue]:
    """A queue whose store can be reached."""
    opened = Queue(Store(path), "there", destination, options(path, **more))
    try:
        yield opened
    finally:
        opened.close()
        opened.store.close()


def fill(store: Store) -> None:
    """From now on the file may not grow: what SQLite sees of a full disk."""
    pages = store.rows("PRAGMA page_count")[0][0]
    store.rows(f"PRAGMA max_page_count = {pages}")


def put_until_full(box: Queue) -> list[str]:
    """Large ones, until one has to wait in memory; their ids."""
    put: list[str] = []
    while box.code is None:
        each = message(len(put), size=3000)
        box.put([each], threading.Event())
        put.append(each.id)
        assert len(put) < 100
    return put


def test_a_full_disk_is_told_and_nothing_is_lost_or_overtaken(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with queue(path, Nowhere()) as box, caplog.at_level(logging.WARNING):
        fill(box.store)
        put = put_until_full(box)
        assert box.code is OutboxErrorCode.DISK_FULL
        box.put([message(500, size=10)], threading.Event())  # would fit, but must not overtake
        stats = box.stats()
        assert (stats["code"], stats["in_memory"]) == ("OUTBOX_DISK_FULL", 2)
        assert "OUTBOX_DISK_FULL" in caplog.text

        box.store.rows("PRAGMA max_page_count = 100000")
        until(lambda: box.stats()["in_memory"] == 0)

        assert box.stats()["code"] is None
        found = ids(box.store.rows("SELECT id FROM message ORDER BY seq"))
        assert found == [*put, "entrance-500.instant"]


def test_what_is_on_the_disk_is_sent_while_it_is_full(path: Path) -> None:
    there = Recorder()
    there.gate.clear()
    with queue(path, there) as box:
        fill(box.store)
        put = put_until_full(box)
        there.gate.set()
        there.await_sent(len(put))  # what was sent made room for the rest
        assert there.ids() == put


def test_memory_is_bounded_and_what_is_lost_is_counted(path: Path) -> None:
    with queue(path, Nowhere(), memory=5) as box:
        fill(box.store)
        put_until_full(box)
        for number in range(10):
            box.put([message(number, "exit", size=3000)], threading.Event())
        assert (box.stats()["in_memory"], box.stats()["lost"]) == (5, 6)
        box.store.rows("PRAGMA max_page_count = 100000")
    with closing(Store(path)) as store:
        assert [row[0] for row in store.rows("SELECT id FROM message WHERE stream = 'exit'")] == [
            each.id for each in several(5, "exit", first=5)
        ]


def test_memory_refuses_too_where_that_is_the_policy(path: Path) -> None:
    with queue(path, Nowhere(), memory=2, on_full="refuse") as box:
        fill(box.store)
        put_until_full(box)
        box.put(several(1, "exit"), threading.Event())
        with pytest.raises(OutboxError, match="2 wait in memory") as caught:
            box.put(several(1, "exit", first=1), threading.Event())
        assert caught.value.code is OutboxErrorCode.FULL
        box.store.rows("PRAGMA max_page_count = 100000")


@pytest.mark.parametrize("policy", ["refuse", "block"])
def test_what_waited_for_a_busy_disk_is_kept_and_when_it_is_full_the_next_is_refused(
    path: Path, policy: str
) -> None:
    hurried = threading.Event()
    hurried.set()
    with queue(path, Nowhere(), max_messages=3, on_full=policy) as box:
        box.put(several(3), hurried)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            box.put(several(1, first=3), hurried)
            assert box.stats()["in_memory"] == 1
            other.execute("ROLLBACK")
        with pytest.raises(OutboxError, match="is full") as caught:
            box.put(several(1, first=4), hurried)
        assert caught.value.code is OutboxErrorCode.FULL
    with closing(Store(path)) as store:
        assert store.waiting("there")[0] == 4


def test_a_real_disk_that_is_full_when_the_run_begins(tmp_path: Path) -> None:
    with needs_mounts(tmp_path / "small", "-t", "tmpfs", "-o", "size=400k", "tmpfs") as disk:
        filler, there = disk / "filler", Recorder()
        _write_until_full(filler)
        with joined(disk / "box.sqlite", there) as seat:
            for each in several(5):
                seat.put([each])
            assert seat.stats()["in_memory"] == 5
            assert seat.stats()["code"] in ("OUTBOX_DISK_FULL", "OUTBOX_DISK_FAILED")
            filler.unlink()
            there.await_sent(5)
            assert there.ids() == [each.id for each in several(5)]
            assert seat.stats()["code"] is None


def test_a_real_disk_that_becomes_full_and_then_has_room(tmp_path: Path) -> None:
    with needs_mounts(tmp_path / "small", "-t", "tmpfs", "-o", "size=5m", "tmpfs") as disk:
        filler, there = disk / "filler", Recorder()
        there.gate.clear()
        with joined(disk / "box.sqlite", there) as seat:
            seat.put(several(3))
            _write_until_full(filler)
            for number in range(3, 60):
                seat.put([message(number, size=60_000)])
            assert seat.stats()["in_memory"] > 0
            filler.unlink()
            there.gate.set()
            there.await_sent(60)
            assert there.ids() == [each.id for each in several(60)]


def test_a_disk_that_is_read_only_for_a_while(tmp_path: Path) -> None:
    with needs_mounts(tmp_path / "disk", "-t", "tmpfs", "-o", "size=4m", "tmpfs") as disk:
        there, boxes = Recorder(), Outboxes()
        with joined(disk / "box.sqlite", there, boxes=boxes) as seat:
            seat.put(several(1))
            there.await_sent(1)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with joined(disk / "box.sqlite", there, boxes=boxes) as seat:
            seat.put(several(2, first=1))
            assert seat.stats()["in_memory"] == 2
            assert seat.stats()["code"] == "OUTBOX_READ_ONLY"
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
            there.await_sent(3)
            assert there.ids() == [each.id for each in several(3)]


def test_a_damaged_file_is_moved_aside_and_that_is_told(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Store(path)) as store:
        store.put("there", [message(n, size=2000) for n in range(50)], options(path))
    data = bytearray(path.read_bytes())
    data[4096:20_000] = b"\xa5" * (20_000 - 4096)
    path.write_bytes(data)
    there = Recorder()
    with caplog.at_level(logging.ERROR), joined(path, there) as seat:
        seat.put(several(1))
        there.await_sent(1)
    assert "OUTBOX_DAMAGED" in caplog.text
    assert path.with_name("box.sqlite.damaged-1").read_bytes()[4096:20_000] == data[4096:20_000]


def test_a_file_that_is_no_database_at_all_is_moved_aside_too(path: Path) -> None:
    path.write_bytes(b"not a database at all\x00\xa5" * 500)
    path.with_name("box.sqlite.damaged-1").touch()
    with closing(Store(path)) as store:
        store.put("there", several(1), options(path))
    assert path.with_name("box.sqlite.damaged-2").exists()


def test_a_text_of_somebodys_is_left_alone(path: Path) -> None:
    path.write_text("dear diary, \N{GRINNING FACE}" * 500)
    with pytest.raises(OutboxError, match=r"box\.sqlite is a text of somebody's"):
        Store(path).put("there", several(1), options(path))
    assert path.read_text().startswith("dear diary")
    assert not list(path.parent.glob("*damaged*"))


def test_damage_while_it_is_used_is_survived(path: Path) -> None:
    there = Recorder()
    there.gate.clear()
    with joined(path, there) as seat:
        seat.put([message(n, size=2000) for n in range(50)])
        with closing(Store(path)) as other:
            other.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * 100_000)
        there.gate.set()
        for each in several(5, "later"):
            seat.put([each])
        until(lambda: there.ids("later") == [each.id for each in several(5, "later")])


def test_a_place_where_no_file_can_be_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutboxError, match="cannot be used"):
        Store(tmp_path / "file" / "box.sqlite")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutboxError, match="cannot be used"):
        Store(tmp_path / "folder")


def _write_until_full(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return


def test_nobody_waits_long_for_a_process_that_keeps_the_outbox_to_itself(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamkit.outbox.store.OPENING", 0.2)
    lost = pytest.raises(OutboxError, match="3 events are lost")
    with FileLock(f"{path}.lock"), lost as caught, queue(path, Recorder()) as box:
        began = time.monotonic()
        for number in range(3):
            box.put([message(number)], threading.Event())
        assert time.monotonic() - began < 8, "each waited as long as the first"
        assert box.stats()["in_memory"] == 3
    assert caught.value.code is OutboxErrorCode.BUSY
