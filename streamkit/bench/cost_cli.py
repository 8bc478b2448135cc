"""``streamkit bench profile|memory``: where each millisecond of a frame goes, and each megabyte."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamkit.bench.whole_cli import (
    CLIP,
    MODEL,
    Clip,
    Counts,
    Fps,
    Frames,
    Json,
    Model,
    Rate,
    Rounds,
    numbers,
    show,
    status_line,
    subject_of,
    written,
)

if TYPE_CHECKING:
    from rich.table import Table

    from streamkit.bench.cost import Cost

Objects = Annotated[
    int | None,
    typer.Option(
        "--objects",
        min=0,
        max=200,
        help="In every frame: a graph that always answers with so many takes the model's place.",
    ),
]
Draw = Annotated[bool, typer.Option("--draw", help="Draw what was found onto each picture, too.")]
Picture = Annotated[Path | None, typer.Option("--picture", help="Draw a flame graph (SVG).")]


def profile(  # noqa: PLR0913 - options
    clip: Clip = CLIP,
    model: Model = MODEL,
    objects: Objects = None,
    draw: Draw = False,
    frames: Frames = 200,
    rounds: Rounds = 3,
    picture: Picture = None,
    json_path: Json = None,
) -> None:
    """Where the CPU time of a frame goes, stage by stage: a file to JSON lines at full speed.

    Times are those of the threads' own clocks: what other programs do is not in them.
    """
    from streamkit.bench.cost import costs
    from streamkit.bench.flame import svg

    with status_line() as status, ExitStack() as stack:
        if objects is not None:
            from streamkit.bench.still import still

            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="streamkit-"))
            model = str(still(Path(folder) / "still.onnx", objects))
        asked = subject_of(clip, model, frames)
        found = costs(asked, draw, rounds, lambda: status.update("another round"))
    written(json_path, {"profile": found.as_dict()})
    if picture is not None:
        title = f"CPU of one frame, {1e3 * found.whole.median:.1f} ms: {clip.name}"
        title += f", {Path(model).name}, {found.found:.0f} objects"
        picture.write_text(svg(found.paths, title), encoding="utf-8")
    show(_table(found))


def _table(found: Cost) -> Table:
    from rich.table import Table

    title = f"CPU ms per frame, {found.found:.1f} objects in each"
    table = Table("stage", title=title, title_justify="left")
    table.add_column("median", justify="right")
    table.add_column("(least - most)", justify="right")
    for path, seconds in sorted(found.paths.items()):
        if round(1e3 * seconds, 2):
            table.add_row("   " * (len(path) - 1) + path[-1], f"{1e3 * seconds:.2f}", "")
    table.add_section()
    rows = (
        ("the whole", found.whole, 1e3),
        ("neither decode, session nor drawing", found.glue, 1e3),
        ("drawing", found.drawing, 1e3),
        ("the whole as a multiple of decode and session", found.over, 1),
    )
    for name, spread, factor in rows:
        if spread.high:
            table.add_row(name, *spread.text(factor, 2).split(" ", 1))
    return table


def memory(  # noqa: PLR0913 - options
    clip: Clip = CLIP,
    model: Model = MODEL,
    counts: Counts = "1,4,8",
    fps: Fps = 5.0,
    rate: Rate = 25.0,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Of each count.")] = 6.0,
    rounds: Rounds = 3,
    json_path: Json = None,
) -> None:
    """Resident memory as cameras are added to one model."""
    from rich.table import Table

    from streamkit.bench.cost import memories

    with status_line() as status:
        asked = subject_of(clip, model, 100)
        cameras = numbers(counts, int)
        found = memories(asked, cameras, fps, rate, seconds, rounds, status.update)
    written(json_path, {"memory": found.as_dict()})
    table = Table("cameras", title=f"{fps:g} of {rate:g} a second each", title_justify="left")
    table.add_column("resident MB", justify="right")
    for count, spread in found.resident.items():
        table.add_row(str(count), spread.text(2.0**-20, 1))
    table.add_section()
    table.add_row("each further one", f"{found.each * 2.0**-20:.1f}")
    show(table)


COMMANDS = (profile, memory)
