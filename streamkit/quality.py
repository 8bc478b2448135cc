"""What a pipeline asks of a shared model: shares, admission, and less of it under overload."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from streamkit.errors import ConfigError
from streamkit.events import DropCause, EventType, Reporter
from streamkit.frame import VideoFrame
from streamkit.freshness.admission import AdmissionOptions
from streamkit.freshness.carry import wanted
from streamkit.freshness.ladder import Change, DegradeOptions, Ladder, Load, Rung, rungs
from streamkit.scheduler import Lane, OnDrop, Share
from streamkit.streams.options import StreamOptions

if TYPE_CHECKING:
    from streamkit.models.base import InferenceOptions
    from streamkit.models.manager import Lease
    from streamkit.models.shared import SharedModel

log = logging.getLogger(__name__)

_PERIOD: Final = 0.5
"""Seconds between two looks."""
_BUDGET: Final = 0.5
_STRETCH: Final = 4
"""About how many frames share an inference, where it goes by time."""
_MOST: Final = 1000
"""Waits that are remembered between two looks."""
_LOST: Final = (DropCause.NEWER, DropCause.OLDEST, DropCause.LATEST)


@dataclass(frozen=True, slots=True)
class Control:
    """What is to be done when a model has more to do than it can. By default, nothing."""

    degrade: DegradeOptions | None = None
    ladder: tuple[str, ...] = ()
    """Models to go over to, each smaller than the one before."""
    admission: AdmissionOptions | None = None


def control_of(
    degrade: bool | Mapping[str, Any], ladder: Sequence[str], admission: bool | Mapping[str, Any]
) -> Control:
    """From the arguments of a pipeline: a ``ladder`` is climbed without further ado. Raises
    ``ConfigError``."""
    if isinstance(ladder, str) or not isinstance(ladder, Sequence):
        raise ConfigError(f"ladder={ladder!r}: give a list of models, each smaller than the last")
    if not isinstance(degrade, bool | Mapping) or not isinstance(admission, bool | Mapping):
        raise ConfigError("degrade, admission: give true, false, or options by name")
    models = tuple(str(model) for model in ladder)
    if len(set(models)) != len(models):
        raise ConfigError(f"ladder={list(models)!r}: names a model twice")
    wanted_at_all = True if models and degrade is False else degrade
    return Control(DegradeOptions.of(wanted_at_all), models, AdmissionOptions.of(admission))


def share_of(options: StreamOptions) -> Share[VideoFrame]:
    """The way of a stream's frames to the model."""
    stretch = options.infer_every if options.infer_fps is None else _STRETCH
    chosen = wanted(options.infer_every, options.infer_fps)
    return Share(options.priority, options.weight, chosen, stretch)


