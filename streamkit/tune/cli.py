"""``streamkit tune``: how a model runs best here."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from streamkit.models.tuning import Tuning
    from streamkit.settings import Settings
    from streamkit.tune.tuner import Goal, Measured, Tuner

Model = Annotated[str, typer.Argument(help="dataset/version, an alias, a folder or an .onnx file.")]
Pictures = Annotated[
    str | None,
    typer.Option("--pictures", help="A folder or clip of yours, to judge accuracy by."),
]
ForGoal = Annotated[str, typer.Option("--goal", help="throughput or latency.")]
Bound = Annotated[
    float,
    typer.Option("--bound", min=0, max=1, help="Share of objects that must agree with exact."),
]
Seconds = Annotated[float, typer.Option("--seconds", min=0.2, help="Of each measurement.")]
Forget = Annotated[bool, typer.Option("--forget", help="Go back to the exact path.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_COUNT = 24
_WIDE = 130  # columns where there is no terminal to ask


def tune(
    model: Model,
    pictures: Pictures = None,
    goal: ForGoal = "throughput",
    bound: Bound = 0.99,
    seconds: Seconds = 3.0,
    forget: Forget = False,
    as_json: AsJson = False,
) -> None:
    """Measure how this model runs best on this machine at equal accuracy, and remember it.

    Pipelines use what is remembered, unless STREAMKIT_EXACT=1 or a setting says how models run.
    Without pictures only ways that compute with float32 are tried.
    """
    from streamkit.models.tuning import Tunings, folder_of
    from streamkit.settings import Settings

    settings = Settings.load()
    weights, size = _looked_up(settings, model)
    known = Tunings(folder_of(settings))
    if forget:
        typer.echo("forgotten" if known.forget(weights) else "nothing was known")
        return
    tuner = _tuner(weights, size, pictures, _goal(goal))
    tuner.bound, tuner.seconds = bound, seconds
    with _progress(tuner):
        tuning = tuner.run()
    if tuning is None:
        known.forget(weights)
    else:
        known.keep(weights, tuning)
    if as_json:
        chosen = tuning.model_dump() if tuning else None
        measured = [each.as_dict() for each in tuner.measured]
        typer.echo(json.dumps({"chosen": chosen, "measured": measured}, indent=1))
    else:
        _show(tuner, tuning)


def _goal(text: str) -> Goal:
    from streamkit.errors import ConfigError

    if text == "throughput":
        return "throughput"
    if text == "latency":
        return "latency"
    raise ConfigError(f"--goal {text!r}: choose throughput or latency")


def _looked_up(settings: Settings, model: str) -> tuple[Path, tuple[int, int]]:
    """The weights, and (width, height) of the model's input."""
    from streamkit.models.assembly import access_of, api_of, store_of
    from streamkit.models.ids import locate
    from streamkit.models.loading import load

    api = api_of(settings)
    store = store_of(settings, api, access_of(settings, api))
    package = store.find(locate(model), settings.api_key)
    loaded = load(package)
    size: tuple[int, int] = getattr(loaded, "canvas", (640, 640))
    loaded.close()
    return package.weights, size


def _tuner(weights: Path, size: tuple[int, int], place: str | None, goal: Goal) -> Tuner:
    from streamkit.models.devices import CPU, CUDA, OPENVINO, TENSORRT, openvino_devices, usable
    from streamkit.tune.pictures import gathered
    from streamkit.tune.tuner import Tuner

    providers = list(usable((CUDA, TENSORRT, "CoreMLExecutionProvider", CPU)))
    providers += [OPENVINO] if openvino_devices() and OPENVINO not in providers else []
    able = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if able else os.cpu_count() or 1
    shown = gathered(place, _COUNT, size)
    return Tuner(weights, shown, tuple(providers), cores, inexact=place is not None, goal=goal)


@contextmanager
def _progress(tuner: Tuner) -> Iterator[None]:
    """On a terminal: what has just been measured."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status("measuring the exact path") as status:
        tuner.told = lambda m: status.update(f"{m.candidate.name}: {m.gain(tuner.goal):.2f}x")
        yield


def _show(tuner: Tuner, tuning: Tuning | None) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)
    console.print(_table(tuner))
    if tuning is None:
        console.print("The exact path stays: nothing that agrees with it is worth a change.")
        return
    console.print(
        f"Chosen: {tuning.name}: {tuning.speed:.2f} times the frames per second, "
        f"{tuning.cpu:.2f} of the CPU per frame, {100 * tuning.agreement:.1f} % of the objects "
        "agree. Pipelines use it from now on; STREAMKIT_EXACT=1 or --forget goes back."
    )


def _table(tuner: Tuner) -> Table:
    from rich.table import Table

    from streamkit.tune.tuner import ordered

    table = Table("way")
    for title in ("frames/s", "x exact", "CPU", "latency ms", "x exact", "agreement", ""):
        table.add_column(title, justify="right")
    for each in ordered(tuner.measured, tuner.goal):
        table.add_row(each.candidate.name, *_cells(each, tuner.bound))
    return table


def _cells(each: Measured, bound: float) -> tuple[str, ...]:
    if each.failure is not None:
        return ("", "", "", "", "", "", each.failure[:60])
    return (
        f"{each.fps:.1f}",
        f"{each.speed:.2f}",
        f"{each.thrift:.2f}",
        f"{1e3 * each.latency:.1f}",
        f"{each.quickness:.2f}",
        f"{100 * each.agreement:.1f} %",
        "" if each.agreement >= bound else "too different",
    )
