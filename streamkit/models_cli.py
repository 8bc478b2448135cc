"""``streamkit models``: what is in the cache, and bringing models into it and out of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamkit.terminal import paper

if TYPE_CHECKING:
    from rich.table import Table

    from streamkit.models.ids import Where
    from streamkit.models.store.cache import Cache
    from streamkit.models.store.package import Package
    from streamkit.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Models: list, pull, show, remove, warm, find.")

Model = Annotated[
    str, typer.Argument(help="dataset/version, an alias, a folder, an .onnx file or a pinned URL.")
]
Models = Annotated[list[str], typer.Argument(help="dataset/version or an alias; may be several.")]
Optional = Annotated[str | None, typer.Argument(help="dataset/version or an alias.")]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", help="Seen by others in the process list; better in a file."),
]
KeyFile = Annotated[
    Path | None, typer.Option("--api-key-file", help="A file that holds the API key.")
]

_WIDE = 160  # columns where there is no terminal to ask


@app.command("list")
def list_models() -> None:
    """Show the models in the cache."""
    from rich.table import Table

    from streamkit.models.store.package import WEIGHTS

    settings, cache = _cache()
    table = Table("model", "task", "type", "size", "from", "runs")
    for model in cache.models():
        folder = cache.folder(model)
        weights = next((folder / n for n in WEIGHTS if (folder / n).is_file()), None)
        size, runs = _size(_bytes(folder)), _runs(settings, weights)
        table.add_row(str(model), *_kind(folder), size, _source(folder), runs)
    if table.row_count:
        _print(table)
    else:
        typer.echo(f"no models in {settings.model_cache_dir}; streamkit models pull brings one")


@app.command()
def pull(models: Models, api_key: ApiKey = None, api_key_file: KeyFile = None) -> None:
    """Bring models into the cache, or check those which are there. Progress on a terminal."""
    from streamkit.models.assembly import access_of, api_of, store_of
    from streamkit.models.ids import locate
    from streamkit.models.store.progress import Bars

    settings = _settings(api_key, api_key_file)
    api = api_of(settings)
    store = store_of(settings, api, access_of(settings, api), Bars())
    for model in models:
        package = store.find(locate(model), settings.api_key)
        size = _size(_bytes(package.weights.parent))
        typer.echo(f"{package.model_id}: {size} in {package.weights.parent}")


@app.command()
def show(model: Model) -> None:
    """Show what is known of a model in the cache; every file is checked."""
    from rich.table import Table

    settings, cache = _cache()
    package = _package(cache, model)
    about = Table("", "", show_header=False)
    for name, value in _about(package).items():
        about.add_row(name, value)
    about.add_row("runs", _runs(settings, package.weights))
    _print(about)
    _print(_files(package.weights.parent))


@app.command()
def rm(models: Models) -> None:
    """Delete models from the cache."""
    from streamkit.errors import ModelNotFoundError
    from streamkit.models.ids import parse

    _, cache = _cache()
    for text in models:
        model = parse(text)
        if not cache.folder(model).is_dir():
            raise ModelNotFoundError(f"no model {str(model)!r} in {cache.root}")
        typer.echo(f"{model}: {_size(cache.remove(model, timeout=0))} freed")


@app.command()
def warm(models: Models, api_key: ApiKey = None, api_key_file: KeyFile = None) -> None:
    """Load models, bringing them here if need be, and run each twice: what a stream would wait."""
    from rich.table import Table

    from streamkit.models.manager import ModelManager
    from streamkit.models.manager import warm as run_once

    settings = _settings(api_key, api_key_file)
    manager = ModelManager.of(settings)
    table = Table("model", "provider", "load ms", "first run ms", "next run ms")
    for text in models:
        began = time.perf_counter()
        with manager.pin(text, settings.api_key) as shared:
            took = [time.perf_counter() - began, run_once(shared.model), run_once(shared.model)]
            milliseconds = [f"{1e3 * seconds:.1f}" for seconds in took]
            table.add_row(shared.model.model_id, shared.model.provider, *milliseconds)
    manager.close()
    _print(table)


@app.command()
def where(model: Optional = None) -> None:
    """Show the folder of the cache, or of one model in it."""
    from streamkit.models.ids import parse

    _, cache = _cache()
    if model is None:
        typer.echo(cache.root)
    else:
        package = _package(cache, str(parse(model)))
        typer.echo(package.weights.parent)


def _settings(api_key: str | None, api_key_file: Path | None) -> Settings:
    from pydantic import SecretStr

    from streamkit.settings import Settings, read_key

    if api_key is not None:
        return Settings.load(api_key=SecretStr(api_key))
    if api_key_file is not None:
        return Settings.load(api_key=read_key(api_key_file))
    return Settings.load()


def _cache() -> tuple[Settings, Cache]:
    from streamkit.models.store.cache import Cache
    from streamkit.settings import Settings

    settings = Settings.load()
    return settings, Cache(settings.model_cache_dir)


def _package(cache: Cache, text: str) -> Package:
    """A model that is here; ``ModelNotFoundError`` says how to bring it."""
    from streamkit.errors import ModelNotFoundError
    from streamkit.models.ids import locate

    package = _here(cache, locate(text))
    if package is None:
        hint = f"streamkit models pull {text} brings it"
        raise ModelNotFoundError(f"no model {text!r} in {cache.root}; {hint}")
    return package


def _here(cache: Cache, place: Where) -> Package | None:
    from streamkit.models.remote import RemoteFile
    from streamkit.models.store.package import read_path
    from streamkit.models.store.url import WebFile

    if isinstance(place, Path):
        return read_path(place)
    if isinstance(place, RemoteFile):
        return cache.read(WebFile(place).model)
    return cache.read(place)


def _about(package: Package) -> dict[str, str]:
    kind, names, environment = package.kind, package.names, package.environment
    resize = environment.preprocessing.resize if environment is not None else None
    known = {
        "model": package.model_id,
        "task": kind and kind.project_task_type,
        "type": kind and kind.model_type,
        "from": _source(package.weights.parent),
        "classes": names and f"{len(names)}: {', '.join(names)}",
        "resize": resize and f"{resize.format} {resize.width} x {resize.height}",
        "keypoints": package.keypoints and str(dict(package.keypoints)),
        "folder": str(package.weights.parent),
    }
    return {name: value for name, value in known.items() if value}


def _runs(settings: Settings, weights: Path | None) -> str:
    """As it was tuned here, or as all models do; what a setting decides is said."""
    from streamkit.models.tuning import Tunings, folder_of

    known = Tunings(folder_of(settings)).find(weights) if weights and weights.is_file() else None
    if known is None:
        return "exact"
    used = Tunings.of(settings)
    tuned = f"tuned: {known.name}"
    return tuned if used is not None else f"exact by setting ({tuned})"


def _files(folder: Path) -> Table:
    from rich.table import Table

    from streamkit.models.store.sidecar import Seal

    table = Table("file", "bytes", "sha256")
    for path in sorted(folder.iterdir()):
        if path.is_file():
            seal = Seal.of(path)
            table.add_row(path.name, str(seal.size), seal.sha256)
    return table


def _kind(folder: Path) -> tuple[str, str]:
    """(task, type), question marks where the file is damaged."""
    from streamkit.errors import ModelArtefactError
    from streamkit.models.store.environment import ModelType
    from streamkit.models.store.files import look, read_json

    path = folder / "model_type.json"
    try:
        kind = read_json(path, ModelType) if look(path) else None
    except ModelArtefactError:
        return "?", "?"
    return (kind.project_task_type, kind.model_type) if kind else ("", "")


def _source(folder: Path) -> str:
    from streamkit.errors import ModelArtefactError
    from streamkit.models.store.sidecar import Sidecar

    try:
        sidecar = Sidecar.read(folder)
    except ModelArtefactError:
        return "?"
    return sidecar.source if sidecar is not None else "put here"


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _print(table: Table) -> None:

    for column in table.columns:
        column.overflow = "fold"  # a checksum or a path is worth nothing without its end
    paper(_WIDE, markup=False).print(table)
