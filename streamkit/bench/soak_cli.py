"""``streamkit bench soak``: the options, the progress, the table and the files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamkit.terminal import paper

if TYPE_CHECKING:
    from rich.table import Table

    from streamkit.bench.soak_record import Record
    from streamkit.bench.verdict import Verdict

Minutes = Annotated[float, typer.Option("--minutes", min=0.2, help="How long faults happen.")]
Cameras = Annotated[int, typer.Option("--cameras", min=2, max=64, help="Three of eight are well.")]
Seed = Annotated[int, typer.Option("--seed", help="What chance is drawn from.")]
Budget = Annotated[float, typer.Option("--budget", min=1, help="Greatest p99 age of healthy, ms.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the whole record to a file.")]
Picture = Annotated[Path | None, typer.Option("--picture", help="Draw it: .png, .svg or .pdf.")]


def soak(
    minutes: Minutes = 20.0,
    cameras: Cameras = 8,
    seed: Seed = 7,
    budget: Budget = 300.0,
    json_path: Json = None,
    picture: Picture = None,
) -> None:
    """Run over cameras that break at random, and see that nothing grows and everybody comes back.

    Real RTSP cameras on loopback, served by GStreamer. Exit code 1 when a verdict fails. Ctrl-C
    gives the verdict so far.
    """

    from streamkit.bench import graph
    from streamkit.bench.soak import Soak
    from streamkit.bench.verdict import judge

    if picture is not None:
        graph.check(picture)
    with _progress(minutes) as tell:
        record = Soak(minutes, cameras, seed, budget / 1e3, tell).run()
    verdicts = judge(record)
    if json_path is not None:
        json_path.write_text(json.dumps(_written(record, verdicts), indent=1))
    if picture is not None:
        graph.draw(record, verdicts, picture)
    paper(160).print(_streams(record), _table(verdicts))
    if failed := [verdict.name for verdict in verdicts if not verdict.passed]:
        typer.echo(f"failed: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


@contextmanager
def _progress(minutes: float) -> Iterator[Callable[[Record], None]]:
    """On a terminal, a line that tells how far it is and how the streams fare."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    text = TextColumn("{task.description}")
    with Progress(
        text, BarColumn(), TimeRemainingColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task("soak", total=minutes * 60)

        def tell(record: Record) -> None:
            last = record.samples[-1]
            running = sum(state == "RUNNING" for state in last.states)
            what = f"{running}/{len(last.states)} well  {last.held.rss:.0f} MiB"
            done = last.at - record.samples[0].at
            progress.update(task, completed=done, description=what)

        yield tell


def _written(record: Record, verdicts: list[Verdict]) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "passed": all(verdict.passed for verdict in verdicts),
        "verdicts": [verdict._asdict() for verdict in verdicts],
        **asdict(record),
    }


def _streams(record: Record) -> Table:
    from rich.table import Table

    table = Table("stream")
    for name in ("faults", "outages", "downtime s", "captured", "delivered", "dropped", "p99 ms"):
        table.add_column(name, justify="right")
    for name, faults, stream in zip(record.names, record.faults, record.streams, strict=True):
        dropped = ", ".join(f"{cause} {count}" for cause, count in stream["dropped"].items())
        counts = [len(faults), stream["outages"], f"{stream['downtime']:.0f}"]
        flow = [stream["captured"], stream["delivered"], dropped or "-"]
        age = f"{1e3 * stream['age_p99']:.0f}"
        table.add_row(name, *map(str, [*counts, *flow]), age)
    return table


def _table(verdicts: list[Verdict]) -> Table:
    from rich.table import Table

    table = Table("verdict", "", "measured")
    for verdict in verdicts:
        mark = "[green]well[/green]" if verdict.passed else "[red]FAILED[/red]"
        table.add_row(verdict.name, mark, verdict.said)
    return table
