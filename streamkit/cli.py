"""The command line: ``streamkit run`` and ``streamkit settings``."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO

import typer
from typer.exceptions import Abort

from streamkit import blocks_cli, documents_cli, models_cli, outbox_cli
from streamkit.bench import cli as bench_cli
from streamkit.chaos import cli as chaos_cli
from streamkit.doctor import cli as doctor_cli
from streamkit.errors import ConfigError, ModelError, SinkError, SourceError, StreamkitError
from streamkit.packaging import cli as packaging_cli
from streamkit.server import cli as server_cli
from streamkit.terminal import paper
from streamkit.tune import cli as tune_cli

if TYPE_CHECKING:
    from streamkit.documents.places import Places
    from streamkit.pipeline import InferencePipeline
    from streamkit.spec import PipelineSpec

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Point it at cameras and a model; get events.",
)
app.add_typer(models_cli.app, name="models")
app.add_typer(outbox_cli.app, name="outbox")
app.add_typer(bench_cli.app, name="bench")
app.add_typer(packaging_cli.app, name="package")
app.command("chaos")(chaos_cli.chaos)
app.command("serve")(server_cli.serve)
app.command("blocks")(blocks_cli.blocks)
app.command("check")(documents_cli.check)
app.command("graph")(documents_cli.graph)
app.command("schema")(documents_cli.schema)
app.command("doctor")(doctor_cli.doctor)
app.command("plan")(doctor_cli.plan)

EXIT_CODES: dict[type[StreamkitError], int] = {
    ConfigError: 2,
    SourceError: 3,
    ModelError: 4,
    SinkError: 5,
}
"""What a script can tell from the exit code; 0: done, 1: anything else, 130: Ctrl-C."""

Document = Annotated[Path | None, typer.Argument(help="A pipeline document (YAML).")]
Source = Annotated[
    list[str] | None,
    typer.Option("--source", help="A file, folder, URL or camera index; may be repeated."),
]
Model = Annotated[
    str | None,
    typer.Option("--model", help="dataset/version, an alias, a folder or an .onnx file."),
]
Save = Annotated[Path | None, typer.Option("--save", help="Write an annotated MP4.")]
Jsonl = Annotated[Path | None, typer.Option("--jsonl", help="Write one JSON record per frame.")]
Show = Annotated[bool, typer.Option("--show", help="Show the annotated picture in a window.")]
MaxFps = Annotated[float | None, typer.Option("--max-fps", help="Frames per second, per source.")]
Confidence = Annotated[
    float | None, typer.Option("--confidence", help="Keep objects at least this sure (0 to 1).")
]
KeepTrying = Annotated[
    bool, typer.Option("--keep-trying", help="Wait for cameras that are not there yet.")
]
Exact = Annotated[
    bool, typer.Option("--exact", help="Run the model as it is, whatever tune has found out.")
]
Profile = Annotated[
    str | None, typer.Option("--profile", help="low-power, for small machines; or default.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")]
Watched = Annotated[
    bool, typer.Option("--watch", help="Go over to the document when it changes, as on SIGHUP.")
]


@app.command()
def run(  # noqa: PLR0913 - one parameter per option of the command
    document: Document = None,
    source: Source = None,
    model: Model = None,
    save: Save = None,
    jsonl: Jsonl = None,
    show: Show = False,
    max_fps: MaxFps = None,
    confidence: Confidence = None,
    keep_trying: KeepTrying = False,
    exact: Exact = False,
    profile: Profile = None,
    quiet: Quiet = False,
    given: documents_cli.Set = None,
    watch: Watched = False,
) -> None:
    """Run a pipeline document, or sources through a model. Ctrl-C stops it; a table ends it.

    Options add to the document or replace what it says.
    """
    asked = {"sources": source, "max_fps": max_fps, "exact": exact or None, "profile": profile}

    def read() -> PipelineSpec:
        written, places = _written(document, given) if document else ({}, None)
        own = {k: v for k, v in asked.items() if v not in (None, [])}
        merged = written | own
        merged["require_sources"] = not keep_trying and merged.get("require_sources", True)
        _merge_model(merged, model, confidence)
        _add_outputs(merged, save, jsonl, show)
        return _checked(merged, places.without(own) if places else Places("command line"))

    with _signals_exit():
        from streamkit.documents.places import Places
        from streamkit.spec import build_pipeline

        spec = read()
        pipeline = build_pipeline(spec)
    with _reloading(pipeline, spec, read, document, watch=watch):
        _play(pipeline, quiet=quiet)


@contextmanager
def _reloading(
    pipeline: InferencePipeline,
    spec: PipelineSpec,
    read: Callable[[], PipelineSpec],
    document: Path | None,
    *,
    watch: bool,
) -> Iterator[None]:
    """Inside, SIGHUP (with ``watch`` a change, too) makes ``pipeline`` go over to the document."""
    if document is None:
        yield
        return
    from streamkit.documents.watch import Watch

    hang_up = getattr(signal, "SIGHUP", None)  # Windows has none
    path = document.absolute() if watch else None
    with Watch(pipeline, spec, read, lambda line: typer.echo(line, err=True), path) as watching:
        before = hang_up and signal.signal(hang_up, lambda *_: watching.again())
        try:
            yield
        finally:
            if hang_up:
                signal.signal(hang_up, before)


@contextmanager
def _signals_exit() -> Iterator[None]:
    """Ctrl-C and SIGTERM inside end the process at once: libraries swallow what is raised while
    they are imported."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if before[signal.SIGINT] is not signal.default_int_handler:
        yield
        return
    for number in before:
        signal.signal(number, lambda told, _: os._exit(128 + told))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _written(document: Path, given: list[str] | None) -> tuple[dict[str, Any], Places]:
    """What the document says, and where; modules that it names may lie beside it."""
    from streamkit.documents.check import beside
    from streamkit.documents.variables import pairs
    from streamkit.spec import PipelineSpec

    beside(document)
    spec = PipelineSpec.load(document, pairs(given))
    return spec.model_dump(exclude_unset=True, by_alias=True), spec.places


