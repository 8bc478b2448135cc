"""``streamkit bench``: what it measures, as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamkit.bench import cost_cli, whole_cli
from streamkit.bench.http_cli import http
from streamkit.bench.recording_cli import recording
from streamkit.bench.soak_cli import soak
from streamkit.terminal import paper

if TYPE_CHECKING:
    from rich.table import Table

    from streamkit.bench.measure import Comparison
    from streamkit.bench.models import Case

app = typer.Typer(no_args_is_help=True, help="Measure streamkit on this machine.")

Json = Annotated[Path | None, typer.Option("--json", help="Write the figures to a file, too.")]
Rounds = Annotated[int, typer.Option("--rounds", min=1, help="Turns that each of the two gets.")]


@app.callback()
def bench() -> None:
    """Measure streamkit on this machine."""


app.command()(soak)
app.command()(recording)
app.command()(http)


@app.command()
def models(json_path: Json = None, rounds: Rounds = 9) -> None:
    """Time what happens around a model's run, in turn with the documented plain method.

    Milliseconds per call: the median, with the least and the greatest of all turns.
    """

    from streamkit.bench.models import run

    table, figures = _table(), list[dict[str, Any]]()

    def told(case: Case, result: Comparison) -> None:
        table.add_row(*_row(case, result))
        figures.append({"name": case.name, "target": case.target, **result.as_dict()})

    run(rounds, told)
    if json_path is not None:
        json_path.write_text(json.dumps({"models": figures, "machine": machine()}, indent=1))
    paper(160).print(table)


@app.command()
def decode(
    clip: Annotated[Path, typer.Argument(help="A video, samples/street.mp4 for example.")],
    json_path: Json = None,
    rounds: Rounds = 5,
) -> None:
    """Compare ways to decode less than everything, where 5 pictures a second are wanted.

    CPU seconds per minute of video: the median, with the least and the greatest of all turns. Of
    the clip as it is, and as cameras would send it: a key frame each second, without and with
    B-frames.
    """
    from tempfile import TemporaryDirectory

    from streamkit.bench import decode as bench

    table, figures = _decode_table(), list[dict[str, Any]]()

    def told(result: bench.Result) -> None:
        table.add_row(*_decode_row(result.as_dict()), end_section=result.way is bench.WAYS[-1])
        figures.append(result.as_dict())

    with TemporaryDirectory() as folder:
        bench.run(bench.samples_of(clip, Path(folder)), rounds, told)
    if json_path is not None:
        json_path.write_text(json.dumps({"decode": figures, "machine": machine()}, indent=1))
    paper(160).print(table)


def _decode_table() -> Table:
    from rich.table import Table

    table = Table("clip", "decoded")
    for name in ("pictures", "decoded", "used", "CPU s per minute", "times as cheap"):
        table.add_column(name, justify="right")
    return table


def _decode_row(figure: dict[str, Any]) -> list[str]:
    spreads = [figure["cpu_seconds_per_minute"], figure["ratio"]]
    told = [
        f"{s['median']:.{places}f} ({s['low']:.{places}f} - {s['high']:.{places}f})"
        for s, places in zip(spreads, (2, 1), strict=True)
    ]
    way = figure["way"]
    if way.startswith("auto"):
        way += f": {figure['mode']}"
    counts = [str(figure[name]) for name in ("pictures", "decoded", "passed")]
    return [figure["sample"], way, *counts, *told]


def _table() -> Table:
    from rich.table import Table

    table = Table("what")
    for name in ("plain ms", "ours ms", "plain CPU ms", "ours CPU ms", "times as fast", "target"):
        table.add_column(name, justify="right")
    return table


def _row(case: Case, result: Comparison) -> list[str]:
    target = f"{case.target:g}" if case.target else ""
    cpu = [f"{1e3 * seconds:.2f}" for seconds in (result.plain_cpu, result.ours_cpu)]
    times = [spread.text(1e3, 2) for spread in (result.plain, result.ours)]
    return [case.name, *times, *cpu, result.ratio.text(1, 1), target]


def machine() -> dict[str, Any]:
    import os
    import platform
    from importlib.metadata import version

    import onnxruntime

    packages = {name: version(name) for name in ("numpy", "opencv-python", "streamkit")}
    machine = {"cores": os.cpu_count(), "machine": platform.machine()}
    return machine | packages | {"onnxruntime": onnxruntime.__version__}


for command in whole_cli.COMMANDS + cost_cli.COMMANDS:
    app.command()(command)
