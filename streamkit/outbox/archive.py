"""What is in an outbox, and what people do with it: look, replay, purge; and keeping it small."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from streamkit.outbox.options import OutboxOptions
from streamkit.outbox.store import State, Store, load

_CHUNK: Final = 200
"""Messages, or pages, at a time: others want to write, too."""
Row: TypeAlias = dict[str, Any]
"""JSON-ready."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages are meant: those that fit everything that is given."""

    states: Collection[State] = (State.SENT, State.DEAD)
    destination: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """When it happened, ``until`` excluded."""
    ids: Collection[str] = ()
    """Idempotency keys, or ids of events: then all phases of these."""

    def where(self) -> tuple[str, list[Any]]:
        """As SQL, and what it is given."""
        parts = dict(self._parts())
        return " AND ".join(parts), [value for given in parts.values() for value in given]

    def _parts(self) -> Iterator[tuple[str, list[Any]]]:
        yield _any_of("state = ?", len(self.states)), [int(state) for state in self.states]
        if self.destination is not None:
            yield "destination = ?", [self.destination]
        if self.since is not None:
            yield "at >= ?", [self.since.timestamp()]
        if self.until is not None:
            yield "at < ?", [self.until.timestamp()]
        if self.ids:
            one = "(id = ? OR substr(id, 1, length(?) + 1) = ? || '.')"
            yield _any_of(one, len(self.ids)), [each for i in self.ids for each in (i, i, i)]


def _any_of(part: str, count: int) -> str:
    return f"({' OR '.join([part] * count)})" if count else "0"


def status(store: Store, destination: str | None = None) -> list[Row]:
    """A row for each destination, or for this one: what there is, what was, and how old it is.

    ``waiting``, ``kept_sent`` and ``kept_dead`` are there now (and ``..._bytes``); ``put``,
    ``sent``, ``retried``, ``dead``, ``dropped``, ``refused`` and ``repeated`` were counted since
    the outbox was made. ``oldest_age``: seconds.
    """
    loads = {(name, state): (n, size) for name, state, n, size in store.rows(_LOADS)}
    tallies = {(name, what): n for name, what, n in store.rows("SELECT * FROM tally")}
    known = {name for name, _ in (*loads, *tallies)}
    names = sorted(known) if destination is None else [destination]
    return [_status_of(store, name, loads, tallies) for name in names]


_LOADS: Final = "SELECT destination, state, count, bytes FROM load"
_COUNTED: Final = ("put", "sent", "retried", "dead", "dropped", "refused", "repeated")
_OLDEST: Final = (
    "SELECT since FROM message WHERE destination = ? AND state = 0 ORDER BY seq LIMIT 1"
)


def _status_of(
    store: Store,
    name: str,
    loads: dict[tuple[str, int], tuple[int, int]],
    tallies: dict[tuple[str, str], int],
) -> Row:
    row: Row = {"destination": name}
    for state, called in zip(State, ("waiting", "kept_sent", "kept_dead"), strict=True):
        row[called], row[f"{called}_bytes"] = loads.get((name, state), (0, 0))
    row |= {what: tallies.get((name, what), 0) for what in _COUNTED}
    oldest = store.rows(_OLDEST, (name,)) if row["waiting"] else []
    row["oldest_age"] = max(0.0, store.timeline.now() - oldest[0][0]) if oldest else 0.0
    return row


def messages(store: Store, which: Selection, limit: int) -> list[Row]:
    """The oldest ones first, without their bodies."""
    where, given = which.where()
    columns = "seq, destination, stream, id, kind, at, length(body), state, attempts, reason"
    query = f"SELECT {columns} FROM message WHERE {where} ORDER BY seq LIMIT ?"
    return [_shown(row) for row in store.rows(query, [*given, limit])]


def _shown(row: tuple[Any, ...]) -> Row:
    seq, destination, stream, key, kind, at, size, state, attempts, reason = row
    return {
        "seq": seq,
        "destination": destination,
        "stream": stream,
        "id": key,
        "kind": kind,
        "at": datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z"),
        "bytes": size,
        "state": State(state).name.lower(),
        "attempts": attempts,
        "reason": reason,
    }


def replay(store: Store, which: Selection) -> int:
    """Send them once more, in their old order and before what came after them; how many."""
    where, given = which.where()
    with store.transaction() as db:
        done = db.execute(
            "UPDATE message SET state = 0, attempts = 0, done = NULL, reason = NULL, since = ? "
            f"WHERE state > 0 AND {where}",
            (store.timeline.now(), *given),
        )
        return done.rowcount


def purge(store: Store, which: Selection) -> int:
    """Delete them; how many."""
    where, given = which.where()
    with store.transaction() as db:
        count = db.execute(f"DELETE FROM message WHERE {where}", given).rowcount
    store.shrink(_CHUNK)
    return count


def trim(store: Store, destination: str, options: OutboxOptions) -> int:
    """Delete what was kept of this destination for longer, or takes more, than it may; how many
    messages, at most some hundred: call it again."""
    now = store.timeline.now()
    aged = "destination = ? AND state = ? AND done < ? LIMIT ?"
    gone = 0
    with store.transaction() as db:
        for state, keep in ((State.SENT, options.keep_sent), (State.DEAD, options.keep_dead)):
            query = f"DELETE FROM message WHERE seq IN (SELECT seq FROM message WHERE {aged})"
            gone += db.execute(query, (destination, int(state), now - keep, _CHUNK)).rowcount
        size = sum(load(db, destination, state)[1] for state in (State.SENT, State.DEAD))
        if size > options.history_bytes:
            oldest = "SELECT seq FROM message WHERE destination = ? AND state > 0 " \
                "ORDER BY state, done LIMIT ?"  # fmt: skip
            share = max(1, _surplus(store, destination, size - options.history_bytes))
            query = f"DELETE FROM message WHERE seq IN ({oldest})"
            gone += db.execute(query, (destination, share)).rowcount
    if gone:
        store.shrink(_CHUNK)
    return gone


def _surplus(store: Store, destination: str, size: int) -> int:
    """How many of the oldest kept messages have ``size`` bytes together."""
    query = "SELECT length(body) FROM message WHERE destination = ? AND state > 0 " \
        "ORDER BY state, done LIMIT ?"  # fmt: skip
    count = 0
    for (length,) in store.rows(query, (destination, _CHUNK)):
        if size <= 0:
            break
        size, count = size - length, count + 1
    return count
