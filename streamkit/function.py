"""A function of the user's own in the middle of a pipeline, in the place of a model."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamkit.engine import Accept, OnTake, OnVideoFrame
from streamkit.errors import ConfigError
from streamkit.frame import VideoFrame
from streamkit.meters import Histogram
from streamkit.models.base import InferenceOptions
from streamkit.models.opened import StreamModels
from streamkit.quality import share_of
from streamkit.scheduler import FINITE, Lane, OnDrop, Scheduler, Takers, Ticket
from streamkit.sources.base import Source
from streamkit.streams.options import StreamOptions

if TYPE_CHECKING:
    from streamkit.models.manager import Lease


class FunctionEngine:
    """Runs ``on_video_frame`` on one thread, on at most one frame of each source at a time."""

    _WINDOW = 4

    def __init__(self, function: OnVideoFrame, max_wait: float) -> None:
        self._function = function
        self._thread: threading.Thread | None = None
        self._max_wait = max_wait
        self._time = Histogram()

    def start(self) -> None:
        """Start its thread."""
        self._scheduler: Scheduler[VideoFrame] = Scheduler(
            sys.maxsize, self._max_wait, one_per_lane=True
        )
        self._thread = threading.Thread(
            target=self._work, args=(self._scheduler,), name="streamkit function", daemon=True
        )
        self._thread.start()

    def open(
        self,
        on_drop: OnDrop[VideoFrame],
        on_take: OnTake,
        options: StreamOptions,
        takers: Takers = tuple,
    ) -> Lane[VideoFrame]:
        """A stream's way through. Raises ``ConfigError`` for a region, which is for models.

        The function may remember what it sees: it gets all it can take."""
        del takers
        _without_region(options)
        lane = self._scheduler.open(
            FINITE,
            on_drop=on_drop,
            on_take=on_take,
            window=self._WINDOW,
            share=share_of(options),
        )
        lane.adjust = lambda changed: self._adjust(lane, changed)
        return lane

    @staticmethod
    def _adjust(lane: Lane[VideoFrame], options: StreamOptions) -> None:
        _without_region(options)
        lane.reshare(share_of(options))

    def admit(self, lane: Lane[VideoFrame], options: StreamOptions, source: Source) -> None:
        """All are: nobody knows what the function can do."""

    def stop(self, until: float | None = None) -> None:
        """End the thread; a function that does not return is left behind."""
        self._scheduler.close(discard=True)
        if self._thread is not None:
            self._thread.join(None if until is None else max(0.0, until - time.monotonic()))

    def models(self, options: StreamOptions) -> StreamModels:
        """The process's, with the key of the settings."""
        del options

        def lease(model: str | Path) -> Lease:
            from streamkit.models.manager import default_manager

            return default_manager().lease(model)

        return StreamModels(lease, None)

    def names(self) -> Sequence[str]:
        """None: the function answers with what it likes."""
        return ()

    def change(self, model_id: str, options: InferenceOptions, accept: Accept = any) -> None:
        """Raises ``ConfigError``: there is no model."""
        del model_id, options, accept
        raise ConfigError("this pipeline runs a function: it has no model to change")

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


def _without_region(options: StreamOptions) -> None:
    if options.region is not None:
        raise ConfigError("region: a function is given whole frames; it is for models only")
