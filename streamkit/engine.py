"""What frames are put through: what a run asks of its middle, and a shared model there."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from streamkit.errors import AdmissionRefusedError, ClosedError, ConfigError
from streamkit.events import EventType, Reporter
from streamkit.frame import VideoFrame
from streamkit.freshness.admission import AdmissionOptions, measured, rate
from streamkit.models.base import InferenceOptions
from streamkit.models.opened import StreamModels
from streamkit.quality import Control, Quality, asked_of, share_of
from streamkit.scheduler import Lane, OnDrop, Takers
from streamkit.sources.base import Source
from streamkit.streams.options import StreamOptions

if TYPE_CHECKING:
    from pydantic import SecretStr

    from streamkit.models.manager import Lease, ModelManager
    from streamkit.models.shared import SharedModel

OnVideoFrame: TypeAlias = Callable[[list[VideoFrame]], Sequence[Any]]
_FASTEST: Final = 240.0
"""Frames per second that a source may claim and be believed."""

OnTake: TypeAlias = Callable[[VideoFrame], None]
Accept: TypeAlias = Callable[[Sequence[str]], object]
"""Raises where it cannot do with these class names."""


class Engine(Protocol):
    """The middle of a pipeline. ``start`` and ``stop`` frame a run; lanes are opened in between."""

    def start(self) -> None:
        """Be ready for lanes."""
        ...

    def open(
        self,
        on_drop: OnDrop[VideoFrame],
        on_take: OnTake,
        options: StreamOptions,
        takers: Takers = tuple,
    ) -> Lane[VideoFrame]:
        """A stream's way through, as is wanted of that stream. ``takers`` are those sinks that
        alone decide how many of its frames are of use."""
        ...

    def admit(self, lane: Lane[VideoFrame], options: StreamOptions, source: Source) -> None:
        """It is known what feeds ``lane``. ``AdmissionRefusedError`` where that does not fit."""
        ...

    def stop(self, until: float | None = None) -> None:
        """All lanes are closed: let go of threads, at most until ``until``."""
        ...

    def models(self, options: StreamOptions) -> StreamModels:
        """What the stages of one stream may open, until it is closed."""
        ...

    def names(self) -> Sequence[str]:
        """The class names of the pipeline's model; none where nobody knows."""
        ...

    def change(self, model_id: str, options: InferenceOptions, accept: Accept = any) -> None:
        """Another model from the next batch on, and what is wanted of it from the next ``adjust``
        of a lane on. ``accept`` may raise when it is told the new one's class names. Raises
        ``ConfigError`` and what loading raises; then nothing has changed."""
        ...

    def inside(self) -> bool:
        """Whether the calling thread is one that ``stop`` waits for."""
        ...

    def stats(self) -> dict[str, Any]:
        """What it did, and how long it took per frame (seconds)."""
        ...


