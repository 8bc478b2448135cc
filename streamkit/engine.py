"""What frames are put through: a shared model, or a function of the user's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from streamkit.errors import ClosedError, ConfigError
from streamkit.events import EventType, Reporter
from streamkit.frame import VideoFrame
from streamkit.meters import Histogram
from streamkit.models.base import InferenceOptions
from streamkit.scheduler import FINITE, Lane, OnDrop, Scheduler, Ticket

if TYPE_CHECKING:
    from pydantic import SecretStr

    from streamkit.models.manager import Lease, ModelManager
    from streamkit.models.shared import SharedModel

OnVideoFrame: TypeAlias = Callable[[list[VideoFrame]], Sequence[Any]]
OnTake: TypeAlias = Callable[[VideoFrame], None]


class Engine(Protocol):
    """The middle of a pipeline. ``start`` and ``stop`` frame a run; lanes are opened in between."""

    def start(self) -> None:
        """Be ready for lanes."""
        ...

    def open(self, on_drop: OnDrop[VideoFrame], on_take: OnTake) -> Lane[VideoFrame]:
        """A stream's way through."""
        ...

    def stop(self, until: float | None = None) -> None:
        """All lanes are closed: let go of threads, at most until ``until``."""
        ...

    def inside(self) -> bool:
        """Whether the calling thread is one that ``stop`` waits for."""
        ...

    def stats(self) -> dict[str, Any]:
        """What it did, and how long it took per frame (seconds)."""
        ...


class FunctionEngine:
    """Runs ``on_video_frame`` on one thread, on at most one frame of each source at a time."""

    _WINDOW = 4

    def __init__(self, function: OnVideoFrame, sources: int, max_wait: float) -> None:
        self._function = function
        self._thread: threading.Thread | None = None
        self._sources = sources
        self._max_wait = max_wait if sources > 1 else 0.0
        self._time = Histogram()

    def start(self) -> None:
        """Start its thread."""
        self._scheduler: Scheduler[VideoFrame] = Scheduler(
            self._sources, self._max_wait, one_per_lane=True
        )
        self._thread = threading.Thread(
            target=self._work, args=(self._scheduler,), name="streamkit function", daemon=True
        )
        self._thread.start()

    def open(self, on_drop: OnDrop[VideoFrame], on_take: OnTake) -> Lane[VideoFrame]:
        """A stream's way through."""
        return self._scheduler.open(FINITE, on_drop=on_drop, on_take=on_take, window=self._WINDOW)

    def stop(self, until: float | None = None) -> None:
        """End the thread; a function that does not return is left behind."""
        self._scheduler.close(discard=True)
        if self._thread is not None:
            self._thread.join(None if until is None else max(0.0, until - time.monotonic()))

    def inside(self) -> bool:
        """Whether it is ``on_video_frame`` that asks."""
        return threading.current_thread() is self._thread

    def stats(self) -> dict[str, Any]:
        """Time per call, in seconds."""
        return {"model": "on_video_frame", "frames": self._time.count, "run": self._time.mean}

    def _work(self, scheduler: Scheduler[VideoFrame]) -> None:
        for batch in scheduler:
            try:
                predictions = self._call(batch)
            except BaseException as error:  # noqa: BLE001 - the user's function; join() raises it
                for ticket in batch:
                    ticket.fail(error)
            else:
                for ticket, prediction in zip(batch, predictions, strict=True):
                    ticket.complete(prediction)

    def _call(self, batch: list[Ticket[VideoFrame]]) -> Sequence[Any]:
        started = time.monotonic()
        predictions = self._function([ticket.item for ticket in batch])
        self._time.add(time.monotonic() - started)
        if predictions is None or len(predictions) != len(batch):
            got = "None" if predictions is None else f"{len(predictions)} predictions"
            raise ConfigError(
                f"on_video_frame returned {got} for {len(batch)} frames: return one for each frame"
            )
        return predictions


class ModelEngine:
    """A model out of the manager, its session shared with whoever else uses it."""

    def __init__(
        self,
        model_id: str | Path,
        api_key: str | SecretStr | None,
        options: InferenceOptions,
        reporter: Reporter,
        manager: ModelManager,
    ) -> None:
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

    def open(self, on_drop: OnDrop[VideoFrame], on_take: OnTake) -> Lane[VideoFrame]:
        """A stream's way through."""
        if self._shared is None:
            raise ClosedError("the model has been let go")
        return self._shared.open(on_drop=on_drop, on_take=on_take, options=self._options)

    def stop(self, until: float | None = None) -> None:
        """Let the model go; it stays loaded for the next one while there is room."""
        if self._lease is not None:
            self._lease.release(until)
            self._lease = None

    def inside(self) -> bool:
        """Never: a model's threads belong to all who share it; ``stop`` waits but briefly."""
        return False

    def stats(self) -> dict[str, Any]:
        """Which model ran where, and its mean seconds per frame in each step."""
        if self._shared is None:
            return {"model": str(self._model_id), "frames": 0}
        model, times = self._shared.model, self._shared.timings
        return {
            "model": model.model_id,
            "provider": model.provider,
            "path": model.path,
            "frames": times.run.count,
            "prepare": times.prepare.mean,
            "run": times.run.mean,
            "finish": times.finish.mean,
        }
