"""What is wrong with a document whose shape is right: everything at once, and nothing is opened."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from streamkit import plugins
from streamkit.documents import fit
from streamkit.documents.build import id_of, model_of
from streamkit.documents.paths import inner_of, kind_of, model_options
from streamkit.documents.places import Path as Keys
from streamkit.documents.places import Problem, shown, told_id
from streamkit.documents.steps import Maker, all_steps, build, with_models
from streamkit.errors import ConfigError, ModelNotFoundError
from streamkit.models.aliases import ALIASES
from streamkit.models.ids import ModelId, locate
from streamkit.options import SourceReference, plan
from streamkit.quality import control_of
from streamkit.sinks import SINKS
from streamkit.sources import connection_of, open_source
from streamkit.sources.reference import printable
from streamkit.stages import STAGES
from streamkit.streams.options import StreamOptions

if TYPE_CHECKING:
    from streamkit.spec import PipelineSpec, SourceSpec, StepSpec


def problems_of(spec: PipelineSpec, *, files: bool = False, request: bool = False) -> list[Problem]:
    """All that is wrong. With ``files``, also files of sources and models that are not there, and
    what sinks refuse; with ``request``, what makes no sense for a single picture."""
    found = [
        *_sources(spec, files=files),
        *_models(spec, files=files),
        *_steps(spec, "stages", STAGES, files=files),
        *_steps(spec, "sinks", SINKS, files=files),
        *_stream(spec),
        *_control(spec),
    ]
    wrong = {problem.path for problem in found}
    return [*found, *fit.problems_of(spec, wrong, request=request)]


_UNOPENED = ("rtsp", "network")
"""Kinds of sources of which one can be made without opening anything."""


def beside(document: Path) -> None:
    """Modules that a document names may lie beside it."""
    folder = str(document.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)


# -- sources -------------------------------------------------------------------------------------


def _sources(spec: PipelineSpec, *, files: bool) -> Iterator[Problem]:
    names: dict[str, int] = {}
    for number, source in enumerate(spec.sources):
        if source.reference == "":
            continue
        path: Keys = ("sources", number)
        name = source.options.get("name")
        if isinstance(name, str) and names.setdefault(name, number) != number:
            says = f"{name!r} is already the name of sources.{names[name]}"
            yield Problem((*path, "name"), says)
        yield from _source(source, path)
        if files and (missing := _missing(source.reference)):
            yield Problem((*path, "reference"), missing)


def _source(source: SourceSpec, path: Keys) -> Iterator[Problem]:
    """Option by option, so that each is told at its place; then all together."""
    if (said := _plan(source.reference, {})) is not None:
        yield Problem((*path, "reference"), said)
        return
    options, found = source.options, []
    for option, value in options.items():
        if (said := _plan(source.reference, {option: value})) is not None:
            found.append(Problem((*path, option), said))
    yield from found
    if not found and (said := _plan(source.reference, options)) is not None:
        yield Problem(path, said)


def _plan(reference: Any, options: Mapping[str, Any]) -> str | None:
    try:
        made = plan(SourceReference(reference, options), None, StreamOptions())
        connection = connection_of(made.reference, **made.adapter)
        if connection is not None and connection.kind in _UNOPENED:
            open_source(made.reference, **made.adapter)
    except ConfigError as error:
        return str(error)
    return None


def _missing(reference: str | int) -> str | None:
    """A file or folder that is not there."""
    text = str(reference).removeprefix("replay:").removeprefix("file://")
    address = isinstance(reference, int) or "://" in text or text.isdecimal() or ":" in text
    if address or text.startswith(("${", "env:")) or kind_of(Path(text)):
        return None
    return f"no such file: {printable(text)}"


def _stream(spec: PipelineSpec) -> Iterator[Problem]:
    for option, value in spec.stream.items():
        try:
            StreamOptions().but({option: value})
        except ConfigError as error:
            yield Problem(("stream", option), str(error))


# -- models --------------------------------------------------------------------------------------


def _models(spec: PipelineSpec, *, files: bool) -> Iterator[Problem]:
    for path, model_id in _named_models(spec):
        says = _unknown_name(spec, model_id) or _no_model(id_of(spec, model_id), files=files)
        if says:
            yield Problem(path, says)


def _named_models(spec: PipelineSpec) -> Iterator[tuple[Keys, str]]:
    """Every id (or name) of a model that is written anywhere."""
    yield ("model", "id"), spec.model.id
    yield from ((("models", name, "id"), model.id) for name, model in spec.models.items())
    yield from ((("ladder", i), model_id) for i, model_id in enumerate(spec.ladder))
    for number, source in enumerate(spec.sources):
        if source.model is not None and source.model.id is not None:
            yield ("sources", number, "model", "id"), source.model.id
    for path, step in all_steps(spec, "stages"):
        try:
            parameters = plugins.parameters_of(plugins.load(STAGES, step.name))
        except ConfigError:
            continue
        for option in model_options(parameters):
            if isinstance(value := step.options.get(option), str):
                yield (*path, step.name, option), value


def _unknown_name(spec: PipelineSpec, name: str) -> str | None:
    """A slip of the pen in a name of the document's own."""
    if name in spec.models or name in ALIASES or "/" in name or not spec.models:
        return None
    meant = plugins.nearest(name, spec.models)
    known = ", ".join(sorted(spec.models))
    return f"unknown model {name!r}{meant}; models: {known}" if meant else None


