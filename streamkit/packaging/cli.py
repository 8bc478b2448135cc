"""``streamkit package``: making model packages."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streamkit.packaging.quantize import Report

app = typer.Typer(no_args_is_help=True, help="Make model packages: quantize.")

Model = Annotated[str, typer.Argument(help="dataset/version, an alias, a folder or an .onnx file.")]
Pictures = Annotated[
    str,
    typer.Option("--pictures", help="A folder or clip that shows what the model will see."),
]
To = Annotated[Path, typer.Option("--to", help="The folder to write; new, or empty.")]
Annotations = Annotated[
    Path | None,
    typer.Option("--annotations", help="A COCO file about the pictures: mAP before and after."),
]
Count = Annotated[int, typer.Option("--count", min=2, help="Pictures to calibrate with.")]
Keep = Annotated[
    int, typer.Option("--keep", min=1, help="Of the last layers, so many stay float32.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of the card.")]


@app.callback()
def package() -> None:
    """Make model packages."""


@app.command()
def quantize(
    model: Model,
    pictures: Pictures,
    to: To,
    annotations: Annotations = None,
    count: Count = 32,
    keep: Keep = 2,
    as_json: AsJson = False,
) -> None:
    """Make the same model in eight bits: smaller, and faster on many processors.

    Half of the pictures calibrate it, the other half judges it. What that brought and cost is in
    MODEL_CARD.md, in the folder.
    """
    from streamkit.packaging import graph
    from streamkit.packaging.pictures import halves
    from streamkit.packaging.quantize import Quantising
    from streamkit.settings import Settings
    from streamkit.tune.lookup import package_of

    graph.require()
    found = package_of(Settings.load(), model)
    graph.check(found.weights)
    with _progress() as told:
        told("reading pictures", 0, 1)
        report = Quantising(found, halves(pictures, annotations, count), to, keep, told=told).run()
    show(report, to, as_json=as_json)


def show(report: Report, to: Path, *, as_json: bool) -> None:
    """The card or the figures, and what speaks against the result."""
    for doubt in report.doubts:
        typer.echo(f"warning: {doubt}", err=True)
    if as_json:
        typer.echo(json.dumps({"folder": str(to), **report.as_dict()}, indent=1))
        return
    typer.echo((to / "MODEL_CARD.md").read_text(encoding="utf-8"))
    typer.echo(f"written to {to}; use it by this name")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """On a terminal: a bar for what is being done."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _all: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("")
        yield lambda what, done, every: progress.update(
            task, description=what, completed=done, total=every
        )