class Quality:
    """Watches the lanes of one run, and takes steps up and down a ladder; a thread of its own."""

    def __init__(
        self, shared: SharedModel, control: Control, leases: Sequence[Lease], reporter: Reporter
    ) -> None:
        """``leases`` of the models of ``control.ladder`` are held by who calls."""
        self._shared, self._reporter = shared, reporter
        self._options = control.degrade or DegradeOptions()
        self._models = dict(zip(control.ladder, (lease.shared for lease in leases), strict=True))
        scalable = all(shared.scalable(scale) for scale in self._options.scales)
        self._steps = rungs(self._options, control.ladder, scalable=scalable)
        self._lanes: dict[Lane[VideoFrame], StreamOptions] = {}
        self._lock = threading.Lock()
        self._waits: list[float] = []
        self._stale = self._lost = 0
        self._rung = self._steps[0]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="streamkit quality", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self, until: float | None = None) -> None:
        """Watch no more; wait for its thread, which may be in a callback, at most until ``until``
        (monotonic seconds)."""
        self._stopped.set()
        self._thread.join(None if until is None else max(0.0, until - time.monotonic()))

    def inside(self) -> bool:
        """Whether the calling thread is its own."""
        return threading.current_thread() is self._thread

    @property
    def rung(self) -> str:
        """The name of the present quality."""
        return self._rung.name

    # -- what is watched ---------------------------------------------------------------------

    def dropping(self, on_drop: OnDrop[VideoFrame]) -> OnDrop[VideoFrame]:
        """``on_drop``, noticed."""

        def noticed(frame: VideoFrame, cause: DropCause) -> None:
            with self._lock:
                self._stale += cause is DropCause.STALE
                self._lost += cause in _LOST
            on_drop(frame, cause)

        return noticed

    def taking(self, on_take: Callable[[VideoFrame], None]) -> Callable[[VideoFrame], None]:
        """``on_take``, noticed."""

        def noticed(frame: VideoFrame) -> None:
            with self._lock:
                if not frame.comes_from_video_file and len(self._waits) < _MOST:
                    self._waits.append(frame.age)
            on_take(frame)

        return noticed

    def follow(self, lane: Lane[VideoFrame], options: StreamOptions) -> None:
        """A lane that is to have the present quality, too, and any other from now on."""
        with self._lock:
            self._lanes[lane] = options
            self._apply(self._rung)

    # -- its thread --------------------------------------------------------------------------

    def _watch(self) -> None:
        ladder: Ladder | None = None
        budget, busy, at = 0.0, self._busy(), time.monotonic()
        while not self._stopped.wait(_PERIOD):
            now, worked = time.monotonic(), self._busy()
            if ladder is None or budget != self._budget():
                budget = self._budget()
                ladder = Ladder(self._steps, self._options, budget, self._rung)
            part = (worked - busy) / ((now - at) * self._shared.workers)
            change = ladder.observe(now, self._load(part))
            if change is not None:
                self._take(change)
            busy, at = worked, now

    def _busy(self) -> float:
        """Seconds of work so far, of every model on the ladder."""
        return self._shared.busy + sum(model.busy for model in self._models.values())

    def _budget(self) -> float:
        """Seconds a frame may wait."""
        if self._options.budget is not None:
            return self._options.budget
        with self._lock:
            told = [o.max_staleness for o in self._lanes.values() if o.max_staleness]
        return min(told, default=_BUDGET)

    def _load(self, utilisation: float) -> Load:
        with self._lock:
            waits, self._waits = sorted(self._waits), []
            stale, self._stale = self._stale, 0
            lost, self._lost = self._lost, 0
        seen = max(1, len(waits) + stale + lost)
        waited = waits[len(waits) * 9 // 10] if waits else 0.0
        return Load(utilisation, waited, stale / seen, lost / seen)

    def _take(self, change: Change) -> None:
        with self._lock:
            self._rung = change.after
            self._apply(change.after)
        log.warning("quality %s, was %s: %s", change.after.name, change.before.name, change.why)
        self._reporter.warning(
            EventType.QUALITY_CHANGED,
            "inference_pipeline",
            **{"from": change.before.name, "to": change.after.name, "why": change.why},
        )

    def _apply(self, rung: Rung) -> None:
        """The lock is held. Files wait, so their rate is left alone."""
        for lane in [lane for lane in self._lanes if lane.closed]:
            del self._lanes[lane]
        lowest = min((lane.priority for lane in self._lanes), default=0)
        instead = None if rung.model is None else self._models[rung.model]
        for lane, options in self._lanes.items():
            lane.thin(rung.rate if lane.priority == lowest else 1.0)
            wish = lane.options
            wanted_now = replace(wish.options, input_scale=rung.scale, region=options.region)
            lane.options = replace(wish, options=wanted_now, instead=instead)


def asked_of(wish: Any, wanted: InferenceOptions) -> Any:
    """``wish`` (a ``models.shared.Wish``) with what is ``wanted`` of a stream now; the size of the
    input is for ``Quality`` to say."""
    return replace(wish, options=replace(wanted, input_scale=wish.options.input_scale))
