"""Pipelines that are to run, on disk: what they are, and whether they are paused."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from streamkit.errors import ConfigError
from streamkit.server.failures import HttpError

_SCHEMA: Final = """
create table if not exists pipelines (
    id text primary key, document text not null, paused integer not null default 0,
    added text not null default current_timestamp
) strict
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One of them."""

    id: str
    document: dict[str, Any]
    paused: bool


class Ledger:
    """An SQLite file that its owner alone may read: documents may hold addresses of cameras."""

    def __init__(self, path: Path) -> None:
        """Raises ``ConfigError`` where it cannot be kept."""
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(0o600)
            self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._file.execute("pragma journal_mode=wal")
            self._file.execute("pragma synchronous=full")
            self._file.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            text = f"pipelines cannot be kept in {path}: {error}"
            raise ConfigError(f"{text}; set STREAMKIT_STATE_DIR to a folder that can") from error

    def enter(self, name: str, document: dict[str, Any]) -> None:
        """One more, from now on."""
        text = orjson.dumps(document).decode()
        self._do("insert into pipelines (id, document) values (?, ?)", name, text)

    def pause(self, name: str, paused: bool) -> None:
        """Whether it is to rest."""
        self._do("update pipelines set paused = ? where id = ?", int(paused), name)

    def strike(self, name: str) -> None:
        """It is over."""
        self._do("delete from pipelines where id = ?", name)

    def entries(self) -> list[Entry]:
        """All, oldest first."""
        rows = self._do("select id, document, paused from pipelines order by added, rowid")
        return [Entry(row[0], orjson.loads(row[1]), bool(row[2])) for row in rows]

    def _do(self, statement: str, *values: object) -> list[Any]:
        """Raises 503: a full disk, a server that has stopped."""
        try:
            with self._lock:
                return self._file.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            text = f"pipelines cannot be kept: {error}"
            raise HttpError(503, text, "STATE_NOT_KEPT", {"Retry-After": "10"}) from error

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._file.close()
