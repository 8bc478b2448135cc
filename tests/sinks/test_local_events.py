"""Events in files of this machine: JSON lines, CSV, SQLite; nothing half, nothing lost."""

from __future__ import annotations

import csv
import json
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streamkit.errors import ConfigError, SinkError
from streamkit.events import Evidence
from streamkit.sinks import CsvSink, EventLinesSink, SqliteSink, open_sink
from tests.processes import process
from tests.sinks.happenings import event, seen

EVIDENCE = (
    Evidence("snapshot", "/evidence/1.jpg", "frame", 10, "ab"),
    Evidence("crop", None, "object", error="no room"),
    Evidence("crop", "/evidence/2.jpg", "object"),
)


def numbers(name: str, path: Path) -> list[int]:
    """The events that are there, in order."""
    if name == "events":
        return [json.loads(line)["data"]["number"] for line in path.read_text().splitlines()]
    if name == "csv":
        with path.open(newline="") as file:
            return [json.loads(row["data"])["number"] for row in csv.DictReader(file)]
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT data FROM events ORDER BY rowid").fetchall()
    database.close()
    return [json.loads(row[0])["number"] for row in rows]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_line_is_the_event_as_all_sinks_tell_it(tmp_path: Path) -> None:
    happened = event(3, evidence=EVIDENCE, phase="end")
    sink = EventLinesSink(tmp_path / "new" / "events.jsonl")
    sink.write(seen(happened, event(4)))
    sink.close()

    first, second = map(json.loads, (tmp_path / "new/events.jsonl").read_text().splitlines())
    assert first == happened.dict()
    assert second["data"] == {"number": 4}


def test_a_row_has_fixed_columns_and_says_where_the_pictures_are(tmp_path: Path) -> None:
    happened = event(3, evidence=EVIDENCE)
    for _ in range(2):  # the header comes once
        sink = CsvSink(tmp_path / "events.csv")
        sink.write(seen(happened))
        sink.close()

    first, second = rows(tmp_path / "events.csv")
    assert first == second
    assert first == {
        "id": happened.id,
        "phase": "instant",
        "kind": "line.in",
        "at": "2026-03-29T01:00:02.900000Z",
        "stream": "0",
        "source": "entrance",
        "key": "door",
        "tracker_id": "7",
        "frame_id": "3",
        "model": "street/1",
        "snapshot": "/evidence/1.jpg",
        "crop": "/evidence/2.jpg",
        "clip": "",
        "data": '{"number":3}',
    }


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "  =1",
        "＝1",
        '=HYPERLINK("x";"y")',
        "\r\n=1",
        "\0=1",
    ],
)
def test_no_cell_is_a_formula(tmp_path: Path, text: str) -> None:
    sink = CsvSink(tmp_path / "events.csv")
    sink.write(seen(event(1, source=text, key=f"door {text}", tracker_id=-1)))
    sink.close()

    (row,) = rows(tmp_path / "events.csv")
    assert row["source"].startswith("'")
    assert row["key"].startswith("door")
    assert row["tracker_id"] == "-1"
    assert len((tmp_path / "events.csv").read_text().splitlines()) == 2


def test_texts_of_any_language_quotes_and_line_breaks_stay_one_row(tmp_path: Path) -> None:
    sink = CsvSink(tmp_path / "events.csv")
    sink.write(seen(event(1, source='Tür "Süd",\nEingang 入口', data={"note": "a\nb"})))
    sink.close()

    (row,) = rows(tmp_path / "events.csv")
    assert row["source"] == 'Tür "Süd", Eingang 入口'
    assert json.loads(row["data"])["note"] == "a\nb"


def test_a_csv_file_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "accounts.csv").write_text("name,amount\nme,5\n")
    with pytest.raises(SinkError, match="other columns"):
        CsvSink(tmp_path / "accounts.csv")
    assert (tmp_path / "accounts.csv").read_text() == "name,amount\nme,5\n"


def test_a_table_can_be_asked_while_it_grows(tmp_path: Path) -> None:
    sink = SqliteSink(tmp_path / "events.db")
    with sqlite3.connect(tmp_path / "events.db") as asker:
        sink.write(seen(event(1, evidence=EVIDENCE), event(2, kind="zone.enter")))
        asked = "SELECT kind, json_extract(data, '$.number') FROM events WHERE at > ? ORDER BY at"
        assert asker.execute(asked, ["2026-03-29T01"]).fetchall() == [
            ("line.in", 1),
            ("zone.enter", 2),
        ]
        sink.write(seen(event(3)))
        assert len(asker.execute(asked, ["2026-03-29T01:00:01"]).fetchall()) == 2
        plan = "EXPLAIN QUERY PLAN SELECT * FROM events WHERE kind = 'a' AND at > '2026'"
        assert "events_by_kind_at" in asker.execute(plan).fetchone()[3]
    asker.close()
    sink.close()
    assert not (tmp_path / "events.db-wal").exists()


def test_an_event_that_comes_again_replaces_its_row_and_its_phases_stand_apart(
    tmp_path: Path,
) -> None:
    path = tmp_path / "events.db"
    first = event(1, phase="start")
    sink = SqliteSink(path)
    sink.write(seen(first))
    sink.write(seen(event(2, id=first.id, phase="update"), event(3, id=first.id, phase="update")))
    sink.write(seen(event(4, id=first.id, phase="end"), event(5, id=first.id, phase="end")))
    sink.close()

    assert numbers("sqlite", path) == [1, 2, 3, 5]


