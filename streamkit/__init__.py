"""Point it at cameras and a model; get events.

>>> from streamkit import InferencePipeline
>>> from streamkit.sinks import VideoFileSink
>>> def on_prediction(predictions, frame): ...
>>> pipeline = InferencePipeline.init("rtsp://camera/stream", "my-project/3", on_prediction)
>>> pipeline.start()
>>> pipeline.join()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamkit.buffering import (
        BufferConsumptionStrategy,
        BufferFillingStrategy,
        VideoProcessingMode,
    )
    from streamkit.errors import (
        AdmissionRefusedError,
        ConfigError,
        InferenceError,
        ModelArtefactError,
        ModelError,
        ModelNotFoundError,
        SinkError,
        SourceConnectionError,
        SourceError,
        StreamErrorCode,
        StreamkitError,
        StreamOperationNotAllowedError,
    )
    from streamkit.events import Event, Evidence, StatusUpdate, UpdateSeverity
    from streamkit.frame import VideoFrame
    from streamkit.models import get_model
    from streamkit.options import SinkMode, SourceReference
    from streamkit.pipeline import InferencePipeline
    from streamkit.predictions import Detections, Result
    from streamkit.sinks import (
        InMemoryBufferSink,
        JsonLinesSink,
        UDPSink,
        VideoFileSink,
        display_image,
        multi_sink,
        render_boxes,
    )
    from streamkit.watchdog import (
        BasePipelineWatchDog,
        NullPipelineWatchdog,
        PipelineStateReport,
        PipelineWatchDog,
    )

_HOMES = {
    "buffering": ("BufferConsumptionStrategy", "BufferFillingStrategy", "VideoProcessingMode"),
    "errors": (
        "AdmissionRefusedError",
        "ConfigError",
        "InferenceError",
        "ModelArtefactError",
        "ModelError",
        "ModelNotFoundError",
        "SinkError",
        "SourceConnectionError",
        "SourceError",
        "StreamErrorCode",
        "StreamOperationNotAllowedError",
        "StreamkitError",
    ),
    "events": ("Event", "Evidence", "StatusUpdate", "UpdateSeverity"),
    "frame": ("VideoFrame",),
    "models": ("get_model",),
    "options": ("SinkMode", "SourceReference"),
    "pipeline": ("InferencePipeline",),
    "predictions": ("Detections", "Result"),
    "sinks": (
        "InMemoryBufferSink",
        "JsonLinesSink",
        "UDPSink",
        "VideoFileSink",
        "display_image",
        "multi_sink",
        "render_boxes",
    ),
    "watchdog": (
        "BasePipelineWatchDog",
        "NullPipelineWatchdog",
        "PipelineStateReport",
        "PipelineWatchDog",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AdmissionRefusedError",
    "BasePipelineWatchDog",
    "BufferConsumptionStrategy",
    "BufferFillingStrategy",
    "ConfigError",
    "Detections",
    "Event",
    "Evidence",
    "InMemoryBufferSink",
    "InferenceError",
    "InferencePipeline",
    "JsonLinesSink",
    "ModelArtefactError",
    "ModelError",
    "ModelNotFoundError",
    "NullPipelineWatchdog",
    "PipelineStateReport",
    "PipelineWatchDog",
    "Result",
    "SinkError",
    "SinkMode",
    "SourceConnectionError",
    "SourceError",
    "SourceReference",
    "StatusUpdate",
    "StreamErrorCode",
    "StreamOperationNotAllowedError",
    "StreamkitError",
    "UDPSink",
    "UpdateSeverity",
    "VideoFileSink",
    "VideoFrame",
    "VideoProcessingMode",
    "display_image",
    "get_model",
    "multi_sink",
    "render_boxes",
]


def __getattr__(name: str) -> Any:
    """Each public name is imported when it is first asked for."""
    if name == "__version__":
        from importlib.metadata import version

        return version("streamkit")
    if name not in _HOME:
        raise AttributeError(f"module 'streamkit' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"streamkit.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """All of them, for completion in a shell, also those not asked for yet."""
    return sorted({*globals(), *__all__, "__version__"})
