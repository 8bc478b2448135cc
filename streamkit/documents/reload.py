"""A running pipeline goes over to a changed document: only what changed, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streamkit.delivery import Delivery
from streamkit.documents.build import id_of, model_of, references
from streamkit.documents.check import problems_of
from streamkit.documents.fit import unknown_classes
from streamkit.documents.places import refuse, told_id
from streamkit.documents.steps import Maker, sink_makers
from streamkit.engine import Accept
from streamkit.errors import ConfigError
from streamkit.options import SourceReference, StreamPlan, plan, usual_options
from streamkit.streams.options import STREAM_OPTIONS, StreamOptions
from streamkit.streams.steps import Stage
from streamkit.way import Restaging

if TYPE_CHECKING:
    from streamkit.pipeline import InferencePipeline
    from streamkit.spec import PipelineSpec

_AT_START = (
    "max_fps", "max_staleness", "stream", "degrade", "ladder", "admission", "require_sources",
    "exact", "profile", "keep_alive",
)  # fmt: skip
"""Keys that a pipeline reads when it is made; those of them that streams know are read anew."""
_OF_STREAMS = ("max_fps", "max_staleness", "stream")


@dataclass
class _Changes:
    """What is to be done, found without doing anything."""

    added: list[SourceReference] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    reconfigured: dict[int, dict[str, Any]] = field(default_factory=dict)
    restaged: dict[int, Sequence[Callable[[], Stage]]] = field(default_factory=dict)
    sinks_added: list[Maker] = field(default_factory=list)
    sinks_removed: list[Maker] = field(default_factory=list)
    rewired: list[tuple[Maker, Maker]] = field(default_factory=list)
    usual: StreamOptions = field(default_factory=StreamOptions)
    model: tuple[str, Mapping[str, Any]] | None = None
    told: list[str] = field(default_factory=list)


def reload(
    pipeline: InferencePipeline, before: PipelineSpec, after: PipelineSpec
) -> tuple[str, ...]:
    """Let ``pipeline``, made from ``before``, go over to ``after``; what was done, a line for each.

    Sources are known by their names (or addresses): those that are in both go on without a gap,
    and so do the stages and sinks that are. To be called by one thread at a time. Raises
    ``DocumentError`` where ``after`` is wrong, ``ConfigError`` for a change that takes a restart,
    and what making a new stage, sink or model raises; the pipeline then goes on with ``before``.
    """
    refuse(problems_of(after, files=True), after.places)
    _refuse_what_takes_a_restart(before, after)
    changes = _found(pipeline, before, after)
    _apply(pipeline, changes, lambda names: refuse(unknown_classes(after, names), after.places))
    return tuple(changes.told)


def _refuse_what_takes_a_restart(before: PipelineSpec, after: PipelineSpec) -> None:
    changed = [
        key
        for key in _AT_START
        if key not in _OF_STREAMS and getattr(before, key) != getattr(after, key)
    ]
    if "ladder" not in changed and _ladder(before) != _ladder(after):
        changed.append("ladder")
    if changed:
        raise ConfigError(
            f"{after.places.name}: {', '.join(changed)}: a change of this takes a restart; nothing "
            "was changed"
        )


def _ladder(spec: PipelineSpec) -> list[str]:
    return [id_of(spec, name) for name in spec.ladder]


# -- what has changed ----------------------------------------------------------------------------


def _found(pipeline: InferencePipeline, before: PipelineSpec, after: PipelineSpec) -> _Changes:
    changes = _Changes()
    _model(before, after, changes)
    _sources(pipeline, after, changes)
    _sinks(pipeline, after, changes)
    return changes


def _model(before: PipelineSpec, after: PipelineSpec, changes: _Changes) -> None:
    old, new = model_of(before), model_of(after)
    if old != new:
        changes.model = new.id, new.asked
        same = old.id == new.id
        changes.told.append(
            f"model: {_options(old.asked, new.asked)}" if same else f"model: {told_id(new.id)}"
        )


def _sources(pipeline: InferencePipeline, after: PipelineSpec, changes: _Changes) -> None:
    changes.usual = usual_options(
        max_fps=after.max_fps,
        max_staleness=after.max_staleness,
        stream=after.stream,
        require_sources=after.require_sources,
    )
    present = {
        before.key: (source_id, before)
        for source_id, before in pipeline.plans().items()
        if before.key is not None
    }
    for reference in references(after):
        if (there := present.pop(str(reference.key), None)) is None:
            changes.added.append(reference)
            changes.told.append(f"source {reference.key}: added")
        else:
            _source(*there, reference, changes)
    for key, (source_id, _) in present.items():
        changes.removed.append(source_id)
        changes.told.append(f"source {key}: removed")


def _source(source_id: int, before: StreamPlan, wanted: SourceReference, changes: _Changes) -> None:
    after = plan(wanted, None, changes.usual)
    if after.options.model_id != before.options.model_id:
        changes.removed.append(source_id)
        changes.added.append(wanted)
        changes.told.append(f"source {wanted.key}: another model, so it is opened anew")
        return
    if different := _differences(before, after):
        changes.reconfigured[source_id] = different
        changes.told.append(f"source {wanted.key}: {', '.join(sorted(different))} changed")
    old, new = tuple(before.stages or ()), tuple(after.stages or ())
    if old != new:
        changes.restaged[source_id] = new
        names = ", ".join(f"{m.name} (goes on)" if m in old else m.name for m in _named(new))
        changes.told.append(f"source {wanted.key}: stages {names or 'none'}")


def _named(makers: Sequence[Callable[[], Stage]]) -> list[Maker]:
    return [maker for maker in makers if isinstance(maker, Maker)]


def _differences(before: StreamPlan, after: StreamPlan) -> dict[str, Any]:
    """What to tell ``reconfigure_source``."""
    found = {
        name: getattr(after.options, name)
        for name in STREAM_OPTIONS
        if getattr(after.options, name) != getattr(before.options, name)
    }
    if before.same_source(after):
        return found
    gone = {name: None for name in before.adapter if name not in after.adapter}
    other = before.reference != after.reference
    found |= dict(after.adapter) if other else {**gone, **_changed(before.adapter, after.adapter)}
    return {**found, **({"reference": after.reference} if other else {})}


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in after.items() if k not in before or before[k] != v}


def _sinks(pipeline: InferencePipeline, after: PipelineSpec, changes: _Changes) -> None:
    present = [each for each in pipeline.sinks() if isinstance(each, Maker)]
    for maker in sink_makers(after):
        if maker not in present:
            changes.sinks_added.append(maker)
            changes.told.append(f"sink {maker.name}: added")
            continue
        before = present.pop(present.index(maker))
        if before.keys != maker.keys:
            changes.rewired.append((before, maker))
            fed = "all" if maker.keys is None else ", ".join(sorted(maker.keys)) or "none"
            changes.told.append(f"sink {maker.name}: fed by {fed}")
    for maker in present:
        changes.sinks_removed.append(maker)
        changes.told.append(f"sink {maker.name}: removed")


def _options(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(f"{name} {after.get(name, 'as by default')}" for name in sorted(names))


# -- doing it ------------------------------------------------------------------------------------


def _apply(pipeline: InferencePipeline, changes: _Changes, accept: Accept) -> None:
    """First all that can fail, then what cannot. ``accept`` refuses class names."""
    made: list[tuple[Maker, Delivery | None]] = []
    staged: list[Restaging] = []
    try:
        _prepare(pipeline, changes, made, staged, accept)
    except BaseException:
        for unused in [delivery for _, delivery in made if delivery is not None]:
            unused.abandon()
        for stages in staged:
            stages.give_up()
        raise
    _commit(pipeline, changes, made, staged)


def _commit(
    pipeline: InferencePipeline,
    changes: _Changes,
    made: list[tuple[Maker, Delivery | None]],
    staged: list[Restaging],
) -> None:
    """Sinks that record packets come when their sources keep them and hide nothing, and before new
    sources, of which they are to have everything."""
    pipeline.set_usual(changes.usual)
    for stages in staged:
        stages.go_over()
    for source_id, options in changes.reconfigured.items():
        pipeline.reconfigure_source(source_id, **options)
    for maker, delivery in made:
        pipeline.add_sink(maker, delivery)
    _exchange_sources(pipeline, changes)
    for before, after in changes.rewired:
        pipeline.rewire_sink(before, after)
    for maker in changes.sinks_removed:
        pipeline.remove_sink(maker)


def _prepare(
    pipeline: InferencePipeline,
    changes: _Changes,
    made: list[tuple[Maker, Delivery | None]],
    staged: list[Restaging],
    accept: Accept,
) -> None:
    """Make the new sinks and stages, and change the model."""
    for maker in changes.sinks_added:
        made.append((maker, pipeline.made_sink(maker)))
    for source_id, makers in changes.restaged.items():
        staged.append(pipeline.restaged(source_id, makers))
    if changes.model is None:
        accept(pipeline.class_names)
    else:
        model_id, asked = changes.model
        pipeline.change_model(model_id, accept, **asked)


def _exchange_sources(pipeline: InferencePipeline, changes: _Changes) -> None:
    for reference in changes.added:
        pipeline.add_source(reference)
    for source_id in changes.removed:
        pipeline.remove_source(source_id)
