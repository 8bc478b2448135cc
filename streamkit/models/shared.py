"""One loaded model in use by many: a scheduler where frames meet, and the threads that serve it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from streamkit.asking import Unanswered
from streamkit.errors import InferenceError, StreamkitError
from streamkit.frame import Image, VideoFrame
from streamkit.freshness.admission import Ledger
from streamkit.meters import Histogram
from streamkit.models.base import InferenceOptions, Model, Scalable
from streamkit.models.preprocess import Plain
from streamkit.models.regions import placed, seen
from streamkit.predictions import Prediction, said_by
from streamkit.scheduler import FINITE, Lane, LanePolicy, OnDrop, Scheduler, Share, Ticket

log = logging.getLogger(__name__)

_SCALES: Final = 32
"""Sizes of input that are remembered; a caller may ask for any number of them."""

Tickets = Sequence[Ticket[VideoFrame]]


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds per frame in each step; ``run`` of a batch is shared evenly by its frames."""

    prepare: Histogram = field(default_factory=Histogram)
    run: Histogram = field(default_factory=Histogram)
    finish: Histogram = field(default_factory=Histogram)
    from_planes: Histogram = field(default_factory=Histogram)
    """``prepare`` of those frames that were scaled before their colours were converted."""
    batch: Histogram = field(default_factory=Histogram)
    """Frames of each run."""


@dataclass(slots=True, eq=False)
class _Turn:
    """A model while it is the one to use, and until the last run with it is done."""

    model: Model
    runs: int = 0
    over: bool = False
    scaled: dict[float, Model | None] = field(default_factory=dict)
    """The same with smaller inputs, where that can be."""
    sample: Prediction | None = None
    """What it says about a grey picture, once somebody has asked."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a lane wants of a shared model."""

    options: InferenceOptions = field(default_factory=InferenceOptions)
    instead: SharedModel | None = None
    """Another model, which answers in its place, on its threads; who sets it holds it loaded."""
    lenient: bool = False
    """A picture it fails on is answered ``Unanswered``, and the lane goes on."""


