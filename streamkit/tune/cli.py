"""``streamkit tune``: how a model runs best here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamkit.terminal import paper

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
Turns = Annotated[int, typer.Option("--turns", min=1, help="That the likely ones get.")]
Truth = Annotated[
    Path | None,
    typer.Option("--annotations", help="A COCO file about the pictures: mAP judges accuracy."),
]
Forget = Annotated[bool, typer.Option("--forget", help="Go back to the exact path.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_COUNT = 24
_WIDE = 130  # columns where there is no terminal to ask


def tune(  # noqa: PLR0913 - one parameter per option of the command
    model: Model,
    pictures: Pictures = None,
    annotations: Truth = None,
    goal: ForGoal = "throughput",
    bound: Bound = 0.99,
    seconds: Seconds = 3.0,
    turns: Turns = 3,
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
    weights, size, batches = _looked_up(settings, model)
    known = Tunings(folder_of(settings))
    if forget:
        typer.echo("forgotten" if known.forget(weights) else "nothing was known")
        return
    tuner = _tuner(weights, size, pictures, _goal(goal))
    tuner.bound, tuner.seconds, tuner.turns, tuner.batches = bound, seconds, turns, batches
    _judge_by(tuner, annotations, pictures)
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


def _judge_by(tuner: Tuner, annotations: Path | None, pictures: str | None) -> None:
    """Finds out at once whether they can be used. Raises ``ConfigError``."""
    from streamkit.errors import ConfigError
    from streamkit.tune.truth import Truth

    if annotations is None:
        return
    if pictures is None or not Path(pictures).is_dir():
        raise ConfigError("--annotations are about a folder of pictures: name it with --pictures")
    Truth(annotations, Path(pictures))
    tuner.annotations, tuner.folder = annotations.absolute(), Path(pictures).absolute()


def _goal(text: str) -> Goal:
    from streamkit.errors import ConfigError

    if text == "throughput":
        return "throughput"
    if text == "latency":
        return "latency"
    raise ConfigError(f"--goal {text!r}: choose throughput or latency")


def _looked_up(settings: Settings, model: str) -> tuple[Path, tuple[int, int], bool]:
    """The weights, (width, height) of the input, whether a run may take several pictures."""
    from streamkit.models.loading import load
    from streamkit.tune.lookup import package_of

    package = package_of(settings, model)
    loaded = load(package, max_batch=2)
    size: tuple[int, int] = getattr(loaded, "canvas", (640, 640))
    loaded.close()
    return package.weights, size, loaded.max_batch == 2


def _tuner(weights: Path, size: tuple[int, int], place: str | None, goal: Goal) -> Tuner:
    from streamkit.models.devices import (
        CPU,
        CUDA,
        OPENVINO,
        TENSORRT,
        cores,
        openvino_devices,
        usable,
    )
    from streamkit.tune.pictures import gathered
    from streamkit.tune.tuner import Tuner

    providers = list(usable((CUDA, TENSORRT, "CoreMLExecutionProvider", CPU)))
    providers += [OPENVINO] if openvino_devices() and OPENVINO not in providers else []
    shown = gathered(place, _COUNT, size)
    return Tuner(weights, shown, tuple(providers), cores(), inexact=place is not None, goal=goal)


@contextmanager
def _progress(tuner: Tuner) -> Iterator[None]:
    """On a terminal: how far it is, and what has just been measured."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=None)

        def told(measured: Measured, done: int, every: int) -> None:
            gain = measured.failure or f"{measured.gain(tuner.goal):.2f}x"
            what = f"{measured.candidate.name}: {gain}"[:70]
            progress.update(task, description=what, completed=done, total=every)

        tuner.told = told
        yield


def _show(tuner: Tuner, tuning: Tuning | None) -> None:

    console = paper(_WIDE, highlight=False)
    console.print(_table(tuner))
    if tuning is None:
        console.print("The exact path stays: nothing that says the same is steadily faster.")
        return
    console.print(_explained(tuner, tuning))


def _explained(tuner: Tuner, tuning: Tuning) -> str:
    chosen = next(m for m in tuner.measured if m.candidate.name == tuning.name)
    low, high = chosen.spread or (chosen.gain(tuner.goal),) * 2
    gain = "frames per second" if tuner.goal == "throughput" else "quickness of one frame"
    said = f"{100 * tuning.agreement:.1f} % of the objects agree"
    if chosen.lost is not None:
        said += f", mAP {-chosen.lost:+.4f}"
    batch = ""
    if tuning.batch:
        batch = f" Its runs take up to {tuning.batch} frames: worth it with several streams only."
    return (
        f"Chosen: {tuning.name}: {chosen.gain(tuner.goal):.2f} times the {gain} of the exact path "
        f"({low:.2f} to {high:.2f} in turn), {tuning.cpu:.2f} of its CPU per frame; {said}."
        f"{batch} Pipelines use it from now on; --exact, STREAMKIT_EXACT=1 or any setting of how "
        "models run win over it, --forget takes it back."
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
        _verdict(each, bound),
    )


def _verdict(each: Measured, bound: float) -> str:
    lost = "" if each.lost is None else f"mAP {-each.lost:+.4f}"
    return lost if each.equal(bound) else f"too different {lost}".rstrip()