def _merge_model(merged: dict[str, Any], model: str | None, confidence: float | None) -> None:
    asked = {"id": model, "confidence": confidence}
    given = {key: value for key, value in asked.items() if value is not None}
    if given or "model" in merged:
        merged["model"] = dict(merged.get("model") or {}) | given


def _add_outputs(merged: dict[str, Any], save: Path | None, jsonl: Path | None, show: bool) -> None:
    sinks = list(merged.get("sinks", []))
    stages = list(merged.get("stages", []))
    if save is not None:
        sinks.append({"video": {"path": str(save)}})
    if jsonl is not None:
        sinks.append({"jsonl": {"path": str(jsonl), "append": False}})
    if show:
        sinks.append("window")
    if (save or show) and not any(stage["name"] == "annotate" for stage in stages):
        stages.append("annotate")
    merged |= {"sinks": sinks, "stages": stages}


def _checked(merged: dict[str, Any], places: Places) -> PipelineSpec:
    from streamkit.spec import PipelineSpec

    missing = [
        f"--{key}"
        for key in ("source", "model")
        if not merged.get(key.replace("source", "sources"))
    ]
    if missing:
        raise ConfigError(f"name a pipeline document, or {' and '.join(missing)}")
    return PipelineSpec.of(merged, places=places)


def _play(pipeline: Any, *, quiet: bool) -> None:
    from streamkit.console import Terminated, play

    try:
        play(pipeline, quiet=quiet)
    except Terminated:
        sys.exit(143)
    except KeyboardInterrupt:
        sys.exit(130)


app.command("tune")(tune_cli.tune)


@app.command()
def settings() -> None:
    """Show every setting: its environment variable, its value here, and what it is for."""
    from rich.table import Table

    from streamkit.server.settings import ServerSettings
    from streamkit.settings import Settings, variable

    table = Table()
    for title in ("variable", "value", "what it is for"):
        table.add_column(title, overflow="fold")
    for kind in (Settings, ServerSettings):
        for name, value in kind.load():
            about = kind.model_fields[name].description or ""
            table.add_row(variable(name, kind), _shown(value), about)
    paper(160, markup=False).print(table)


def _shown(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return "not set" if value in (None, "", ()) else text


@app.command()
def version() -> None:
    """Show the version."""
    from importlib.metadata import version as installed

    typer.echo(installed("streamkit"))


def main() -> NoReturn:
    """The ``streamkit`` command: errors in one line, exit codes that scripts can use."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(message)s", handlers=[_Stderr()]
    )
    signal.signal(signal.SIGTERM, _end)  # so that what has been begun is cleaned up
    try:
        code = app(standalone_mode=False)
    except StreamkitError as error:
        _fail(str(error), next((c for kind, c in EXIT_CODES.items() if isinstance(error, kind)), 1))
    except typer.TyperException as error:
        _fail(error.format_message(), error.exit_code)
    except (Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except OSError as error:  # what was to be shown could not be: a full disk
        _fail(str(error), 1)
    sys.exit(code if isinstance(code, int) else 0)


def _end(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


class _Stderr(logging.StreamHandler[TextIO]):
    """Wherever stderr leads at the time: above the progress lines while there are any."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _fail(message: str, code: int) -> NoReturn:
    if message:  # without arguments the help has been shown
        typer.echo(f"error: {message}", err=True)
    sys.exit(code)
