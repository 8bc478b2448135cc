"""The outbox on disk: what is put, what is next, and what became of it; one short transaction
each."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from streamkit.errors import OutboxError, OutboxErrorCode
from streamkit.outbox.base import Message
from streamkit.outbox.options import OutboxOptions
from streamkit.outbox.schema import OPENING, OPENING_AGAIN, is_damage, open_file, translated
from streamkit.outbox.timeline import Timeline


class State(IntEnum):
    """Of a message."""

    WAITS = 0
    SENT = 1
    DEAD = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as the outbox has it."""

    seq: int
    """The order in which messages were put, whatever the clock said."""
    message: Message
    since: float
    """When it began to wait, by the timeline."""


log = logging.getLogger(__name__)

_MAY_PASS: Final = (
    OutboxErrorCode.DISK_FULL,
    OutboxErrorCode.READ_ONLY,
    OutboxErrorCode.DISK_FAILED,
    OutboxErrorCode.BUSY,
)

_PUT: Final = """
INSERT INTO message (destination, stream, id, kind, at, body, since) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (destination, id) DO NOTHING
"""
_NEXT: Final = """
SELECT seq, id, stream, at, kind, body, attempts, since FROM message
WHERE destination = ? AND state = 0
AND stream NOT IN (SELECT value FROM json_each(?)) AND seq NOT IN (SELECT value FROM json_each(?))
ORDER BY seq LIMIT ?
"""