def _no_model(model_id: str, *, files: bool) -> str | None:
    try:
        where = locate(model_id)
    except ModelNotFoundError as error:
        return str(error)
    except ConfigError as error:
        return str(error)
    if files and isinstance(where, Path) and kind_of(where) is None:
        return f"no such model: {where}"
    unknown = isinstance(where, ModelId) and where.version is None and model_id not in ALIASES
    meant = plugins.nearest(model_id, ALIASES) if unknown else ""
    return f"unknown model {model_id!r}{meant}; write dataset/version" if meant and files else None


# -- stages and sinks ----------------------------------------------------------------------------


def _steps(
    spec: PipelineSpec, what: str, table: Mapping[str, str], *, files: bool
) -> Iterator[Problem]:
    named = {str(name) for s in spec.sources if (name := s.options.get("name")) is not None}
    for path, step in all_steps(spec, what):
        yield from _step(spec, path, step, table, files=files)
        for name in step.for_ or ():
            if name not in named:
                known = ", ".join(sorted(named)) or "no source has a name"
                says = f"no source is called {name!r}{plugins.nearest(name, named)}; names: {known}"
                yield Problem((*path, "for"), says)


def _step(
    spec: PipelineSpec, path: Keys, step: StepSpec, table: Mapping[str, str], *, files: bool
) -> Iterator[Problem]:
    try:
        made_by = plugins.load(table, step.name)
    except ConfigError as error:
        yield Problem(path, str(error))
        return
    options = with_models(spec, step) if table is STAGES else step.options
    found = [*plugins.faults(made_by, step.name, options), *_inner(table, made_by, options)]
    for option, says in found:
        at = path if option is None else (*path, step.name, option)
        known = option in plugins.parameters_of(made_by)  # else it may be a misspelt password
        yield Problem(at, says, shown(at, step.options[str(option)], spec.places) if known else "")
    said = None if found else _tried(table, made_by, step.name, options, files=files)
    if said is not None:
        yield Problem(_about(path, step, said), said)


def _tried(
    table: Mapping[str, str],
    made_by: Callable[..., Any],
    name: str,
    options: Mapping[str, Any],
    *,
    files: bool,
) -> str | None:
    """What a stage complains of when it is made for a try; or, with ``files``, a sink that does no
    harm by it, in a folder that is gone afterwards."""
    stage = table is STAGES
    if not (name in STAGES if stage else files and getattr(made_by, "harmless", False)):
        return None  # a stranger's may do anything when it is made
    with TemporaryDirectory(prefix="streamkit-check-") as folder:
        for place in ("path", "folder"):
            if options.get(place):
                options = {**options, place: str(Path(folder, Path(options[place]).name))}
        if "outbox" in plugins.parameters_of(made_by):
            given = options.get("outbox")
            own = given if isinstance(given, Mapping) else {}
            options = {**options, "outbox": {**own, "path": str(Path(folder, "outbox.sqlite3"))}}
        return build(Maker(name, options, sink=not stage))


def _inner(
    table: Mapping[str, str], made_by: Callable[..., Any], options: Mapping[str, Any]
) -> list[tuple[str | None, str]]:
    """What is wrong with the options that a sink hands on to another one."""
    inner = inner_of(table, made_by, options)
    if inner is None:
        return []
    own = plugins.parameters_of(made_by)
    handed_on = {name: value for name, value in options.items() if name not in own}
    return plugins.faults(plugins.load(table, inner), inner, handed_on)


def _about(path: Keys, step: StepSpec, said: str) -> Keys:
    """The option a constructor complains of, if it names one first."""
    first = said.replace("=", " ").replace(":", " ").split(" ", 1)[0]
    return (*path, step.name, first) if first in step.options else path


# -- overload ------------------------------------------------------------------------------------


def _control(spec: PipelineSpec) -> Iterator[Problem]:
    ladder = [id_of(spec, name) for name in spec.ladder]
    tries: dict[str, tuple[Any, Any, Any]] = {
        "degrade": (spec.degrade, [], False),
        "ladder": (False, ladder, False),
        "admission": (False, [], spec.admission),
    }
    for key, (degrade, models, admission) in tries.items():
        try:
            control_of(degrade, models, admission)
        except ConfigError as error:
            yield Problem((key,), str(error))
    if model_of(spec).id in ladder:
        yield Problem(
            ("ladder",), f"{told_id(spec.model.id)!r} is the model itself: name smaller ones"
        )
