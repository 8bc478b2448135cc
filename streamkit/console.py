"""A pipeline on a terminal: what happens while it runs, and the account at the end."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streamkit.errors import SinkError
from streamkit.pipeline import InferencePipeline
from streamkit.terminal import paper

_WIDE = 140  # columns where there is no terminal to ask
_CARET = 3  # columns kept free: a terminal writes ^C behind the last line, which must not wrap


class Terminated(KeyboardInterrupt):
    """SIGTERM: end as cleanly as on Ctrl-C."""


def play(pipeline: InferencePipeline, *, quiet: bool = False) -> None:
    """Run ``pipeline`` to its end, showing how it goes; the account follows, whatever happened.

    Raises what ended the run, ``KeyboardInterrupt`` on Ctrl-C, and ``SinkError`` when it ended
    well but a sink did not take everything.
    """
    console = paper(_WIDE, markup=False, highlight=False)
    live = Live(Board(pipeline), console=Console(stderr=True), transient=True, refresh_per_second=5)
    shown = live if live.console.is_terminal and not quiet else nullcontext()
    try:
        with _sigterm(), shown:
            pipeline.start(use_main_thread=True)
            pipeline.join()
    finally:
        pipeline.terminate()
        stats = pipeline.stats()
        if not quiet and any(one["captured"] or one["outages"] for one in _everyone(stats)):
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
    """A line per stream, drawn anew at each refresh: how far, fast and fresh, or what is wrong.

    Where there are more than fit on the screen, those in trouble come first.
    """

    def __init__(self, pipeline: InferencePipeline) -> None:
        self._pipeline = pipeline

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        stats = self._pipeline.stats()
        streams, room = stats["streams"], max(1, console.size.height - 2)
        if len(streams) > room:
            streams = sorted(streams, key=_is_well)[:room]
        yield lines_of(streams, options.max_width - _CARET)
        left, gone = len(stats["streams"]) - len(streams), len(stats["removed"])
        told = [f"{count} {what}" for count, what in ((left, "more"), (gone, "removed")) if count]
        if told:
            yield Text(", ".join(told), style="dim")


def lines_of(streams: Sequence[Mapping[str, Any]], width: int) -> Table:
    """What is cut off in a small window is the end of a line."""
    table = Table.grid(padding=(0, 2), expand=True)
    table.width = max(20, width)
    table.add_column(no_wrap=True, max_width=min(32, table.width // 3))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for stream in streams:
        name = _short(_ADDRESS.sub("", stream["source"]), 32)
        said = _progress(stream) if _is_well(stream) else _trouble(stream)
        table.add_row(Text(name, style="bold"), _state(stream), said)
    return table


_ADDRESS = re.compile(r"^rtsps?://(\*\*\*@)?")
"""What all cameras have in common, and takes the room of what tells them apart."""
_WELL = ("RUNNING", "PAUSED", "MUTED", "ENDED")
_WORDS = {"INITIALISING": "opening", "NOT_STARTED": "waiting", "ERROR": "failed"}
_COLOURS = {"RUNNING": "green", "RESTARTING": "red", "ERROR": "red"}


def _is_well(stream: Mapping[str, Any]) -> bool:
    return stream["state"] in _WELL and stream["degraded"] is None and stream["code"] is None


def _state(stream: Mapping[str, Any]) -> RenderableType:
    total, state = stream["total_frames"], stream["state"]
    if total > 0 and _is_well(stream):
        return ProgressBar(total=total, completed=stream["captured"], width=10)
    if state == "RESTARTING":
        return Text(f"lost {_span(stream['since'])}", style="red")
    if state == "RUNNING" and stream["degraded"] is not None:
        return Text("degraded", style="yellow")
    return Text(_WORDS.get(state, state.lower()), style=_COLOURS.get(state, "yellow"))


def _progress(stream: Mapping[str, Any]) -> Text:
    lost = sum(stream["dropped"].values())
    parts = [f"{stream['delivered']:>5} frames", f"{stream['fps']:5.1f} fps"]
    if stream["live"] and stream["delivered"]:
        parts.append(f"age {1e3 * stream['age_p50']:>4.0f} ms")
    return Text("  ".join([*parts, f"{lost} dropped"] if lost else parts))


def _trouble(stream: Mapping[str, Any]) -> Text:
    """Why, in words, and what comes next."""
    if stream["state"] in ("NOT_STARTED", "INITIALISING"):
        return Text(_span(stream["since"]), style="dim")
    why = reason_of(stream)
    if stream["state"] == "RESTARTING":
        left = stream["next_try_in"]
        why += "; trying now" if not left else f"; next try in {_span(left)}"
    return Text(f"{stream['delivered']:>5} frames  {why}")


def reason_of(stream: Mapping[str, Any]) -> str:
    """Why it is as it is, without the name that stands beside it anyway."""
    return re.sub(r"^\S+://\S*: ", "", stream["reason"].removeprefix(f"{stream['source']}: "))


def _span(seconds: float) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


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
    lost = any(row["outages"] for row in rows)
    titles = ("source", "captured", "delivered", "dropped", *(["lost"] if lost else []), "fps")
    table = _table("streams", *titles)
    for row in rows:
        table.add_row(
            _short(row["source"], 60),
            str(row["captured"]),
            str(row["delivered"]),
            _causes(row["dropped"]),
            *([_outages(row)] if lost else []),
            f"{row['fps']:.1f}",
            _ages(row),
        )
    return table


def _outages(row: Mapping[str, Any]) -> str:
    """How often, and for how long together there were no pictures."""
    return f"{row['outages']} x, {_span(row['downtime'])}" if row["outages"] else "0"


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
    where += f", {row['way']}" if "way" in row else ""
    return f"model {row['model']}{where}: {row['frames']} frames, ms per frame: {', '.join(steps)}"


def _causes(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {cause}" for cause, count in dropped.items()) or "0"


def _ages(row: Mapping[str, Any]) -> str:
    """Of live streams; a file has no age, only a place in the queue."""
    if not row.get("live", True) or not row.get("delivered", row.get("written")):
        return "-"
    return " / ".join(f"{1e3 * row[q]:.0f}" for q in ("age_p50", "age_p95", "age_p99"))