def test_what_was_written_too_long_ago_goes_whatever_time_it_tells_of(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    sink = SqliteSink(path)
    sink.write(seen(event(1), event(2)))
    sink.close()
    old = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE events SET written_at = ? WHERE frame_id = 1", [old])
    database.close()

    sink = SqliteSink(path, keep_days=2)
    sink.write(seen(event(3)))
    sink.close()
    assert numbers("sqlite", path) == [2, 3]


def test_a_database_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE events (mine TEXT)")
    database.close()
    (tmp_path / "letter.txt").write_text("Dear all, " * 200)

    with pytest.raises(SinkError, match="other columns"):
        SqliteSink(tmp_path / "other.db")
    with pytest.raises(SinkError, match="not a database"):
        SqliteSink(tmp_path / "letter.txt")
    for days in (0, 1_000_000):  # so long ago there were no dates
        with pytest.raises(ConfigError, match=f"keep_days={days}"):
            SqliteSink(tmp_path / "new.db", keep_days=days)


def test_a_locked_table_is_told_and_its_next_event_comes(tmp_path: Path) -> None:
    sink = SqliteSink(tmp_path / "events.db")
    other = sqlite3.connect(tmp_path / "events.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SinkError, match="locked"):
        sink.write(seen(event(1)))
    other.rollback()
    other.close()
    sink.write(seen(event(2)))
    sink.close()
    assert numbers("sqlite", tmp_path / "events.db") == [2]


NAMES = {"events": "events.jsonl", "csv": "events.csv", "sqlite": "events.db"}


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_written_down_is_an_error_and_leaves_no_trace(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / NAMES[name]
    sink = open_sink(name, {"path": str(path)})
    with pytest.raises(SinkError):
        sink.write(seen(event(1), event(2, data={"what": object()})))
    sink.write(seen(event(3)))
    sink.close()
    assert numbers(name, path) == [3]
    with pytest.raises(SinkError, match="closed"):
        sink.write(seen(event(4)))


@pytest.mark.parametrize("name", NAMES)
def test_only_the_kinds_that_are_meant_are_kept(name: str, tmp_path: Path) -> None:
    path = tmp_path / NAMES[name]
    sink = open_sink(name, {"path": str(path), "kinds": ["zone.*"]})
    sink.write(seen(event(1), event(2, kind="zone.enter", phase="start")))
    sink.write(seen(event(3)))
    sink.write(seen(event(4, kind="zone.leave", phase="end")))
    sink.close()
    assert numbers(name, path) == [2, 4]


WRITER = """
import sys
from streamkit.sinks import open_sink
from tests.sinks.happenings import event, seen
sinks = [open_sink(*each.split(":")[:1], {"path": each.split(":")[1]}) for each in sys.argv[2:]]
for number in range(int(sys.argv[1]), 10**6):
    for sink in sinks:
        sink.write(seen(event(number)))
    print(number, flush=True)
"""


def test_kill_9_loses_nothing_that_was_written_and_leaves_nothing_torn(tmp_path: Path) -> None:
    places, told = [f"{name}:{tmp_path / place}" for name, place in NAMES.items()], list[int]()
    for _ in range(3):
        command = [sys.executable, "-c", WRITER, str(len(told) + 1000), *places]
        with process(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            told += [int(writer.stdout.readline()) for _ in range(40)]
            writer.send_signal(signal.SIGKILL)
            told += [int(line) for line in writer.stdout if line.endswith("\n")]
        for name in ("events", "csv"):
            with (tmp_path / NAMES[name]).open("ab") as torn:
                torn.write(b'01KX,"half')  # as if it had died in the middle of a line

    for name, place in NAMES.items():
        path = tmp_path / place
        open_sink(name, {"path": str(path)}).close()
        written = numbers(name, path)
        assert set(told) <= set(written)
        assert len(written) <= len(told) + 3  # written, and killed before it was told


SHORT_OF_SPACE = """
import resource, sys
from streamkit.errors import SinkError
from streamkit.sinks import open_sink
from tests.sinks.happenings import event, seen
for each in sys.argv[1:]:
    name, path, room = each.split(":")
    sink = open_sink(name, {"path": path})
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(room), resource.RLIM_INFINITY))
    for number in range(200):
        try:
            sink.write(seen(event(number), event(1000 + number)))
            print(name, number)
        except SinkError as error:
            print(error, file=sys.stderr)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    sink.write(seen(event(9999)))
    sink.close()
"""


def test_a_full_disk_is_told_keeps_frames_whole_and_ends(tmp_path: Path) -> None:
    room = {"events": 5000, "csv": 5000, "sqlite": 300_000}
    places = [f"{name}:{tmp_path / place}:{room[name]}" for name, place in NAMES.items()]
    command = [sys.executable, "-c", SHORT_OF_SPACE, *places]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    for name, place in NAMES.items():
        path = tmp_path / place
        lines = [line.split() for line in done.stdout.splitlines()]
        told = [int(number) for kind, number in lines if kind == name]
        assert 0 < len(told) < 200
        assert f"cannot write {path}" in done.stderr
        both = [number for frame in told for number in (frame, 1000 + frame)]
        assert numbers(name, path) == [*both, 9999]