class Store:
    """Used by any number of threads, and its file by any number of processes.

    Everything raises ``OutboxError`` where the file cannot be used; nothing is half done then.
    Making it does so only for what will not pass by itself: a full disk may.
    """

    def __init__(self, path: Path, *, durable: bool = True, timeline: Timeline | None = None):
        self.path, self.durable = path, durable
        self.timeline = timeline or Timeline()
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._resumed = False
        with self._lock:
            try:
                self._connection(OPENING)
            except OutboxError as error:
                if error.code not in _MAY_PASS:
                    raise
                log.warning("%s: %s", error.code, error)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing. A file that turns out to be damaged is opened anew next time."""
        with self._lock:
            db = self._connection()
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                if not isinstance(error, sqlite3.Error):
                    raise
                if is_damage(error):
                    self._let_go()
                raise translated(error, self.path) from error

    def _connection(self, patience: float = OPENING_AGAIN) -> sqlite3.Connection:
        if self._db is None:
            self._db = open_file(self.path, durable=self.durable, patience=patience)
        if not self._resumed:
            found = self._db.execute("SELECT time, wall FROM timeline").fetchone()
            self.timeline.resume(*(found or (0.0, self.timeline.clock.wall())))
            self._resumed = True
        return self._db

    def _let_go(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def close(self) -> None:
        """Let go of the file; it is opened again where it is used again."""
        with self._lock:
            self._let_go()

    # -- messages ----------------------------------------------------------------------------

    def put(self, destination: str, messages: Sequence[Message], options: OutboxOptions) -> int:
        """Keep ``messages`` in this order; how many older ones were dropped to make room.

        One whose id is known is counted as ``repeated`` and not kept twice. Raises ``OutboxError``
        with the code ``FULL``, and keeps none of them, where there is no room and none is made.
        """
        with self.transaction() as db:
            since = self._now(db)
            new = 0
            for each in messages:
                row = (destination, each.stream, each.id, each.kind, each.at.timestamp())
                new += db.execute(_PUT, (*row, each.body, since)).rowcount
            tally(db, destination, "put", new)
            if new < len(messages):
                tally(db, destination, "repeated", len(messages) - new)
            return self._make_room(db, destination, options)

    def _make_room(self, db: sqlite3.Connection, destination: str, options: OutboxOptions) -> int:
        count, size = load(db, destination, State.WAITS)
        dropped = 0
        while count > options.max_messages or size > options.max_bytes:
            if options.on_full != "drop_oldest" or count == 1:
                text = f"the outbox {self.path} is full for {destination!r}: {count - 1} wait"
                raise OutboxError(text, OutboxErrorCode.FULL)
            oldest = "SELECT min(seq) FROM message WHERE destination = ? AND state = 0"
            db.execute(f"DELETE FROM message WHERE seq = ({oldest})", (destination,))
            dropped += 1
            count, size = load(db, destination, State.WAITS)
        if dropped:
            tally(db, destination, "dropped", dropped)
        return dropped

    def next(
        self,
        destination: str,
        limit: int,
        *,
        without: Collection[str] = (),
        except_for: Collection[int] = (),
    ) -> list[Entry]:
        """What waits longest, in order, ``without`` these streams and ``except_for`` these."""
        given = (destination, json.dumps(list(without)), json.dumps(list(except_for)), limit)
        with self._reading() as db:
            return [_entry(row) for row in db.execute(_NEXT, given)]

    def finish(
        self, entries: Sequence[Entry], destination: str, state: State, reason: str | None = None
    ) -> None:
        """They were sent, or never will be. On a full disk what was sent is not kept for replay."""
        try:
            self._move(entries, destination, state, reason)
        except OutboxError as error:
            if error.code is not OutboxErrorCode.DISK_FULL or state is not State.SENT:
                raise
            self._remove(entries, destination)

    def _move(
        self, entries: Sequence[Entry], destination: str, state: State, reason: str | None
    ) -> None:
        done = "UPDATE message SET state = ?, done = ?, reason = ?, attempts = ? " \
            "WHERE seq = ? AND state = 0"  # fmt: skip
        with self.transaction() as db:
            now, count = self._now(db), 0
            for each in entries:
                row = (int(state), now, reason, each.message.attempt, each.seq)
                count += db.execute(done, row).rowcount
            tally(db, destination, state.name.lower(), count)

    def _remove(self, entries: Sequence[Entry], destination: str) -> None:
        gone = "DELETE FROM message WHERE seq = ? AND state = 0"
        with self.transaction() as db:
            count = sum(db.execute(gone, (each.seq,)).rowcount for each in entries)
            tally(db, destination, State.SENT.name.lower(), count)

    def make_space(self) -> int:
        """The disk is full: what was delivered long ago, of any destination, gives way to what was
        not. How many messages, at most some hundred."""
        oldest = "SELECT seq FROM message WHERE state = 1 ORDER BY seq LIMIT 200"
        with self.transaction() as db:
            return db.execute(f"DELETE FROM message WHERE seq IN ({oldest})").rowcount

    def retry(self, entries: Sequence[Entry], destination: str, reason: str) -> None:
        """An attempt at them has failed."""
        with self.transaction() as db:
            self._now(db)
            db.executemany(
                "UPDATE message SET attempts = ?, reason = ? WHERE seq = ? AND state = 0",
                [(each.message.attempt, reason, each.seq) for each in entries],
            )
            tally(db, destination, "retried", len(entries))

    # -- looking -----------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            db = self._connection()
            try:
                yield db
            except sqlite3.Error as error:
                if is_damage(error):
                    self._let_go()
                raise translated(error, self.path) from error

    def rows(self, query: str, given: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What ``query`` finds."""
        with self._reading() as db:
            return db.execute(query, given).fetchall()

    def shrink(self, pages: int) -> None:
        """Give free pages back to the disk, at most so many."""
        with self._reading() as db:
            db.executescript(f"PRAGMA incremental_vacuum({pages})")  # execute() stops after one

    def waiting(self, destination: str) -> tuple[int, int]:
        """(messages, bytes)."""
        with self._reading() as db:
            return load(db, destination, State.WAITS)

    def _now(self, db: sqlite3.Connection) -> float:
        """The time, which is kept for the next run."""
        now, wall = self.timeline.now(), self.timeline.clock.wall()
        db.execute(
            "INSERT INTO timeline VALUES (1, ?, ?) ON CONFLICT DO UPDATE "
            "SET time = excluded.time, wall = excluded.wall WHERE excluded.time >= time",
            (now, wall),
        )
        return now


def load(db: sqlite3.Connection, destination: str, state: State) -> tuple[int, int]:
    """(messages, bytes) of a destination in this state."""
    query = "SELECT count, bytes FROM load WHERE destination = ? AND state = ?"
    found = db.execute(query, (destination, int(state))).fetchone()
    return found or (0, 0)


def tally(db: sqlite3.Connection, destination: str, what: str, count: int) -> None:
    """Count something that happened."""
    db.execute(
        "INSERT INTO tally VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + ?",
        (destination, what, count, count),
    )


def _entry(row: tuple[Any, ...]) -> Entry:
    seq, key, stream, at, kind, body, attempts, since = row
    moment = datetime.fromtimestamp(at, UTC)
    return Entry(seq, Message(key, stream, moment, kind, body, attempts + 1), since)
