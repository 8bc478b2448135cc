"""Keeps events in an SQLite file that others may query while it grows."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final

from streamkit.errors import ConfigError, SinkError
from streamkit.events import Event
from streamkit.predictions import Result
from streamkit.sinks.base import Sink
from streamkit.sinks.chosen import Chosen
from streamkit.sinks.record import encode

COLUMNS: Final = {
    "idempotency_key": "TEXT PRIMARY KEY NOT NULL",
    "id": "TEXT NOT NULL",
    "phase": "TEXT NOT NULL",
    "kind": "TEXT NOT NULL",
    "at": "TEXT NOT NULL",
    "stream": "INTEGER",
    "source": "TEXT NOT NULL",
    "sequence": "INTEGER",
    "key": "TEXT NOT NULL",
    "clock": "TEXT",
    "uncertainty": "REAL",
    "frame_id": "INTEGER NOT NULL",
    "model": "TEXT",
    "tracker_id": "INTEGER",
    "data": "TEXT NOT NULL",
    "evidence": "TEXT NOT NULL",
    "written_at": "TEXT NOT NULL",
}
"""The wire form, ``data`` and ``evidence`` as JSON; ``written_at`` by this machine's clock."""
_INDEXES: Final = ("id", "at", "kind, at", "source, at", "written_at")
_CREATE: Final = (
    f"CREATE TABLE IF NOT EXISTS events ({', '.join(f'{n} {t}' for n, t in COLUMNS.items())})",
    *(
        f"CREATE INDEX IF NOT EXISTS events_by_{columns.replace(', ', '_')} ON events ({columns})"
        for columns in _INDEXES
    ),
)
_UPSERT: Final = (
    f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({', '.join('?' for _ in COLUMNS)})"
    " ON CONFLICT (idempotency_key) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in list(COLUMNS)[1:])
)
_LOCK_WAIT: Final = 1.0
"""Seconds to wait for another program that writes to the file."""
_LONGEST: Final = 36_500
"""Days; for dates there is a first one."""
_SWEEP: Final = 60.0
"""Seconds between two looks for what is too old."""


class SqliteSink(Sink):
    """One row per event in the table ``events``; an event that comes again replaces its row.

    Times are text in RFC 3339, UTC: they sort and compare as they stand, and SQLite's own date
    functions take them. The events of one frame are one transaction; what was written survives a
    power cut (WAL, ``synchronous=FULL``).
    """

    takes_events: ClassVar = True
    harmless: ClassVar = True

    def __init__(
        self, path: str | Path, *, kinds: Sequence[str] = (), keep_days: float | None = None
    ) -> None:
        """``kinds``: the events meant (``zone.*``); none: all. ``keep_days``: rows written longer
        ago are removed; ``None`` keeps all.

        Raises ``ConfigError``; ``SinkError`` where ``path`` cannot be written or holds something
        else.
        """
        if keep_days is not None and not 0 < keep_days <= _LONGEST:
            text = f"give more than 0, at most {_LONGEST}, or none to keep all"
            raise ConfigError(f"keep_days={keep_days}: {text}")
        self._chosen = Chosen(kinds)
        self.path = Path(path).expanduser()
        self._keep = None if keep_days is None else timedelta(days=keep_days)
        self._sweep_at = 0.0
        self._database: sqlite3.Connection | None = None
        try:
            self._database = self._open()
        except (OSError, sqlite3.Error) as error:
            raise self._told(error) from error

    def write(self, result: Result) -> None:
        """Keep the events of ``result``. Raises ``SinkError``."""
        if self._database is None:
            raise SinkError(f"{self.path} is closed")
        now = datetime.now(UTC)
        rows = [_row(event, now) for event in filter(self._chosen.of_kind, result.events)]
        try:
            with self._database as transaction:
                transaction.executemany(_UPSERT, rows)
                self._sweep(transaction, now)
        except (sqlite3.Error, ValueError, OverflowError) as error:  # texts, numbers it cannot hold
            raise self._told(error) from error

    def close(self) -> None:
        """Let go of the file; its log is merged into it where nobody else reads."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Made by one thread, used by another, one at a time.
        database = sqlite3.connect(self.path, timeout=_LOCK_WAIT, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            self._check(database)
            with database:
                for statement in _CREATE:
                    database.execute(statement)
        except BaseException:
            database.close()
            raise
        return database

    def _check(self, database: sqlite3.Connection) -> None:
        found = {row[1] for row in database.execute("PRAGMA table_info(events)")}
        if found and found != set(COLUMNS):
            text = "its table 'events' has other columns; choose another path"
            raise SinkError(f"cannot write {self.path}: {text}")

    def _sweep(self, transaction: sqlite3.Connection, now: datetime) -> None:
        """Remove what is too old; by when it was written, for a recording may be of any time."""
        if self._keep is None or time.monotonic() < self._sweep_at:
            return
        transaction.execute("DELETE FROM events WHERE written_at < ?", [_text(now - self._keep)])
        self._sweep_at = time.monotonic() + _SWEEP

    def _told(self, error: Exception) -> SinkError:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        return SinkError(f"cannot write {self.path}: {said}")


def _row(event: Event, now: datetime) -> list[Any]:
    wire = event.dict()
    more = {
        "idempotency_key": event.idempotency_key,
        "data": encode(wire["data"]).decode(),
        "evidence": encode(wire["evidence"]).decode(),
        "written_at": _text(now),
    }
    values = {**wire, **more}
    return [values[name] for name in COLUMNS]


def _text(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
