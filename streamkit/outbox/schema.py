"""The file of an outbox: its tables, how it is opened, and what is done with a damaged one."""

from __future__ import annotations

import errno
import logging
import sqlite3
from codecs import getincrementaldecoder
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from streamkit.errors import OutboxError, OutboxErrorCode

log = logging.getLogger(__name__)

VERSION: Final = 1
_MAGIC: Final = 0x736B6F62
"""SQLite's ``application_id``: skob."""
_BUSY: Final = 1.0
"""Seconds to wait for another process's transaction; they take milliseconds."""
OPENING: Final = 10.0
"""Seconds for which the first to open waits for another process that makes it, or looks it over."""
OPENING_AGAIN: Final = 0.2
"""The same for all later ones: meanwhile events wait in memory, and a stop may wait for this."""
_LOG_PAGES: Final = 256
"""1 MiB of log beside the file, which it keeps: some room for notes when the disk is full."""

_TABLES: Final = """
CREATE TABLE message (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT NOT NULL,
    stream TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    at REAL NOT NULL,
    body BLOB NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    since REAL NOT NULL,
    done REAL,
    reason TEXT
);
CREATE UNIQUE INDEX message_id ON message (destination, id);
CREATE INDEX message_waits ON message (destination, seq, stream) WHERE state = 0;
CREATE INDEX message_done ON message (destination, state, done) WHERE state > 0;
CREATE TABLE load (
    destination TEXT NOT NULL,
    state INTEGER NOT NULL,
    count INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (destination, state)
) WITHOUT ROWID;
CREATE TABLE tally (
    destination TEXT NOT NULL,
    what TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (destination, what)
) WITHOUT ROWID;
CREATE TABLE timeline (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    time REAL NOT NULL,
    wall REAL NOT NULL
);
CREATE TRIGGER message_added AFTER INSERT ON message BEGIN
    INSERT INTO load VALUES (NEW.destination, NEW.state, 1, length(NEW.body))
    ON CONFLICT DO UPDATE SET count = count + 1, bytes = bytes + length(NEW.body);
END;
CREATE TRIGGER message_moved AFTER UPDATE OF state ON message WHEN OLD.state <> NEW.state BEGIN
    UPDATE load SET count = count - 1, bytes = bytes - length(OLD.body)
    WHERE destination = OLD.destination AND state = OLD.state;
    INSERT INTO load VALUES (NEW.destination, NEW.state, 1, length(NEW.body))
    ON CONFLICT DO UPDATE SET count = count + 1, bytes = bytes + length(NEW.body);
END;
CREATE TRIGGER message_gone AFTER DELETE ON message BEGIN
    UPDATE load SET count = count - 1, bytes = bytes - length(OLD.body)
    WHERE destination = OLD.destination AND state = OLD.state;
END;
"""
"""``state``: 0 waits, 1 sent, 2 dead. ``at``: seconds since 1970, of the event. ``since``, ``done``
and ``timeline.time``: seconds of the ``Timeline``. ``load`` is kept by triggers, so that it is
always what the messages add up to."""


class _DamagedError(Exception):
    """It is no outbox, or not a whole one."""


def open_file(path: Path, *, durable: bool, patience: float = OPENING) -> sqlite3.Connection:
    """The outbox at ``path``, made if need be; a damaged one is moved aside, and that is told.

    ``patience``: seconds to wait for another process that is opening it.

    Raises ``OutboxError`` where there can be none.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=patience):  # nobody else makes it, or moves it aside
            try:
                return _connected(path, durable)
            except _DamagedError as error:
                _move_aside(path, str(error))
                return _connected(path, durable)
    except Timeout:
        text = f"{path} is being opened by another process"
        raise OutboxError(text, OutboxErrorCode.BUSY) from None
    except (OSError, sqlite3.Error, _DamagedError) as error:
        raise translated(error, path) from error


def _connected(path: Path, durable: bool) -> sqlite3.Connection:
    """Raises ``_DamagedError``, and ``sqlite3.Error`` for what may pass."""
    if not path.exists():
        path.touch(mode=0o600)  # events are nobody else's business; its companions follow its mode
    db = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    try:
        _prepare(db, path, durable)
    except sqlite3.DatabaseError as error:
        db.close()
        if is_damage(error):
            if _is_text(path):
                raise OutboxError(f"{path} is a text of somebody's; name another file") from error
            raise _DamagedError(str(error)) from error
        raise
    except BaseException:
        db.close()
        raise
    return db


def _is_text(path: Path) -> bool:
    """Whether it never was a database, damaged or not."""
    with path.open("rb") as file:
        start = file.read(512)
    try:
        return "\0" not in getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False


def _prepare(db: sqlite3.Connection, path: Path, durable: bool) -> None:
    version = _version_of(db, path)
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
    db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    if version == 0:
        db.executescript(
            f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id = {_MAGIC};"
            f"PRAGMA user_version = {VERSION}; COMMIT;"
        )
    elif (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise _DamagedError(found)


def _version_of(db: sqlite3.Connection, path: Path) -> int:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    magic = int(db.execute("PRAGMA application_id").fetchone()[0])
    tables = int(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if tables and magic != _MAGIC:
        raise OutboxError(f"{path} is a database of something else; name another file")
    if version > VERSION:
        raise OutboxError(f"{path} was made by a newer streamkit (version {version} of its tables)")
    return version if tables else 0


def _move_aside(path: Path, why: str) -> None:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for end in ("-wal", "-shm", ""):
        part = path.with_name(path.name + end)
        if part.exists():
            part.rename(aside.with_name(aside.name + end))
    log.error(
        "%s: %s is damaged (%s); it is now %s, and a new one is begun",
        OutboxErrorCode.DAMAGED.value, path, why, aside,
    )  # fmt: skip


def is_damage(error: BaseException) -> bool:
    """The file is no longer what SQLite wrote."""
    return _number(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _number(error: BaseException) -> int:
    """SQLite's primary result code; 0 where it is no error of SQLite's."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


_CODES: Final = {
    sqlite3.SQLITE_FULL: OutboxErrorCode.DISK_FULL,
    sqlite3.SQLITE_READONLY: OutboxErrorCode.READ_ONLY,
    sqlite3.SQLITE_BUSY: OutboxErrorCode.BUSY,
    sqlite3.SQLITE_LOCKED: OutboxErrorCode.BUSY,
    sqlite3.SQLITE_CORRUPT: OutboxErrorCode.DAMAGED,
    sqlite3.SQLITE_NOTADB: OutboxErrorCode.DAMAGED,
    sqlite3.SQLITE_IOERR: OutboxErrorCode.DISK_FAILED,
}
_ERRNOS: Final = {
    errno.ENOSPC: OutboxErrorCode.DISK_FULL,
    errno.EDQUOT: OutboxErrorCode.DISK_FULL,
    errno.EROFS: OutboxErrorCode.READ_ONLY,
    errno.EIO: OutboxErrorCode.DISK_FAILED,
}


def translated(error: BaseException, path: Path) -> OutboxError:
    """What went wrong with the file, with a stable code."""
    if isinstance(error, OutboxError):
        return error
    if isinstance(error, OSError):
        code = _ERRNOS.get(error.errno or 0, OutboxErrorCode.FAILED)
        return OutboxError(f"the outbox {path} cannot be used: {error.strerror or error}", code)
    code = _CODES.get(_number(error), OutboxErrorCode.FAILED)
    return OutboxError(f"the outbox {path} cannot be used: {error}", code)
