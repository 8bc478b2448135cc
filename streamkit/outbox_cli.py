"""``streamkit outbox``: what waits, what is dead, sending again, deleting."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamkit.terminal import paper

if TYPE_CHECKING:
    from streamkit.outbox.archive import Selection
    from streamkit.outbox.store import State, Store

app = typer.Typer(
    no_args_is_help=True, help="Events on their way: status, list, dead, replay, purge."
)

File = Annotated[
    Path | None, typer.Option("--outbox", help="The file; STREAMKIT_OUTBOX unless given.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON array instead of a table.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="The most that is shown.")]
Destination = Annotated[str | None, typer.Option("--destination", help="Only this one.")]
From = Annotated[
    str | None,
    typer.Option("--from", help="When it happened: 2026-03-29T10:00Z, or how long ago: 90m, 2d."),
]
To = Annotated[str | None, typer.Option("--to", help="The same; this moment excluded.")]
Ids = Annotated[
    list[str] | None, typer.Option("--id", help="Of a message, or an event: all its phases.")
]

_WIDE = 180  # columns where there is no terminal to ask
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@app.command()
def status(outbox: File = None, as_json: Json = False) -> None:
    """Show each destination: what waits, what was sent, retried, dropped, and what is dead."""
    from streamkit.outbox.archive import status as of

    with _opened(outbox) as store:
        rows = of(store)
    columns = {
        "destination": "destination", "waiting": "waiting", "oldest_age": "oldest",
        "sent": "sent", "retried": "retried", "dead": "dead", "dropped": "dropped",
        "refused": "refused",
    }  # fmt: skip
    _show(rows, columns, as_json, {"oldest_age": _span})


@app.command("list")
def list_messages(
    outbox: File = None,
    destination: Destination = None,
    sent: Annotated[bool, typer.Option("--sent", help="Those that were delivered.")] = False,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Show messages that wait, the oldest first."""
    from streamkit.outbox.store import State

    _list(outbox, destination, State.SENT if sent else State.WAITS, limit, as_json)


@app.command()
def dead(
    outbox: File = None,
    destination: Destination = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Show dead letters, and why each is one."""
    from streamkit.outbox.store import State

    _list(outbox, destination, State.DEAD, limit, as_json)


@app.command()
def replay(  # noqa: PLR0913 - one parameter per option
    outbox: File = None,
    dead_letters: Annotated[bool, typer.Option("--dead", help="Dead letters.")] = False,
    sent: Annotated[bool, typer.Option("--sent", help="Delivered messages.")] = False,
    destination: Destination = None,
    since: From = None,
    until: To = None,
    ids: Ids = None,
    as_json: Json = False,
) -> None:
    """Send messages once more: dead letters, those of a time range, or by id.

    They keep their ids. A running pipeline sends them at once, else the next run does.
    """
    from streamkit.errors import ConfigError
    from streamkit.outbox.archive import replay as again
    from streamkit.outbox.store import State

    if not (dead_letters or sent or since or until or ids):
        raise ConfigError("say what to send again: --dead, --sent, --from, --to or --id")
    asked = [state for state, on in ((State.DEAD, dead_letters), (State.SENT, sent)) if on]
    which = _selection(asked or [State.SENT, State.DEAD], destination, since, until, ids)
    with _opened(outbox) as store:
        _told("replayed", again(store, which), as_json)


@app.command()
def purge(  # noqa: PLR0913 - one parameter per option
    outbox: File = None,
    dead_letters: Annotated[bool, typer.Option("--dead", help="Dead letters.")] = False,
    sent: Annotated[bool, typer.Option("--sent", help="Delivered messages.")] = False,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Those that were never delivered.")
    ] = False,
    destination: Destination = None,
    since: From = None,
    until: To = None,
    ids: Ids = None,
    as_json: Json = False,
) -> None:
    """Delete messages for good; say which."""
    from streamkit.errors import ConfigError
    from streamkit.outbox.archive import purge as delete
    from streamkit.outbox.store import State

    chosen = ((State.DEAD, dead_letters), (State.SENT, sent), (State.WAITS, waiting))
    states = [state for state, on in chosen if on]
    if not states:
        raise ConfigError("say what to delete: --dead, --sent or --waiting")
    which = _selection(states, destination, since, until, ids)
    with _opened(outbox) as store:
        _told("purged", delete(store, which), as_json)


def _list(
    outbox: Path | None, destination: str | None, state: State, limit: int, as_json: bool
) -> None:
    from streamkit.outbox.archive import Selection, messages

    with _opened(outbox) as store:
        rows = messages(store, Selection((state,), destination), limit)
    columns = {"at": "at", "destination": "destination", "stream": "stream", "kind": "kind",
               "id": "id", "attempts": "attempts", "reason": "reason"}  # fmt: skip
    _show(rows, columns, as_json, {})


def _selection(
    states: Sequence[State],
    destination: str | None,
    since: str | None,
    until: str | None,
    ids: Sequence[str] | None,
) -> Selection:
    from streamkit.outbox.archive import Selection

    return Selection(tuple(states), destination, _moment(since), _moment(until), tuple(ids or ()))


def _moment(text: str | None) -> datetime | None:
    """A moment, or how long ago; without a zone it is the machine's own."""
    from streamkit.errors import ConfigError

    if text is None:
        return None
    if text[-1:] in _UNITS and text[:-1].isdecimal():
        return datetime.now(UTC) - timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        wanted = "2026-03-29T10:00Z, or how long ago: 90m, 2d"
        raise ConfigError(f"{text!r} is no moment: give {wanted}") from None


@contextmanager
def _opened(outbox: Path | None) -> Iterator[Store]:
    """Only one that is there: looking must not make any."""
    from streamkit.errors import ConfigError
    from streamkit.outbox.options import OutboxOptions
    from streamkit.outbox.store import Store

    path = OutboxOptions(path=outbox).file
    if not path.is_file():
        raise ConfigError(f"no outbox at {path}; name one with --outbox")
    with path.open("rb") as file:
        begins = file.read(16)
    if begins not in (b"", b"SQLite format 3\0"):  # to open it would move it aside as damaged
        raise ConfigError(f"{path} is no outbox; name one with --outbox")
    store = Store(path)
    try:
        yield store
    finally:
        store.close()


def _show(
    rows: Sequence[dict[str, Any]],
    columns: dict[str, str],
    as_json: bool,
    forms: dict[str, Callable[[Any], str]],
) -> None:
    from rich.table import Table

    if as_json:
        typer.echo(json.dumps(list(rows)))
        return
    table = Table()
    for title in columns.values():
        table.add_column(title, overflow="fold")
    for row in rows:
        texts = (forms.get(key, str)(row[key]) for key in columns)
        table.add_row(*("" if text == "None" else text for text in texts))
    if rows:
        paper(_WIDE, markup=False).print(table)
    else:
        typer.echo("none")


def _told(what: str, count: int, as_json: bool) -> None:
    typer.echo(json.dumps({what: count}) if as_json else f"{what}: {count}")


def _span(seconds: float) -> str:
    for unit, size in reversed(_UNITS.items()):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return "" if not seconds else f"{seconds:.0f} s"
