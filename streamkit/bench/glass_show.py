"""``streamkit bench latency --against``: packages before one camera, as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamkit.bench.crowd import pace
from streamkit.bench.glass import Seen, seen, watchers

if TYPE_CHECKING:
    from rich.table import Table

    from streamkit.bench.contestants import Subject


def before_camera(
    subject: Subject,
    others: Mapping[str, Path],
    loads: Sequence[float],
    rounds: int,
    folder: Path,
    told: Callable[[str], None],
) -> list[Seen]:
    """Each load of our own model's pace; then 30 a second before a sink of 10 a second."""
    contestants = watchers(subject, others, folder)
    found = list[Seen]()
    for load in loads:
        fps = min(200.0, round(load * pace(subject), 1))
        found += seen(contestants, fps, None, rounds, told)
    return found + seen(contestants, 30.0, 10.0, rounds, told)


def table_of(found: Sequence[Seen]) -> Table:
    """Ages in milliseconds, from the camera's clock to the sink."""
    from rich.table import Table

    table = Table("fps sent", "package", title="from glass to sink", title_justify="left")
    titles = "a second", "age ms p50", "age ms p99", "last half less first", "memory MB, the same"
    for title in (*titles, "cores busy"):
        table.add_column(title, justify="right")
    for each in found:
        sink = "" if each.sink_rate is None else f", sink of {each.sink_rate:g} a second"
        cells = [each.delivered.text(1, 1), each.age_p50.text(1e3, 0)]
        cells += [each.age_p99.text(1e3, 0), each.growth.text(1e3, 0)]
        cells += [each.grown.text(2.0**-20, 1), each.cpu.text(1, 2)]
        table.add_row(f"{each.fps:g}{sink}", each.name, *cells)
    return table
