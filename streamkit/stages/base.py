"""What a stage is: it takes a result of one stream and hands a result on."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from streamkit.predictions import Result


@runtime_checkable
class Stage(Protocol):
    """One step between model and sinks: track, count, select, draw.

    The pipeline makes one instance per stream and calls it from one thread, in frame order; what
    it remembers belongs to that stream. What it cannot handle (another kind of prediction)
    passes through.
    """

    def __call__(self, result: Result) -> Result:
        """The same result, changed, or a new one. May raise: that frame is counted as failed."""
        ...
