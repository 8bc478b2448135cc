"""``streamkit bench recording``: what recording without encoding costs, as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from streamkit.terminal import paper


def recording(
    clip: Annotated[Path, typer.Argument(help="A video, samples/street.mp4 for example.")],
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to a file, too.")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Turns that each way gets.")] = 7,
) -> None:
    """Compare recording a camera without encoding to decoding it.

    CPU milliseconds per second of 1080p video, and per cent of what decoding it takes: the median,
    with the least and the greatest of all turns.
    """
    from rich.table import Table

    from streamkit.bench.recording import Result, run

    table, figures = Table("what"), list[dict[str, Any]]()
    for name in ("CPU ms per second of video", "% of decoding"):
        table.add_column(name, justify="right")

    def told(result: Result) -> None:
        figure = result.as_dict()
        figures.append(figure)
        spreads = figure["cpu_ms_per_second"], figure["percent_of_decoding"]
        table.add_row(result.name, *(_text(spread) for spread in spreads))

    about = run(clip, rounds, told)
    table.add_row("decoding", f"{about['decoding_cpu_ms_per_second']:.0f}", "100")
    if json_path is not None:
        json_path.write_text(json.dumps({"recording": figures, "sample": about}, indent=1))
    paper(160).print(table)


def _text(spread: dict[str, float]) -> str:
    return f"{spread['median']:.2f} ({spread['low']:.2f} - {spread['high']:.2f})"
