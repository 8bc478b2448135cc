"""From a document to the arguments of a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamkit.documents.steps import common_stages, keys_of, sink_makers, stage_makers
from streamkit.options import SourceReference

if TYPE_CHECKING:
    from streamkit.spec import ModelSpec, PipelineSpec


def arguments_of(spec: PipelineSpec) -> dict[str, Any]:
    """The keywords of ``InferencePipeline.init`` for a document that is right."""
    model = model_of(spec)
    return {
        "video_reference": references(spec),
        "model_id": model.id,
        "max_fps": spec.max_fps,
        "max_staleness": spec.max_staleness,
        "stream": spec.stream,
        "degrade": spec.degrade,
        "ladder": [id_of(spec, name) for name in spec.ladder],
        "admission": spec.admission,
        "stages": common_stages(spec),
        "sinks": sink_makers(spec),
        "require_sources": spec.require_sources,
        "keep_alive": spec.keep_alive,
        **model.asked,
    }


def references(spec: PipelineSpec) -> list[SourceReference]:
    """Each source with its options, its stages, and what the document calls it."""
    return [
        SourceReference(
            source.reference,
            {**source.options, **_model_option(spec, number)},
            key=key,
            stages=stage_makers(spec, number),
        )
        for number, (key, source) in enumerate(zip(keys_of(spec), spec.sources, strict=True))
    ]


def model_of(spec: PipelineSpec) -> ModelSpec:
    """The document's model, by its id; what is said beside a name comes first."""
    named = spec.models.get(spec.model.id)
    if named is None:
        return spec.model
    return spec.model.model_copy(update={"id": named.id, **{**named.asked, **spec.model.asked}})


def id_of(spec: PipelineSpec, name: str) -> str:
    """The id behind a name of ``models``; an id stays as it is."""
    return spec.models[name].id if name in spec.models else name


def _model_option(spec: PipelineSpec, number: int) -> dict[str, Any]:
    """What a source wants of the model, as an option of its stream."""
    wanted = spec.sources[number].model
    if wanted is None:
        return {}
    if wanted.id is None:
        return {"model": wanted.asked}
    named = spec.models.get(wanted.id)
    before = {} if named is None else named.asked
    model_id = wanted.id if named is None else named.id
    own = {} if model_id == model_of(spec).id else {"id": model_id}
    return {"model": {**before, **wanted.asked, **own}}
