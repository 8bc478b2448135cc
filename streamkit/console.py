"""A pipeline on a terminal: what happens while it runs, and the account at the end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streamkit.errors import SinkError
from streamkit.pipeline import InferencePipeline

_WIDE = 140  # columns where there is no terminal to ask


class Terminated(KeyboardInterrupt):
    """SIGTERM: end as cleanly as on Ctrl-C."""


def play(pipeline: InferencePipeline, *, quiet: bool = False) -> None:
    """Run ``pipeline`` to its end, showing how it goes; the account follows, whatever happened.

    Raises what ended the run, ``KeyboardInterrupt`` on Ctrl-C, and ``SinkError`` when it ended
    well but a sink did not take everything.
    """
    console = Console(width=None if sys.stdout.isatty() else _WIDE, markup=False, highlight=False)
    live = Live(Board(pipeline), console=Console(stderr=True), transient=True, refresh_per_second=5)
    shown = live if live.console.is_terminal and not quiet else nullcontext()
    try:
        with _sigterm(), shown:
            pipeline.start(use_main_thread=True)
            pipeline.join()
    finally:
        pipeline.terminate()
        stats = pipeline.stats()
        if not quiet and any(stream["captured"] for stream in _everyone(stats)):
            console.print(*account(stats))
    _complain(stats)


def _complain(stats: Mapping[str, Any]) -> None:
    for sink in stats["sinks"]:
        if sink["error"] is not None:
            raise SinkError(f"{sink['sink']}: {sink['error']} (failed: {sink['failed']})")


@contextmanager
def _sigterm() -> Iterator[None]:
    """While inside, SIGTERM raises ``Terminated`` in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: object) -> None:
        raise Terminated

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


class Board:
    """A line per stream, drawn anew at each refresh: how far, how fast, how fresh."""

    def __init__(self, pipeline: InferencePipeline) -> None:
        self._pipeline = pipeline

    def __rich__(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        stats = self._pipeline.stats()
        for stream in stats["streams"]:
            table.add_row(
                Text(_short(stream["source"], 24), style="bold"),
                _progress(stream),
                f"{stream['delivered']} frames",
                f"{stream['fps']:.1f} fps",
                _freshness(stream),
            )
        if removed := len(stats["removed"]):
            table.add_row(Text(f"{removed} removed", style="dim"))
        return table


def _progress(stream: Mapping[str, Any]) -> RenderableType:
    total = stream["total_frames"]
    if total > 0:
        return ProgressBar(total=total, completed=stream["captured"], width=20)
    return Text(stream["state"].lower(), style="green" if stream["state"] == "RUNNING" else "red")


def _freshness(stream: Mapping[str, Any]) -> str:
    lost = sum(stream["dropped"].values())
    age = f"age {1e3 * stream['age_p50']:.0f} ms" if stream["live"] else ""
    return f"{age}  {lost} dropped" if lost else age


def _short(name: str, width: int) -> str:
    return name if len(name) <= width else "…" + name[1 - width :]


def account(stats: Mapping[str, Any]) -> list[RenderableType]:
    """The final tables: streams, sinks, model."""
    streams = _everyone(stats)
    live = any(stream["live"] for stream in streams)
    sinks = [{"live": live, **sink} for sink in stats["sinks"]]
    tables = [_streams(streams), _sinks(sinks)] if sinks else [_streams(streams)]
    return [*tables, _model(stats["model"])]


def _everyone(stats: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The streams there are, and the last of those that were removed."""
    gone = [{**one, "source": f"{one['source']} (removed)"} for one in stats["removed"]]
    return [*stats["streams"], *gone]


def _streams(rows: list[Mapping[str, Any]]) -> Table:
    table = _table("streams", "source", "captured", "delivered", "dropped", "fps")
    for row in rows:
        table.add_row(
            _short(row["source"], 60),
            str(row["captured"]),
            str(row["delivered"]),
            _causes(row["dropped"]),
            f"{row['fps']:.1f}",
            _ages(row),
        )
    return table


def _table(title: str, *columns: str) -> Table:
    """Long names fold instead of losing their end."""
    table = Table(title=title, title_justify="left")
    for name in (*columns, "age ms\np50 / p95 / p99"):
        left = name in ("source", "sink", "dropped")
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    return table


def _sinks(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("sinks", "sink", "written", "failed", "dropped")
    for row in rows:
        table.add_row(
            row["sink"],
            str(row["written"]),
            str(row["failed"]),
            _causes(row["dropped"]),
            _ages(row),
        )
    return table


def _model(row: Mapping[str, Any]) -> str:
    steps = [
        f"{step} {1e3 * row[step]:.2f}" for step in ("prepare", "run", "finish") if step in row
    ]
    where = f" on {row['provider']} ({row['path']})" if "provider" in row else ""
    return f"model {row['model']}{where}: {row['frames']} frames, ms per frame: {', '.join(steps)}"


def _causes(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {cause}" for cause, count in dropped.items()) or "0"


def _ages(row: Mapping[str, Any]) -> str:
    """Of live streams; a file has no age, only a place in the queue."""
    if not row.get("live", True):
        return "-"
    return " / ".join(f"{1e3 * row[q]:.0f}" for q in ("age_p50", "age_p95", "age_p99"))
