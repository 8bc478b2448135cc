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
    from streamkit.models.lease import Lease
    from streamkit.models.shared import SharedModel

log = logging.getLogger(__name__)

LeaseOf: TypeAlias = Callable[[str | Path], "Lease"]
"""Loads a model, or finds it loaded."""
Own: TypeAlias = tuple[str | Path, InferenceOptions]
"""The pipeline's model, and what it is asked for."""


class Ask:
    """Pictures that go through a shared model together, once, beside the frames of streams: a lane
    of their own, so that everybody gets his turn, and what is late is left behind with it."""

    def __init__(
        self,
        shared: SharedModel,
        pictures: Sequence[Image],
        options: InferenceOptions,
        priority: int = 0,
    ) -> None:
        self._pictures, self._model_id = pictures, shared.model.model_id
        self._given_up: BaseException | None = None
        count = max(1, len(pictures))
        self._lane = shared.open(
            on_drop=_forget,
            options=options,
            policy=LanePolicy(count, Overflow.WAIT),
            share=Share(priority),
            window=count,
            lenient=True,
        )

    def answers(self, until: float | None = None) -> list[Answer]:
        """One for each picture, in their order; at most until then (monotonic seconds). Raises what
        it was given up with."""
        answers: dict[int, Answer] = {}
        try:
            now = datetime.now(UTC)
            self._lane.put_all(VideoFrame(image, i, now) for i, image in enumerate(self._pictures))
            while len(answers) < len(self._pictures):
                left = None if until is None else until - time.monotonic()
                frame, answers[frame.frame_id] = self._lane.get(left)
                self._lane.release()
        except TimeoutError:
            pass
        except ClosedError as error:
            if self._given_up is not None:
                raise self._given_up from None
            raise ClosedError(f"{self._model_id} was let go of before it answered") from error
        finally:
            self._lane.close(discard=True)
        return [answers.get(i, Unanswered()) for i in range(len(self._pictures))]

    def predictions(self) -> list[Prediction]:
        """The same, of all of them. Raises what the model failed with."""
        return _certain(self.answers(), self._model_id)

    def give_up(self, error: BaseException) -> None:
        """Nobody waits for it any more: what has not begun never will. From any thread."""
        self._given_up = error
        self._lane.close(error, discard=True)


def _certain(answers: Sequence[Answer], model_id: str) -> list[Prediction]:
    found: list[Prediction] = []
    for answer in answers:
        if isinstance(answer, Unanswered):
            raise answer.error or InferenceError(f"{model_id} did not answer")
        found.append(answer)
    return found


class OpenedModel:
    """One stage's way to a model (``asking.OpenModel``). Whoever stops the stream gives up what it
    is asking."""

    def __init__(self, lease: Lease, options: InferenceOptions, most: int, priority: int) -> None:
        self._lease, self._shared = lease, lease.shared
        self._options, self._most, self._priority = options, most, priority
        self._lock = threading.Lock()
        self._asking: Ask | None = None
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
        return _certain(self.ask(pictures), self.model_id)

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
        with self._lock:
            if self._closed:
                raise ClosedError(f"{self.model_id}: the stream is being stopped")
            asking = Ask(self._shared, pictures, self._options, self._priority)
            self._asking = asking
        try:
            return asking.answers(until)
        finally:
            with self._lock:
                self._asking = None

    @property
    def closed(self) -> bool:
        """Nobody is answered any more."""
        return self._closed

    def interrupt(self) -> None:
        """Whoever waits for an answer meets ``ClosedError``, now and from now on."""
        with self._lock:
            self._closed, asking = True, self._asking
        if asking is not None:
            asking.give_up(ClosedError("the stream is being stopped"))

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