class SharedModel:
    """A model, and while somebody uses it, its scheduler and worker threads.

    A ``Lease`` calls ``start`` and ``stop``; lanes may be opened in between.
    """

    def __init__(self, model: Model, workers: int = 2, way: str = "exact") -> None:
        self._turn = _Turn(model)
        self.way = way
        """What to call how it runs: ``exact``, or what ``streamkit tune`` chose."""
        self._turns = threading.Lock()
        self.timings = Timings()
        self.ledger = Ledger()
        """Which streams want how much of it."""
        self._workers = workers
        self._users = 0
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._scheduler: Scheduler[VideoFrame] = Scheduler(model.max_batch)

    @property
    def model(self) -> Model:
        """The one that serves now."""
        return self._turn.model

    def swap(self, model: Model, way: str = "exact") -> None:
        """Serve with ``model`` from the next batch on; batches under way finish with the old one,
        which is closed when the last of them is done."""
        with self._turns:
            before, self._turn = self._turn, _Turn(model)
            self.way = way
            before.over = True
            unused = not before.runs
        with self._lock, self._scheduler.lock:
            self._scheduler.max_batch = self.model.max_batch
        if unused:
            before.model.close()

    @contextmanager
    def _using(self) -> Iterator[Model]:
        with self._turns:
            turn = self._turn
            turn.runs += 1
        try:
            yield turn.model
        finally:
            with self._turns:
                turn.runs -= 1
                unused = turn.over and not turn.runs
            if unused:
                turn.model.close()

    @property
    def waiting(self) -> int:
        """How many pictures wait for it."""
        return self._scheduler.waiting

    @property
    def task(self) -> str:
        """``object-detection`` and so on; empty where nobody knows."""
        return str(getattr(self.model, "task", ""))

    @property
    def workers(self) -> int:
        """How many frames (or batches) are worked on at the same time."""
        return self._workers

    @property
    def busy(self) -> float:
        """Seconds of work in all, of every thread that ran it."""
        times = self.timings
        return times.prepare.total + times.run.total + times.finish.total

    def trial(self, pictures: Sequence[Image]) -> list[Prediction]:
        """One run on at most a batch of pictures, of which nothing is kept or measured."""
        with self._using() as model:
            tensor, geometries = model.prepare(pictures)
            outputs = model.run(tensor)
            return [
                model.finish(outputs, index, geometry, InferenceOptions())
                for index, geometry in enumerate(geometries)
            ]

    def sample(self) -> Prediction:
        """What the model that serves now says about a grey picture; asked once."""
        turn = self._turn
        if turn.sample is None:
            [turn.sample] = self.trial([np.full((240, 320, 3), 114, np.uint8)])
        return turn.sample

    def scalable(self, scale: float) -> bool:
        """Whether it can take an input of that part of its usual size."""
        with self._using() as model:
            return self._scaled(model, scale) is not None

    @property
    def users(self) -> int:
        """How many hold it."""
        return self._users

    def start(self) -> None:
        """One more user; the first makes the threads start."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._scheduler = Scheduler(self.model.max_batch)
                self._threads = [self._thread(number) for number in range(self._workers)]
                for thread in self._threads:
                    thread.start()

    def stop(self, until: float | None = None) -> None:
        """One user less; the last one waits for the runs under way, and all threads end.

        A run that lasts longer than ``until`` (``time.monotonic()``) is left behind, and told of.
        """
        with self._lock:
            self._users -= 1
            if self._users:
                return
            scheduler, threads = self._scheduler, self._threads
        # Without the lock: a thread that is to end may be in somebody's callback, which may start
        # another user.
        scheduler.close(discard=True)
        self._join(threads, until)

    def inside(self) -> bool:
        """Whether the calling thread is one of the model's own."""
        return threading.current_thread() in self._threads

    def _join(self, threads: Sequence[threading.Thread], until: float | None) -> None:
        others = [thread for thread in threads if thread is not threading.current_thread()]
        for thread in others:
            thread.join(None if until is None else max(0.0, until - time.monotonic()))
        left = sum(thread.is_alive() for thread in others)
        if left:
            log.warning("%s: %d runs left behind", self.model.model_id, left)

    def open(
        self,
        *,
        on_drop: OnDrop[VideoFrame],
        on_take: Callable[[VideoFrame], None] | None = None,
        options: InferenceOptions | None = None,
        policy: LanePolicy = FINITE,
        share: Share[VideoFrame] | None = None,
        window: int | None = None,
        lenient: bool = False,
    ) -> Lane[VideoFrame]:
        """A stream's way through the model, between ``start`` and ``stop``.

        Its window lets one stream alone keep every worker busy while it uses one result and the
        next one waits. ``lenient``: what the model fails on is answered ``Unanswered``.
        """
        return self._scheduler.open(
            policy,
            on_drop=on_drop,
            on_take=on_take,
            window=window or self._workers + 2,
            options=Wish(options or InferenceOptions(), lenient=lenient),
            share=share,
        )

    def infer(
        self, pictures: Sequence[VideoFrame | Image], options: Sequence[InferenceOptions]
    ) -> list[Prediction]:
        """These pictures, here and now, in as few runs as can be, each with its options; timed."""
        predictions: list[Prediction] = []
        with self._using() as model:
            for start in range(0, len(pictures), model.max_batch):
                part = slice(start, start + model.max_batch)
                predictions += self._batch(model, pictures[part], options[part])
        return predictions

    def _batch(
        self,
        model: Model,
        pictures: Sequence[VideoFrame | Image],
        options: Sequence[InferenceOptions],
    ) -> list[Prediction]:
        """One run, or one for each size of input that is wanted."""
        shown = _plain(seen(pictures, options), options)
        scales = {wanted.input_scale for wanted in options}
        if scales == {1.0}:
            found = self._run(model, shown, options)
        else:
            found = self._by_scale(model, shown, options, scales)
        everything = zip(found, pictures, options, strict=True)
        return [placed(prediction, picture, wanted) for prediction, picture, wanted in everything]

    def _by_scale(
        self,
        model: Model,
        pictures: Sequence[VideoFrame | Image],
        options: Sequence[InferenceOptions],
        scales: set[float],
    ) -> list[Prediction]:
        found: dict[int, Prediction] = {}
        for scale in scales:
            chosen = [i for i, wanted in enumerate(options) if wanted.input_scale == scale]
            part = [pictures[i] for i in chosen], [options[i] for i in chosen]
            fitting = self._scaled(model, scale) or model
            found |= dict(zip(chosen, self._run(fitting, *part), strict=True))
        return [found[i] for i in range(len(pictures))]

    def _scaled(self, model: Model, scale: float) -> Model | None:
        """``model`` with an input of that part of its size; made once for each. ``None`` where the
        graph has but one size."""
        if scale == 1.0:
            return model
        turn = self._turn
        if turn.model is not model:  # it is being swapped: its last runs are not worth a search
            return None
        known = turn.scaled
        if scale not in known:
            if len(known) >= _SCALES:
                turn.scaled = known = {}
            known[scale] = model.scaled(scale) if isinstance(model, Scalable) else None
        return known[scale]

    def _run(
        self,
        model: Model,
        pictures: Sequence[VideoFrame | Image],
        options: Sequence[InferenceOptions],
    ) -> list[Prediction]:
        began = time.perf_counter()
        tensor, geometries = model.prepare(pictures)
        prepared = time.perf_counter()
        outputs = model.run(tensor)
        ran = time.perf_counter()
        predictions = [
            said_by(model.model_id, model.finish(outputs, index, geometry, wanted))
            for index, (geometry, wanted) in enumerate(zip(geometries, options, strict=True))
        ]
        self._measure(geometries, began, prepared, ran)
        return predictions

    def _measure(
        self, geometries: Sequence[Any], began: float, prepared: float, ran: float
    ) -> None:
        finished, count = time.perf_counter(), len(geometries)
        self.timings.batch.add(count)
        for geometry in geometries:
            self.timings.prepare.add((prepared - began) / count)
            if getattr(geometry, "from_planes", False):
                self.timings.from_planes.add((prepared - began) / count)
            self.timings.run.add((ran - prepared) / count)
            self.timings.finish.add((finished - ran) / count)

    def _thread(self, number: int) -> threading.Thread:
        name = f"streamkit model {self.model.model_id} {number}"
        return threading.Thread(target=self._work, args=(self._scheduler,), name=name, daemon=True)

    def _work(self, scheduler: Scheduler[VideoFrame]) -> None:
        for batch in scheduler:
            self._serve(batch)

    def _serve(self, batch: Tickets) -> None:
        """Complete or fail every ticket. A batch that fails is tried again one by one, so that a
        stream whose pictures the model cannot take does not end its neighbours."""
        try:
            predictions = self._answers(batch)
        except Exception as error:  # noqa: BLE001 - a thread begins here
            if len(batch) > 1:
                for ticket in batch:
                    self._serve([ticket])
            else:
                self._fail(batch[0], error)
        else:
            for ticket, prediction in zip(batch, predictions, strict=True):
                ticket.complete(prediction)

    def _answers(self, batch: Tickets) -> list[Prediction]:
        """By the model each lane wants now, in the order of the batch."""
        wishes: list[Wish] = [ticket.lane.options for ticket in batch]
        frames = [ticket.item for ticket in batch]
        who = {wish.instead for wish in wishes}
        if len(who) == 1:
            model = who.pop() or self
            return model.infer(frames, [wish.options for wish in wishes])
        found: dict[int, Prediction] = {}
        for instead in who:
            chosen = [i for i, wish in enumerate(wishes) if wish.instead is instead]
            part = [frames[i] for i in chosen], [wishes[i].options for i in chosen]
            found |= dict(zip(chosen, (instead or self).infer(*part), strict=True))
        return [found[i] for i in range(len(batch))]

    def _fail(self, ticket: Ticket[VideoFrame], error: Exception) -> None:
        log.debug("%s failed on %r", self.model.model_id, ticket.item, exc_info=error)
        if not isinstance(error, StreamkitError):
            ours = InferenceError(f"{self.model.model_id}: {type(error).__name__}: {error}")
            ours.__cause__ = error
            error = ours
        if ticket.lane.options.lenient:
            ticket.complete(Unanswered(error))
        else:
            ticket.fail(error)


def _plain(
    pictures: Sequence[VideoFrame | Image], options: Sequence[InferenceOptions]
) -> Sequence[Any]:
    """The pictures, with what each caller wants left out."""
    if not any(wanted.without for wanted in options):
        return pictures
    pairs = zip(pictures, options, strict=True)
    return [Plain(p, wanted.without) if wanted.without else p for p, wanted in pairs]
