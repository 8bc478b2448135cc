"""``streamkit bench``: what it measures, as a table and as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from streamkit.bench.measure import Comparison, Spread
    from streamkit.bench.models import Case

app = typer.Typer(no_args_is_help=True, help="Measure streamkit on this machine.")

Json = Annotated[Path | None, typer.Option("--json", help="Write the figures to a file, too.")]
Rounds = Annotated[int, typer.Option("--rounds", min=1, help="Turns that each of the two gets.")]


@app.callback()
def bench() -> None:
    """Measure streamkit on this machine."""


@app.command()
def models(json_path: Json = None, rounds: Rounds = 9) -> None:
    """Time what happens around a model's run, in turn with the documented plain method.

    Milliseconds per call: the median, with the least and the greatest of all turns.
    """
    from rich.console import Console

    from streamkit.bench.models import run

    table, figures = _table(), list[dict[str, Any]]()

    def told(case: Case, result: Comparison) -> None:
        table.add_row(*_row(case, result))
        figures.append({"name": case.name, "target": case.target, **result.as_dict()})

    run(rounds, told)
    if json_path is not None:
        json_path.write_text(json.dumps({"models": figures, "machine": _machine()}, indent=1))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _table() -> Table:
    from rich.table import Table

    table = Table("what")
    for name in ("plain ms", "ours ms", "plain CPU ms", "ours CPU ms", "times as fast", "target"):
        table.add_column(name, justify="right")
    return table


def _row(case: Case, result: Comparison) -> list[str]:
    target = f"{case.target:g}" if case.target else ""
    cpu = [f"{1e3 * seconds:.2f}" for seconds in (result.plain_cpu, result.ours_cpu)]
    times = [_spread(spread, 1e3, 2) for spread in (result.plain, result.ours)]
    return [case.name, *times, *cpu, _spread(result.ratio, 1, 1), target]


def _spread(spread: Spread, factor: float, places: int) -> str:
    middle, low, high = (
        f"{factor * figure:.{places}f}" for figure in (spread.median, spread.low, spread.high)
    )
    return f"{middle} ({low} - {high})"


def _machine() -> dict[str, Any]:
    import os
    import platform
    from importlib.metadata import version

    import onnxruntime

    packages = {name: version(name) for name in ("numpy", "opencv-python", "streamkit")}
    machine = {"cores": os.cpu_count(), "machine": platform.machine()}
    return machine | packages | {"onnxruntime": onnxruntime.__version__}
