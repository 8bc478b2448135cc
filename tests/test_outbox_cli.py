"""``streamkit outbox``: looking at what waits, sending again, deleting."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer.testing

from streamkit.cli import app
from streamkit.errors import ConfigError
from streamkit.outbox.store import State, Store
from tests.outbox.making import Recorder, joined, message, options, several

Run = Callable[..., Any]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Five messages of a Sunday night: one delivered, one dead, three wait."""
    file = tmp_path / "box.sqlite"
    with closing(Store(file)) as store:
        store.put("webhook https://example.org/x", several(5), options(file))
        entries = store.next("webhook https://example.org/x", 2)
        store.finish(entries[:1], "webhook https://example.org/x", State.SENT)
        store.finish(entries[1:], "webhook https://example.org/x", State.DEAD, "HTTP 404")
    return file


@pytest.fixture
def run(path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``streamkit outbox ...``: what it prints, or parsed with ``--json``; raises its error."""
    monkeypatch.setenv("STREAMKIT_OUTBOX", str(path))

    def run(*arguments: str) -> Any:
        runner = typer.testing.CliRunner()
        done = runner.invoke(app, ["outbox", *arguments], standalone_mode=False)
        if done.exception is not None:
            raise done.exception
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    return run


def test_status_shows_each_destination(run: Run) -> None:
    (row,) = run("status", "--json")
    assert row["destination"] == "webhook https://example.org/x"
    assert (row["waiting"], row["sent"], row["dead"], row["put"]) == (3, 1, 1, 5)
    assert row["oldest_age"] >= 0
    assert "webhook https://example.org/x" in run("status")


def test_messages_are_listed(run: Run) -> None:
    assert [row["id"] for row in run("list", "--json")] == [m.id for m in several(3, first=2)]
    assert [row["id"] for row in run("list", "--json", "--limit", "1")] == [message(2).id]
    assert [row["id"] for row in run("list", "--sent", "--json")] == [message(0).id]
    (dead,) = run("dead", "--json")
    assert (dead["id"], dead["reason"], dead["state"]) == (message(1).id, "HTTP 404", "dead")
    assert "HTTP 404" in run("dead")
    assert run("dead", "--destination", "elsewhere").strip() == "none"


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        (["--dead"], 1),
        (["--sent"], 1),
        (["--dead", "--sent"], 2),
        (["--id", "entrance-1.instant"], 1),
        (["--id", "entrance-1", "--id", "entrance-0"], 2),
        (["--from", "2026-03-29T01:00:00Z"], 1),
        (["--from", "2026-03-29T00:59:59Z", "--to", "2026-03-29T01:00Z"], 1),
        (["--from", "2m"], 0),
        (["--dead", "--destination", "elsewhere"], 0),
    ],
)
def test_messages_are_sent_again(run: Run, asked: list[str], count: int) -> None:
    assert run("replay", *asked, "--json") == {"replayed": count}
    (row,) = run("status", "--json")
    assert row["waiting"] == 3 + count


def test_a_running_pipeline_sends_them_at_once(run: Run, path: Path) -> None:
    there = Recorder()
    with joined(path, there, name="webhook https://example.org/x"):
        there.await_sent(3)
        run("replay", "--dead", "--sent")
        there.await_sent(5)
    assert there.ids()[3:] == [message(0).id, message(1).id]


def test_messages_are_deleted(run: Run) -> None:
    assert run("purge", "--dead", "--json") == {"purged": 1}
    assert run("purge", "--waiting", "--id", "entrance-3") == "purged: 1\n"
    assert run("purge", "--sent", "--waiting", "--to", "2030-01-01") == "purged: 3\n"
    (row,) = run("status", "--json")
    assert row["waiting"] == row["kept_sent"] == row["kept_dead"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay"], "--dead, --sent, --from"),
        (["purge"], "--dead, --sent or --waiting"),
        (["purge", "--id", "x"], "--dead, --sent or --waiting"),
        (["replay", "--from", "yesterday"], "'yesterday' is no moment"),
        (["status", "--outbox", "/no/such/file"], "no outbox at /no/such/file"),
        (["status", "--outbox", __file__], "test_outbox_cli.py is no outbox"),
    ],
)
def test_wrong_commands_explain_themselves(run: Run, arguments: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run(*arguments)
