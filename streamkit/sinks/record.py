"""A result as one JSON record, safe for NumPy: what the sinks that write or send text share."""

from __future__ import annotations

import dataclasses
from collections.abc import Set
from pathlib import PurePath
from typing import Any

import numpy as np
import orjson

from streamkit.errors import SinkError
from streamkit.predictions import Prediction, Result, Wire

_OPTIONS = (
    orjson.OPT_SERIALIZE_NUMPY
    | orjson.OPT_NON_STR_KEYS
    | orjson.OPT_UTC_Z
    | orjson.OPT_PASSTHROUGH_DATACLASS
)


def record(result: Result) -> Wire:
    """Which frame it was, when, how large, its prediction in the wire form; ``events`` and
    ``measures`` where a stage made some."""
    frame = result.frame
    width, height = frame.size
    more: Wire = {"events": [event.dict() for event in result.events]} if result.events else {}
    if result.measures:
        more["measures"] = result.measures
    return {
        "source_id": frame.source_id,
        "frame_id": frame.frame_id,
        "timestamp": frame.timestamp.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "clock": frame.clock.value,
        "image": {"width": width, "height": height},
        "prediction": result.wire,
        **more,
    }


def encode(value: object) -> bytes:
    """UTF-8 JSON on one line, NaN as ``null``. Raises ``SinkError`` for what JSON cannot say."""
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS)
    except TypeError as error:  # orjson's own error is one
        raise SinkError(
            f"the prediction cannot be written as JSON: {error.__cause__ or error}"
        ) from error


def _plain(value: object) -> Any:
    """What orjson does not know, in terms of what it knows."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Prediction):
        return value.dict()
    if dataclasses.is_dataclass(value):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Set):
        return list(value)
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
