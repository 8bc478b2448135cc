"""``streamkit bench pipeline|limit|start|streams|latency``: the whole way of a frame, measured."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamkit.terminal import paper

if TYPE_CHECKING:
    from rich.status import Status
    from rich.table import Table

    from streamkit.bench.contestants import Subject
    from streamkit.bench.crowd import Overload
    from streamkit.bench.pipeline import Race

Clip = Annotated[Path, typer.Option("--clip", help="A video file.")]
Model = Annotated[str, typer.Option("--model", help="dataset/version, an alias, a folder, a file.")]
Against = Annotated[
    list[str] | None,
    typer.Option("--against", help="inference=PYTHON or ultralytics=PYTHON; may be repeated."),
]
Frames = Annotated[int, typer.Option("--frames", min=12, help="Of the clip, in each go.")]
Rounds = Annotated[int, typer.Option("--rounds", min=1, help="Goes that each one gets.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the figures to a file, too.")]
Counts = Annotated[str, typer.Option("--cameras", help="Numbers of cameras, with commas.")]
Loads = Annotated[str, typer.Option("--loads", help="Multiples of what the model takes.")]
Fps = Annotated[float, typer.Option("--fps", min=0.1, help="Predictions a second and camera.")]
Rate = Annotated[float, typer.Option("--rate", min=1, help="Pictures a second and camera.")]

CLIP, MODEL = Path("samples/street.mp4"), "samples/models/street/1"
_WIDE = 150  # columns where there is no terminal to ask
_SCALE = {"cpu": (1e3, 1), "wall": (1e3, 1), "start": (1.0, 2), "resident": (2.0**-20, 0)}
_TITLES = {
    "cpu": "CPU ms per frame",
    "wall": "ms per frame",
    "start": "start s",
    "resident": "memory MB",
}


def pipeline(
    clip: Clip = CLIP,
    model: Model = MODEL,
    against: Against = None,
    frames: Frames = 200,
    rounds: Rounds = 5,
    json_path: Json = None,
) -> None:
    """A file through a model to JSON lines at full speed; beside other packages, in turn.

    Each go is a fresh process. CPU and clock are those of the frames after the tenth.
    """
    race = _race(clip, model, against, frames, rounds)
    written(json_path, {"pipeline": race.as_dict()})
    show(_race_table(race, ("cpu", "wall", "start", "resident")))


def start(
    clip: Clip = CLIP,
    model: Model = MODEL,
    against: Against = None,
    rounds: Rounds = 5,
    json_path: Json = None,
) -> None:
    """From the birth of the process to the first prediction."""
    race = _race(clip, model, against, 12, rounds)
    written(json_path, {"start": race.as_dict()})
    show(_race_table(race, ("start", "resident")))


def limit(
    clip: Clip = CLIP,
    model: Model = MODEL,
    frames: Frames = 200,
    rounds: Rounds = 5,
    json_path: Json = None,
) -> None:
    """Decode, prepare, session, finish and record alone, and the whole beside their floor."""
    from rich.table import Table

    from streamkit.bench.pipeline import limited

    with status_line() as status:
        asked = subject_of(clip, model, frames)
        found = limited(asked, rounds, lambda: status.update("another round"))
    written(json_path, {"limit": found.as_dict()})
    table = Table("part", title=f"CPU ms per frame, {found.provider}", title_justify="left")
    table.add_column("median (least - most)", justify="right")
    for name, spread in found.parts.items():
        table.add_row(name, spread.text(1e3, 2))
    table.add_section()
    table.add_row("the whole pipeline", found.whole.text(1e3, 2))
    table.add_row("less decode and session", found.glue.text(1e3, 2))
    table.add_row("as a multiple of them", found.over.text(1, 3))
    show(table)


def streams(
    clip: Clip = CLIP,
    model: Model = MODEL,
    counts: Counts = "1,2,4,8,16",
    fps: Fps = 5.0,
    rate: Rate = 25.0,
    rounds: Rounds = 3,
    json_path: Json = None,
) -> None:
    """Many cameras on one model: cost, age and memory as they grow."""
    from rich.table import Table

    from streamkit.bench.crowd import crowds

    with status_line() as status:
        asked = subject_of(clip, model, 100)
        found = crowds(asked, numbers(counts, int), fps, rate, rounds, status.update)
    written(json_path, {"streams": [crowd.as_dict() for crowd in found]})
    table = Table("cameras", title=f"{fps:g} of {rate:g} a second each", title_justify="left")
    for title in ("cores", "of the floor", "served %", "age ms p50", "age ms p99", "memory MB"):
        table.add_column(title, justify="right")
    for crowd in found:
        cells = [crowd.cpu.text(1, 2), crowd.over.text(1, 2), crowd.served.text(100, 0)]
        cells += [crowd.age_p50.text(1e3, 0), crowd.age_p99.text(1e3, 0)]
        table.add_row(str(crowd.cameras), *cells, crowd.resident.text(2.0**-20, 0))
    show(table)


def latency(
    clip: Clip = CLIP,
    model: Model = MODEL,
    against: Against = None,
    loads: Loads = "0.5,1,2,5",
    rounds: Rounds = 3,
    json_path: Json = None,
) -> None:
    """The age of results when a camera sends more than the model, or a sink, can take.

    With --against, of all packages before an RTSP camera that burns the time into its pictures.
    """
    from streamkit.bench.crowd import behind_sink, overloads

    if against:
        _before_camera(clip, model, against, loads, rounds, json_path)
        return
    with status_line() as status:
        asked = subject_of(clip, model, 100)
        found = overloads(asked, numbers(loads, float), rounds, status.update)
        found.append(behind_sink(asked, 30.0, 10.0, rounds, status.update))
    written(json_path, {"latency": [each.as_dict() for each in found]})
    show(_latency_table(found))


def _latency_table(found: Sequence[Overload]) -> Table:
    from rich.table import Table

    table = Table("load")
    for title in ("fps sent", "model ms", "age ms p50", "age ms p99", "p99 in model times"):
        table.add_column(title, justify="right")
    for each in found:
        sink = "" if each.sink_rate is None else f", sink of {each.sink_rate:g} a second"
        cells = [f"{each.fps:.1f}", each.model.text(1e3, 1), each.age_p50.text(1e3, 0)]
        cells += [each.age_p99.text(1e3, 0), each.in_models.text(1, 2)]
        table.add_row(f"{each.load:g}x{sink}", *cells)
    return table


def _before_camera(
    clip: Path,
    model: str,
    against: Sequence[str],
    loads: str,
    rounds: int,
    json_path: Path | None,
) -> None:
    from streamkit.bench.glass_show import before_camera, table_of

    others = dict(_other(text) for text in against)
    with status_line() as status, tempfile.TemporaryDirectory(prefix="streamkit-") as folder:
        asked = subject_of(clip, model, 100)
        wanted = numbers(loads, float)
        found = before_camera(asked, others, wanted, rounds, Path(folder), status.update)
    written(json_path, {"latency": [each.as_dict() for each in found]})
    show(table_of(found))


def _race(clip: Path, model: str, against: Sequence[str] | None, frames: int, rounds: int) -> Race:
    from streamkit.bench.pipeline import raced

    others = dict(_other(text) for text in against or ())
    with status_line() as status, tempfile.TemporaryDirectory(prefix="streamkit-") as folder:
        asked = subject_of(clip, model, frames)
        return raced(
            asked,
            others,
            rounds,
            Path(folder),
            lambda name, go: status.update(f"{name}: {1e3 * go.cpu:.1f} ms of CPU per frame"),
        )


def _other(text: str) -> tuple[str, Path]:
    from streamkit.errors import ConfigError

    name, given, python = text.partition("=")
    if not given:
        raise ConfigError(f"--against {text!r}: write {text}=PATH, the path of its python")
    return name, Path(python).absolute()


def subject_of(clip: Path, model: str, frames: int) -> Subject:
    """What is run. Raises ``ConfigError`` where there is no such clip."""
    from streamkit.bench.contestants import subject
    from streamkit.errors import ConfigError

    if not clip.is_file():
        raise ConfigError(f"--clip {clip}: no such file")
    return subject(clip, model, frames)


def numbers(text: str, kind: type) -> list[Any]:
    """Numbers with commas between them. Raises ``ConfigError`` for anything else."""
    from streamkit.errors import ConfigError

    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{text!r}: write numbers with commas between them") from None


def _race_table(race: Race, figures: Sequence[str]) -> Table:
    from rich.table import Table

    from streamkit.bench.race import spreads

    table = Table("", *race.goes)
    for column in table.columns[1:]:
        column.justify = "right"
    for figure in figures:
        own = [spreads(goes)[figure].text(*_SCALE[figure]) for goes in race.goes.values()]
        table.add_row(_TITLES[figure], *own)
        ratios = [race.ratios(name)[figure].text(1, 2) for name in race.goes]
        table.add_row(f"   {race.first} of it", "", *ratios[1:], style="bold")
    table.add_row("objects found", *(str(goes[-1].found) for goes in race.goes.values()))
    return table


def written(path: Path | None, figures: Mapping[str, Any]) -> None:
    """As JSON, with what machine this is, where that is asked for."""
    if path is not None:
        from streamkit.bench.cli import machine

        path.write_text(json.dumps({**figures, "machine": machine()}, indent=1), encoding="utf-8")


def show(table: Table) -> None:
    """Print it, as wide as it has to be."""

    paper(_WIDE).print(table)


@contextmanager
def status_line() -> Iterator[Status]:
    """What is being measured, on a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    status = console.status("making ready")
    if console.is_terminal:
        with status:
            yield status
    else:
        yield status


COMMANDS = (pipeline, limit, start, streams, latency)
