"""What is right by itself in a document and does not fit together."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamkit import plugins
from streamkit.documents.paths import inner_of, kind_of, model_options, path_options
from streamkit.documents.places import Path as Keys
from streamkit.documents.places import Problem
from streamkit.documents.steps import all_steps, keys_of, sinks_of, stages_of
from streamkit.errors import ConfigError
from streamkit.sinks import SINKS
from streamkit.stages import STAGES
from streamkit.stages.blocks import refusals

if TYPE_CHECKING:
    from streamkit.spec import PipelineSpec, StepSpec

_WRITTEN = ("path", "folder")
"""Options of sinks that say where they write; others share their files, or only read them."""


def problems_of(
    spec: PipelineSpec, wrong: Collection[Keys], *, request: bool = False
) -> list[Problem]:
    """What does not fit, leaving out what is ``wrong`` already."""
    found = [*_stages(spec, request=request), *_encoded(spec), *_outputs(spec)]
    once = {problem.path: problem for problem in reversed(found)}
    return [problem for path, problem in once.items() if not _within(path, wrong)]


def _within(path: Keys, wrong: Collection[Keys]) -> bool:
    return any(path[: len(each)] == each or each[: len(path)] == path for each in wrong)


def _stages(spec: PipelineSpec, *, request: bool) -> Iterator[Problem]:
    """Stages of one source among themselves: who follows objects before anybody tracks them, and
    for a single picture who remembers what was before."""
    for number in range(len(spec.sources)):
        steps = [each for each in stages_of(spec, number) if _loadable(each[1])]
        told = [(step.name, step.options) for _, step in steps]
        for refusal in refusals(told, streams=not request):
            yield Problem(steps[refusal.place][0], str(refusal))


def _loadable(step: StepSpec) -> bool:
    try:
        plugins.load(STAGES, step.name)
    except ConfigError:
        return False
    return True


def unknown_classes(spec: PipelineSpec, names: Collection[str]) -> list[Problem]:
    """Stages that are about classes which the document's model, that has these ``names``, does not
    know. Behind a stage with a model of its own nobody can tell."""
    found = []
    for number, source in enumerate(spec.sources):
        other = source.model is not None and source.model.id is not None
        steps = () if other or not names else stages_of(spec, number)
        for path, step in steps:
            wanted = step.options.get("classes")
            for name in wanted if isinstance(wanted, list) else ():
                if name not in names:
                    meant, known = plugins.nearest(str(name), names), ", ".join(names)
                    says = f"the model knows no class {name!r}{meant}; it knows {known}"
                    found.append(Problem((*path, step.name, "classes"), says))
            if step.name not in STAGES or _has_model(step):
                break
    return found


def _has_model(step: StepSpec) -> bool:
    parameters = plugins.parameters_of(plugins.load(STAGES, step.name))
    return any(step.options.get(name) for name in model_options(parameters))


# -- encoded recordings --------------------------------------------------------------------------


def _encoded(spec: PipelineSpec) -> Iterator[Problem]:
    """Sinks that take the camera's own packets, where there are none, or none may leave."""
    for number, key in enumerate(keys_of(spec)):
        kept = {**spec.stream, **spec.sources[number].options}.get("keep_packets", False)
        private = any(step.name == "privacy" for _, step in stages_of(spec, number))
        for path, step in sinks_of(spec, number):
            if not _takes_packets(step):
                continue
            if private:
                says = "records what the camera sent, where 'privacy' covers nothing"
                yield Problem(path, f"{step.name!r} {says} (source {key}): record with 'video'")
            elif not kept:
                says = f"needs the packets of {key}: give that source keep_packets: true"
                yield Problem(path, f"{step.name!r} {says}")


def _takes_packets(step: StepSpec) -> bool:
    try:
        return bool(getattr(plugins.load(SINKS, step.name), "takes_packets", False))
    except ConfigError:
        return False


# -- files ---------------------------------------------------------------------------------------


def _outputs(spec: PipelineSpec) -> Iterator[Problem]:
    """Two sinks on one file, and a sink on the file of a source."""
    first: dict[Any, Keys] = {}
    read = [_file_of(source.reference) for source in spec.sources]
    for path, step in all_steps(spec, "sinks"):
        for option, output in _written_by(step):
            at = (*path, step.name, option)
            if (before := first.setdefault(output, at)) is not at:
                place = spec.places.find(before)
                line = f" (line {place.line})" if place else ""
                yield Problem(at, f"{output} is written by {before[0]}.{before[1]}{line} already")
            if any(_same_file(output, each) for each in read):
                yield Problem(at, f"{output} is read by a source, no sink can write it")


def _written_by(step: StepSpec) -> Iterator[tuple[str, Path]]:
    try:
        made_by = plugins.load(SINKS, step.name)
    except ConfigError:
        return
    inner = inner_of(SINKS, made_by, step.options)
    paths = path_options(made_by) | (path_options(plugins.load(SINKS, inner)) if inner else set())
    for option in chain(paths):
        if option in _WRITTEN and isinstance(value := step.options.get(option), str) and value:
            yield option, Path(value)


def _file_of(reference: str | int) -> Path:
    return Path(str(reference).removeprefix("file://").removeprefix("replay:"))


def _same_file(output: Path, read: Path) -> bool:
    return kind_of(output) == kind_of(read) == "file" and output.samefile(read)