class ModelEngine:
    """A model out of the manager, its session shared with whoever else uses it."""

    def __init__(
        self,
        model_id: str | Path,
        api_key: str | SecretStr | None,
        options: InferenceOptions,
        reporter: Reporter,
        manager: ModelManager,
        control: Control | None = None,
    ) -> None:
        self._control = control or Control()
        self._quality: Quality | None = None
        self._spare: list[Lease] = []
        self._capacity: float | None = None
        self._model_id, self._api_key = model_id, api_key
        self._options = options
        self._reporter, self._manager = reporter, manager
        self._lease: Lease | None = None
        self._shared: SharedModel | None = None

    def load(self) -> None:
        """Load the model, or find it loaded: what is wrong with it is known before the start."""
        pinned = self._manager.pin(self._model_id, self._api_key, on_load=self._loaded)
        self._shared = pinned.shared
        pinned.release()
        for model in self._control.ladder:
            self._manager.pin(model, self._api_key, on_load=self._loaded).release()

    def _loaded(self, shared: SharedModel, seconds: float) -> None:
        model = shared.model
        self._reporter.info(
            EventType.MODEL_LOADED,
            "models",
            model_id=model.model_id,
            provider=model.provider,
            seconds=round(seconds, 3),
        )

    def start(self) -> None:
        """Take the model; it stays until ``stop``."""
        self._lease = self._manager.lease(self._model_id, self._api_key, on_load=self._loaded)
        self._shared = self._lease.shared
        try:
            self._take_control(self._shared)
        except BaseException:
            self.stop()
            raise

    def _take_control(self, shared: SharedModel) -> None:
        """Measure the model where streams are admitted, watch it where it may be asked for less."""
        control = self._control
        if control.admission is not None and self._capacity is None:
            self._capacity = control.admission.capacity or measured_of(shared)
        if control.degrade is not None:
            for model in control.ladder:
                self._spare.append(self._manager.pin(model, self._api_key, on_load=self._loaded))
            self._quality = Quality(shared, control, self._spare, self._reporter)
            self._quality.start()

    def open(
        self,
        on_drop: OnDrop[VideoFrame],
        on_take: OnTake,
        options: StreamOptions,
        takers: Takers = tuple,
    ) -> Lane[VideoFrame]:
        """A stream's way through, as is wanted of that stream."""
        if self._shared is None:
            raise ClosedError("the model has been let go")
        quality = self._quality
        if quality is not None:
            on_drop, on_take = quality.dropping(on_drop), quality.taking(on_take)
        lane = self._shared.open(
            on_drop=on_drop,
            on_take=on_take,
            options=options.wanted(self._options),
            share=share_of(options),
        )
        lane.adjust = lambda changed: self._adjust(lane, changed, 0.0)
        self._shared.ledger.enter(lane, self._rate(options, 0.0), options.priority)
        if quality is None:
            lane.takers = takers
        else:  # it judges by what is lost
            quality.follow(lane, options)
        return lane

    def _adjust(self, lane: Lane[VideoFrame], options: StreamOptions, fps: float) -> None:
        lane.options = asked_of(lane.options, options.wanted(self._options))
        lane.reshare(share_of(options))
        if self._shared is not None:
            self._shared.ledger.change(lane, self._rate(options, fps), options.priority)
        if self._quality is not None:
            self._quality.follow(lane, options)

    def _rate(self, options: StreamOptions, fps: float) -> float:
        """Frames per second at the model from a source that says ``fps``, 0 if it does not say."""
        assumed = (self._control.admission or AdmissionOptions()).fps
        return rate(
            fps if 0 < fps <= _FASTEST else assumed,
            max_fps=options.max_fps,
            infer_every=options.infer_every,
            infer_fps=options.infer_fps,
        )

    def admit(self, lane: Lane[VideoFrame], options: StreamOptions, source: Source) -> None:
        """Finite sources wait, and need no room of their own. Raises ``AdmissionRefusedError``."""
        if self._shared is None:
            return
        ledger = self._shared.ledger
        if not source.live:
            ledger.leave(lane)
            return
        fps = source.properties.fps if source.properties else 0.0
        ledger.enter(lane, self._rate(options, fps), options.priority)
        lane.adjust = lambda changed: self._adjust(lane, changed, fps)
        admission = self._control.admission
        if admission is None or self._capacity is None:
            ledger.decide(lane, math.inf)
            return
        verdict = ledger.decide(lane, self._capacity * (1.0 - admission.margin))
        if not verdict.fits:
            text = verdict.text(options.name or source.reference)
            self._reporter.warning(
                EventType.ADMISSION_REFUSED, "models", **verdict.payload(), message=text
            )
            raise AdmissionRefusedError(text)

    def stop(self, until: float | None = None) -> None:
        """Let the model go; it stays loaded for the next one while there is room."""
        if self._quality is not None:
            self._quality.stop(until)
            self._quality = None
        while self._spare:
            self._spare.pop().release()
        if self._lease is not None:
            self._lease.shared.ledger.sweep()
            self._lease.release(until)
            self._lease = None

    def models(self, options: StreamOptions) -> StreamModels:
        """The manager's, with the key of the pipeline; its own as it is asked for this stream, but
        for the region: what a stage shows it are parts already."""

        def lease(model: str | Path) -> Lease:
            return self._manager.lease(model, self._api_key, on_load=self._loaded)

        own = options.wanted(self._options).but(region=None)
        return StreamModels(lease, (self._model_id, own))

    def names(self) -> Sequence[str]:
        """See ``Engine``."""
        return () if self._shared is None else self._shared.model.names

    def change(self, model_id: str, options: InferenceOptions, accept: Accept = any) -> None:
        """See ``Engine``. Also raises ``ConfigError`` where others use the present model: they
        asked for no other."""
        if str(model_id) != str(self._model_id):
            self._shared = self._swapped(model_id, accept)
            self._model_id, self._capacity = model_id, None
        self.ask(options)

    def ask(self, options: InferenceOptions) -> None:
        """What is wanted of the model, from the next ``adjust`` of a lane on."""
        self._options = options

    def _swapped(self, model_id: str, accept: Accept) -> SharedModel:
        if self._lease is None:
            pinned = self._manager.pin(model_id, self._api_key, on_load=self._loaded)
            pinned.release()
            accept(pinned.shared.model.names)
            return pinned.shared
        if self._lease.shared.users > 1:
            raise ConfigError(
                f"{self._model_id} is used by others of this process, too (another pipeline, or a "
                "stage): another model takes a restart"
            )
        return self._manager.swap(self._model_id, model_id, self._api_key, accept=accept)

    def inside(self) -> bool:
        """Whether it is one of the model's threads, whoever else shares them."""
        if self._quality is not None and self._quality.inside():
            return True
        return self._shared is not None and self._shared.inside()

    def stats(self) -> dict[str, Any]:
        """Which model ran where, and its mean seconds per frame in each step."""
        if self._shared is None:
            return {"model": str(self._model_id), "frames": 0}
        quality = self._quality
        model, times = self._shared.model, self._shared.timings
        return {
            "model": model.model_id,
            "provider": model.provider,
            "path": model.path,
            "way": self._shared.way,
            "frames": times.run.count,
            "prepare": times.prepare.mean,
            "from_planes": times.from_planes.count,
            "run": times.run.mean,
            "finish": times.finish.mean,
            **({} if quality is None else {"quality": quality.rung}),
        }


def measured_of(shared: SharedModel) -> float:
    """Frames per second of a model on this machine, with all of its workers on full batches of
    grey pictures of 1280 x 720; takes a second."""
    import numpy as np

    batch = shared.model.max_batch
    pictures = [np.full((720, 1280, 3), 114, np.uint8)] * batch
    return measured(lambda: shared.trial(pictures), shared.workers, batch)
