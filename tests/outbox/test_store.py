"""The store: nothing is lost, nothing overtakes, whatever happens in whatever order."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamkit.errors import ConfigError, OutboxError, OutboxErrorCode
from streamkit.outbox.archive import Selection, messages, purge, replay, status, trim
from streamkit.outbox.store import State, Store
from tests.outbox.making import message, options, several

THERE = "there"


class CrashError(Exception):
    """In the middle of a transaction."""


def crash(store: Store) -> None:
    """Break off in the middle of a transaction."""
    with suppress(CrashError), store.transaction() as db:
        db.execute("DELETE FROM message")
        raise CrashError


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abc"), st.integers(1, 3)),
        st.tuples(st.just("send"), st.just(""), st.integers(1, 4)),
        st.tuples(st.just("fail"), st.just(""), st.integers(1, 4)),
        st.tuples(st.just("bury"), st.just(""), st.just(1)),
        st.tuples(st.just("restart"), st.just(""), st.just(0)),
        st.tuples(st.just("crash"), st.sampled_from("abc"), st.integers(1, 3)),
    ),
    max_size=40,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ACTIONS)
def test_everything_put_is_sent_or_buried_once_in_order(
    actions: list[tuple[str, str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "box.sqlite"
        store, chosen = Store(path, durable=False), options(path)
        put: dict[str, list[str]] = defaultdict(list)
        done: dict[str, list[str]] = defaultdict(list)
        attempts: dict[str, int] = defaultdict(int)
        for action, stream, count in [*actions, ("restart", "", 0), ("send", "", 10_000)]:
            if action == "put":
                new = several(count, stream, len(put[stream]))
                store.put(THERE, new, chosen)
                put[stream] += [each.id for each in new]
            elif action == "crash":
                crash(store)
            elif action == "restart":
                store.close()
                store = Store(path, durable=False)
            else:
                entries = store.next(THERE, count)
                for each in entries:
                    attempts[each.message.id] += 1
                    assert each.message.attempt == attempts[each.message.id]
                if action == "fail":
                    store.retry(entries, THERE, "no")
                else:
                    store.finish(entries, THERE, State.SENT if action == "send" else State.DEAD)
                    for each in entries:
                        done[each.message.stream].append(each.message.id)
        assert done == {stream: ids for stream, ids in put.items() if ids}
        (row,) = status(store, THERE)
        total = sum(map(len, put.values()))
        assert row["waiting"] == row["waiting_bytes"] == 0
        assert row["kept_sent"] + row["kept_dead"] == row["put"] == total
        store.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 200), min_size=1, max_size=30), st.integers(1, 8))
def test_the_account_is_exact_however_full_it_gets(sizes: list[int], most: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "box.sqlite"
        store = Store(path, durable=False)
        chosen = options(path, max_messages=most, max_bytes=500)
        for number, size in enumerate(sizes):
            store.put(THERE, [message(number, size=size)], chosen)
        (row,) = status(store, THERE)
        waiting = [each.message for each in store.next(THERE, 1000)]
        assert row["waiting"] == len(waiting) <= most
        assert row["waiting_bytes"] == sum(len(each.body) for each in waiting) <= 500
        assert row["put"] == len(sizes) == row["waiting"] + row["dropped"]
        newest = [message(number, size=size).id for number, size in enumerate(sizes)]
        assert [each.id for each in waiting] == newest[len(newest) - len(waiting) :]
        store.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "box.sqlite")


def test_a_known_id_is_kept_once_for_each_destination(store: Store) -> None:
    chosen = options(store.path)
    for destination in (THERE, "elsewhere", THERE):
        store.put(destination, several(2), chosen)
    rows = {row["destination"]: row for row in status(store)}
    assert {name: (row["waiting"], row["repeated"]) for name, row in rows.items()} == {
        THERE: (2, 2),
        "elsewhere": (2, 0),
    }


def test_refusing_keeps_nothing_of_what_does_not_fit(store: Store) -> None:
    chosen = options(store.path, max_messages=2, on_full="refuse")
    store.put(THERE, several(2), chosen)
    with pytest.raises(OutboxError) as caught:
        store.put(THERE, several(1, first=2), chosen)
    assert caught.value.code is OutboxErrorCode.FULL
    assert [each.message.id for each in store.next(THERE, 9)] == [m.id for m in several(2)]


def test_replay_sends_again_in_the_old_order_and_before_what_came_after(store: Store) -> None:
    chosen = options(store.path)
    store.put(THERE, several(5), chosen)
    entries = store.next(THERE, 4)
    store.finish(entries[:3], THERE, State.SENT)
    store.finish(entries[3:], THERE, State.DEAD, "HTTP 404")
    since, until = message(1).at, message(4).at
    assert [row["reason"] for row in messages(store, Selection((State.DEAD,)), 9)] == ["HTTP 404"]

    assert replay(store, Selection(since=since, until=until)) == 3

    assert [each.message.id for each in store.next(THERE, 9)] == [m.id for m in several(4, first=1)]
    assert all(each.message.attempt == 1 for each in store.next(THERE, 9))
    assert replay(store, Selection(ids=["entrance-0"])) == 1
    assert replay(store, Selection(ids=["entrance-0.instant"])) == 0
    assert replay(store, Selection(destination="elsewhere")) == 0


def test_purging_frees_the_file(store: Store) -> None:
    chosen = options(store.path)
    store.put(THERE, [message(n, size=4000) for n in range(200)], chosen)
    store.finish(store.next(THERE, 150), THERE, State.SENT)
    pages = store.rows("PRAGMA page_count")[0][0]

    assert purge(store, Selection((State.SENT,))) == 150

    assert store.rows("PRAGMA page_count")[0][0] < pages / 2
    (row,) = status(store)
    assert (row["kept_sent"], row["kept_sent_bytes"], row["waiting"]) == (0, 0, 50)


def test_history_is_kept_by_size_the_delivered_go_before_the_dead(store: Store) -> None:
    chosen = options(store.path, history_bytes=40 * 100)
    store.put(THERE, [message(n, size=100) for n in range(100)], chosen)
    entries = store.next(THERE, 100)
    store.finish(entries[:30], THERE, State.DEAD, "no")
    store.finish(entries[30:], THERE, State.SENT)
    while trim(store, THERE, chosen):
        pass
    (row,) = status(store)
    assert row["kept_dead"] == 30
    assert 5 <= row["kept_sent"] <= 10
    assert row["kept_sent_bytes"] + row["kept_dead_bytes"] <= 40 * 100


def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    path = tmp_path / "music.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE songs (title TEXT)")
    with pytest.raises(OutboxError, match="database of something else"):
        Store(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("songs",)]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"keep_for": -1.0}, "keep_for=-1.0: give at least 0"),
        ({"max_messages": 0}, "max_messages=0: give at least 1"),
        ({"keep_fo": 3}, "did you mean 'keep_for'"),
        ({"on_full": "explode"}, "on_full"),
        ({"first_wait": 2.0, "longest_wait": 1.0}, "first_wait"),
    ],
)
def test_wrong_options_are_named(wrong: dict[str, object], said: str) -> None:
    from streamkit.outbox.options import OutboxOptions

    with pytest.raises(ConfigError, match=said):
        OutboxOptions.of(wrong)
