"""``streamkit bench http``: the server under many clients, as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamkit.terminal import paper

if TYPE_CHECKING:
    from rich.table import Table

    from streamkit.bench.http import Found

Clients = Annotated[int, typer.Option("--clients", min=2, help="How many ask at a time.")]
Seconds = Annotated[float, typer.Option("--seconds", min=1, help="Of each turn.")]
Rounds = Annotated[int, typer.Option("--rounds", min=1, help="Turns that each of the two gets.")]
Models = Annotated[Path, typer.Option("--models", help="A folder of models: dataset/version/...")]
Model = Annotated[str, typer.Option("--model", help="One of them.")]
Picture = Annotated[Path, typer.Option("--picture", help="What every client sends.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the figures to a file, too.")]


def http(
    clients: Clients = 64,
    seconds: Seconds = 10,
    rounds: Rounds = 3,
    models: Models = Path("samples/models"),
    model: Model = "street/1",
    picture: Picture = Path("samples/street.jpg"),
    json_path: Json = None,
) -> None:
    """Many clients at a time, in turn with one that asks again when it is answered.

    A camera of 5 pictures a second runs beside them on the same model.
    """
    from streamkit.bench.http import measure

    console = paper(100)
    with console.status("starting") as status:
        found = measure(model, models, picture, clients, seconds, rounds, status.update)
    if json_path is not None:
        json_path.write_text(json.dumps(found.as_dict(), indent=1))
    console.print(_table(found))


def _table(found: Found) -> Table:
    from rich.table import Table

    table = Table("", f"{found.clients} clients", title="Requests to one model")
    table.add_row("a second, one client", found.alone.text(1, 1))
    table.add_row("a second, all clients", found.together.text(1, 1))
    table.add_row("as a multiple", found.gain.text(1, 2))
    table.add_row("least served / best served", f"{found.fairness:.2f}")
    table.add_row("not answered with 200", str(found.failed))
    first, last = (size / 2**20 for size in found.resident)
    table.add_row("memory MB, first round, last", f"{first:.0f}, {last:.0f}")
    table.add_row("age of a camera's results, p99 ms", f"{1e3 * found.camera_age:.0f}")
    return table
