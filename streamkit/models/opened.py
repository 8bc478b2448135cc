"""Models that the stages of one stream opened: asked from its thread, on everybody's instances."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from streamkit.asking import Answer, Unanswered
from streamkit.errors import ClosedError, ConfigError, InferenceError
from streamkit.events import DropCause, Throttle
from streamkit.frame import Image, VideoFrame
from streamkit.models.base import InferenceOptions
from streamkit.policy import LanePolicy, Overflow, Share
from streamkit.predictions import Prediction

if TYPE_CHECKING:
    from streamkit.lane import Lane
    from streamkit.models.lease import Lease

log = logging.getLogger(__name__)

LeaseOf: TypeAlias = Callable[[str | Path], "Lease"]
"""Loads a model, or finds it loaded."""
Own: TypeAlias = tuple[str | Path, InferenceOptions]
"""The pipeline's model, and what it is asked for."""


class OpenedModel:
    """One stage's way to a model (``asking.OpenModel``).

    Each ``ask`` is a lane of its own: what is late is left behind with it, and whoever stops the
    stream closes it.
    """

    def __init__(self, lease: Lease, options: InferenceOptions, most: int, priority: int) -> None:
        self._lease, self._shared = lease, lease.shared
        self._options, self._most, self._priority = options, most, priority
        self._lock = threading.Lock()
        self._lane: Lane[VideoFrame] | None = None
        self._closed = False
        self._failures = Throttle()

    @property
    def model_id(self) -> str:
        """See ``OpenModel``."""
        return self._shared.model.model_id

    @property
    def names(self) -> tuple[str, ...]:
        """See ``OpenModel``."""
        return self._shared.model.names

    @property
    def sample(self) -> Prediction:
        """See ``OpenModel``."""
        return self._shared.sample()

    def __call__(self, pictures: Sequence[Image]) -> list[Prediction]:
        """See ``OpenModel``."""
        predictions: list[Prediction] = []
        for answer in self.ask(pictures):
            if isinstance(answer, Unanswered):
                raise answer.error or InferenceError(f"{self.model_id} did not answer")
            predictions.append(answer)
        return predictions

    def ask(self, pictures: Sequence[Image], within: float | None = None) -> list[Answer]:
        """See ``OpenModel``."""
        until = None if within is None else time.monotonic() + within
        answers: list[Answer] = []
        for start in range(0, len(pictures), self._most):
            answers += self._round(pictures[start : start + self._most], until)
        failed = [a.error for a in answers if isinstance(a, Unanswered) and a.error is not None]
        if failed and (count := self._failures.tick()):
            log.warning("%d asks with failures, last: %s", count, failed[-1])
        return answers

    def _round(self, pictures: Sequence[Image], until: float | None) -> list[Answer]:
        answers: dict[int, Answer] = {}
        lane = self._opened(len(pictures))
        try:
            now = datetime.now(UTC)
            lane.put_all(VideoFrame(image, i, now) for i, image in enumerate(pictures))
            while len(answers) < len(pictures):
                left = None if until is None else until - time.monotonic()
                frame, answers[frame.frame_id] = lane.get(left)
                lane.release()
        except TimeoutError:
            pass
        finally:
            self._left(lane)
        return [answers.get(i, Unanswered()) for i in range(len(pictures))]

    def _opened(self, count: int) -> Lane[VideoFrame]:
        """A way for so many pictures at once. Raises ``ClosedError``."""
        with self._lock:
            if self._closed:
                raise ClosedError(f"{self.model_id}: the stream is being stopped")
            self._lane = self._shared.open(
                on_drop=_forget,
                options=self._options,
                policy=LanePolicy(count, Overflow.WAIT),
                share=Share(self._priority),
                window=count,
                lenient=True,
            )
            return self._lane

    def _left(self, lane: Lane[VideoFrame]) -> None:
        """What still waits is not looked at any more."""
        with self._lock:
            self._lane = None
        lane.close(discard=True)

    @property
    def closed(self) -> bool:
        """Nobody is answered any more."""
        return self._closed

    def interrupt(self) -> None:
        """Whoever waits for an answer meets ``ClosedError``, now and from now on."""
        with self._lock:
            self._closed, lane = True, self._lane
        if lane is not None:
            lane.close(ClosedError("the stream is being stopped"), discard=True)

    def close(self, until: float | None = None) -> None:
        """Let the model go."""
        self.interrupt()
        self._lease.release(until)


class StreamModels:
    """What the stages of one stream may open (``asking.ModelAccess``), and what they opened."""

    def __init__(self, lease: LeaseOf, own: Own | None) -> None:
        """``own``: the pipeline's model, if it is one."""
        self._lease, self._own = lease, own
        self._lock = threading.Lock()
        self._opened: list[OpenedModel | StreamModels] = []
        self._closed = False

    def branch(self) -> StreamModels:
        """The same for one stage, which may leave before the others do."""
        made = StreamModels(self._lease, self._own)
        self._keep(made)
        return made

    def _keep(self, opened: OpenedModel | StreamModels) -> None:
        """To be closed with the others. Raises ``ClosedError`` where these are."""
        with self._lock:
            closed = self._closed
            if not closed:
                self._opened = [*(each for each in self._opened if not each.closed), opened]
        if closed:
            opened.close()
            raise ClosedError("the stream is being stopped")

    def open(
        self, model: str | Path | None = None, *, most: int = 16, priority: int = -1, **options: Any
    ) -> OpenedModel:
        """See ``ModelAccess``."""
        if most < 1:
            raise ConfigError(f"most={most}: give at least 1")
        where, wanted = self._meant(model, options)
        opened = OpenedModel(self._lease(where), wanted, most, priority)
        self._keep(opened)
        return opened

    def _meant(
        self, model: str | Path | None, options: dict[str, Any]
    ) -> tuple[str | Path, InferenceOptions]:
        if model is not None:
            return model, InferenceOptions.of(**options)
        if self._own is None:
            raise ConfigError("this pipeline runs a function: name the model that is to be asked")
        where, asked = self._own
        return where, asked.but(**options)

    @property
    def closed(self) -> bool:
        """Nobody waits for a model any more."""
        return self._closed

    def interrupt(self) -> None:
        """Nobody waits for a model any more; from any thread, returns at once."""
        with self._lock:
            self._closed, opened = True, list(self._opened)
        for model in opened:
            model.interrupt()

    def close(self, until: float | None = None) -> None:
        """Let all of them go, waiting for threads at most ``until``; more often does no harm."""
        self.interrupt()
        for model in self._opened:
            model.close(until)


def _forget(_picture: VideoFrame, _cause: DropCause) -> None:
    """Who asked notices by itself."""
