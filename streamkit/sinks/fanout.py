"""Several of the neighbour's sinks in one: each gets its turn, whatever the others do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

log = logging.getLogger(__name__)

SinkFunction: TypeAlias = Callable[[Any, Any], object]
"""``sink(predictions, video_frame)``."""


def multi_sink(predictions: Any, video_frame: Any, sinks: Sequence[SinkFunction]) -> None:
    """Call every sink with the same arguments, in order; use with ``functools.partial``.

    A sink that raises does not keep the next one from its turn. Their errors are raised together,
    as an ``ExceptionGroup``, once all have run: the pipeline tells and counts them like any other.
    """
    errors: list[Exception] = []
    for sink in sinks:
        try:
            sink(predictions, video_frame)
        except Exception as error:  # noqa: BLE001 - kept and raised below
            error.add_note(f"raised by the sink {_name(sink)}")
            errors.append(error)
    if errors:
        told = "; ".join(f"{error.__notes__[-1]}: {error!r}" for error in errors)
        raise ExceptionGroup(f"{len(errors)} of {len(sinks)} sinks failed ({told})", errors)


def _name(sink: SinkFunction) -> str:
    inner = getattr(sink, "func", sink)
    return str(getattr(inner, "__qualname__", repr(inner)))
