"""One request on its way through a shared model, beside the frames of streams."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from streamkit.errors import ClosedError, StreamkitError
from streamkit.events import DropCause
from streamkit.frame import Image, VideoFrame
from streamkit.models.base import InferenceOptions
from streamkit.models.shared import SharedModel
from streamkit.policy import LanePolicy, Overflow
from streamkit.predictions import Prediction


class Call:
    """Pictures of one request: a lane of their own, so that every client gets its turn."""

    def __init__(
        self, shared: SharedModel, pictures: Sequence[Image], options: InferenceOptions
    ) -> None:
        self._frames = [VideoFrame(p, i, datetime.now()) for i, p in enumerate(pictures, 1)]
        self._lane = shared.open(
            on_drop=self._lost,
            options=options,
            policy=LanePolicy(max(1, len(pictures)), Overflow.WAIT),
        )
        self._dropped = 0
        self.began = time.perf_counter()

    def _lost(self, _frame: VideoFrame, _cause: DropCause) -> None:
        self._dropped += 1

    def answer(self) -> list[Prediction]:
        """A prediction for each picture, in their order; waits for them.

        Raises what the model failed with, or what the call was given up with.
        """
        found: list[Prediction] = []
        try:
            for frame in self._frames:
                self._lane.put(frame)
            self._lane.close()
            for _frame, prediction in self._lane:
                found.append(prediction)
                self._lane.release()
        finally:
            self._lane.close(discard=True)
        if len(found) < len(self._frames):
            raise ClosedError("the model was let go before it had answered; try again")
        return found

    def give_up(self, error: StreamkitError) -> None:
        """Nobody waits for it any more: what has not begun never will. From any thread."""
        self._lane.close(error, discard=True)
