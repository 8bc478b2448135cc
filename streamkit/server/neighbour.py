"""The neighbour's way to describe a pipeline, as a document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamkit.errors import ConfigError
from streamkit.server.failures import HttpError

_WANTED = ("confidence", "iou_threshold", "class_agnostic_nms", "max_candidates", "max_detections")
_KEPT = ("results_buffer_size",)


def document_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """A document as it is, or what ``video_configuration`` and its siblings say.

    Raises ``ConfigError``; 501 for workflows, which need a model named instead.
    """
    if "video_configuration" not in body:
        return {k: v for k, v in body.items() if k != "api_key"}
    video, processing = body["video_configuration"], body.get("processing_configuration")
    if not isinstance(video, Mapping) or not isinstance(processing, Mapping):
        raise ConfigError("video_configuration and processing_configuration must be objects")
    sink = body.get("sink_configuration")
    document = {"sources": _sources(video), "model": _model(processing)}
    for given, names in ((video, ("max_fps",)), (sink, _KEPT), (body, ("consumption_timeout",))):
        if isinstance(given, Mapping):
            document |= {n: given[n] for n in names if given.get(n) is not None}
    return document


def _sources(video: Mapping[str, Any]) -> list[Any]:
    found = video.get("video_reference")
    if found is None:
        raise ConfigError("video_configuration: video_reference is missing")
    return list(found) if isinstance(found, list) else [found]


def _model(processing: Mapping[str, Any]) -> dict[str, Any]:
    model = processing.get("model_id")
    if isinstance(model, str):
        asked = {n: processing[n] for n in _WANTED if processing.get(n) is not None}
        return {"id": model, **asked}
    if str(processing.get("type")) == "WorkflowConfiguration":
        raise HttpError(
            501,
            "workflows are not offered: send processing_configuration with a model_id, or a "
            "pipeline document (sources, model, stages, sinks)",
            "WORKFLOWS_NOT_OFFERED",
        )
    raise ConfigError("processing_configuration: model_id is missing")
