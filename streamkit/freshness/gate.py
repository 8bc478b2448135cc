"""The motion gate: frames on which nothing moves go no further, but for one now and then."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from streamkit import plugins
from streamkit.errors import ConfigError
from streamkit.events import DropCause
from streamkit.frame import Plane, VideoFrame

Levels: TypeAlias = npt.NDArray[np.int16]
"""Brightness of the samples, in 16ths of a grey level."""

_ACROSS: Final = 128
"""Samples in a row, about; a 720p picture is looked at in every tenth pixel of every tenth row,
which takes 0.1 ms where the whole plane would take many times as long."""
_CELL: Final = 4
"""Samples that are judged together, across and down."""
_AGREE: Final = 3
"""How many samples of a cell have to differ: noise hits single ones."""
_FINE: Final = 16
_FEW: Final = 19
"""Every so many-th sample is enough for a median; as it divides no row, all columns count."""
_EVERYWHERE: Final = 0.25
"""Part of the cells from which on it may be the light that changed, and not things that moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOptions:
    """When something has moved. Times are seconds. ``ConfigError`` for what makes no sense."""

    threshold: float = 12.0
    """Grey levels (of 255) by which a place has to differ from what it used to look like, at
    least; in a noisy picture six times the usual difference is asked for."""
    area: float = 0.002
    """Part of the picture that has to differ: 0.002 of 720p is 43 x 43 pixels."""
    heartbeat: float = 10.0
    """So often a frame passes though nothing moves."""
    hold: float = 1.0
    """So long after the last motion frames go on passing."""
    memory: float = 10.0
    """So long it takes until what changed and stays is what the place looks like."""

    def __post_init__(self) -> None:
        for name in ("threshold", "heartbeat", "memory"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"motion_gate: {name}={getattr(self, name)!r}: give more than 0")
        if not self.hold >= 0:
            raise ConfigError(f"motion_gate: hold={self.hold!r}: give a number from 0")
        if not 0 < self.area < 1:
            raise ConfigError(f"motion_gate: area={self.area!r}: give a part, between 0 and 1")

    @classmethod
    def of(cls, given: bool | Mapping[str, Any]) -> GateOptions | None:
        """``True``, or some of the options by name; ``None``: no gate is wanted."""
        return plugins.switched(cls, "motion_gate", given)


class MotionGate:
    """Why a frame of one stream goes no further: ``STILL``, or ``None`` where something moved.

    Looks at the luma plane, without any colour conversion, against a slowly adapting background;
    what changes the light as a whole (a lamp, a cloud, the camera's own gain) is no motion. A
    decoder that knows how much of the picture moved (``picture.motion``, part of the area with
    motion vectors) is asked first, and then the plane is left alone.
    """

    def __init__(self, options: GateOptions) -> None:
        self._options = options
        self._background = _Background(options)
        self._moved_at = -math.inf
        self._passed_at = -math.inf

    def __call__(self, frame: VideoFrame) -> DropCause | None:
        at = _seconds(frame)
        if at < max(self._moved_at, self._passed_at):  # the clock was set back
            self._moved_at = self._passed_at = -math.inf
        if self._moves(frame, at):
            self._moved_at = at
        held = at - self._moved_at <= self._options.hold
        if not held and at - self._passed_at < self._options.heartbeat:
            return DropCause.STILL
        self._passed_at = at
        return None

    def _moves(self, frame: VideoFrame, at: float) -> bool:
        told: float | None = getattr(frame.picture, "motion", None)
        if told is not None:
            return told >= self._options.area
        return self._background.differs(frame.luma, at)


class _Background:
    """What the places of a picture usually look like."""

    def __init__(self, options: GateOptions) -> None:
        self._threshold = options.threshold * _FINE
        self._area, self._memory = options.area, options.memory
        self._usual: Levels | None = None
        self._latest: Levels = np.zeros((0, 0), np.int16)
        """At the last adaption."""
        self._at = 0.0

    def differs(self, luma: Plane, at: float) -> bool:
        """Whether things look different at ``at`` (seconds); looks like that from now on, a bit."""
        now = _samples(luma)
        usual = self._usual
        if usual is None or usual.shape != now.shape:
            self._usual, self._latest, self._at = now, now, at
            return False
        difference = now - usual
        difference -= np.int16(_middle(difference))
        part = self._part(difference)
        if part >= _EVERYWHERE:
            difference = now - _relit(usual, now)
            if self._part(difference) < self._area:  # the same things in another light
                self._usual, self._latest, self._at = now, now, at
                return False
        self._adapt(now, at)
        return part >= self._area

    def _part(self, difference: Levels) -> float:
        """Of the cells, how many differ by more than half of the samples usually do, six times:
        four standard deviations of noise."""
        np.abs(difference, out=difference)
        far = difference > np.int16(max(self._threshold, 6.0 * _middle(difference)))
        cells = far.reshape(far.shape[0] // _CELL, _CELL, -1).sum(axis=1, dtype=np.uint8)
        agree = cells.reshape(len(cells), -1, _CELL).sum(axis=2, dtype=np.uint8) >= _AGREE
        return float(agree.mean()) if agree.size else 0.0

    def _adapt(self, now: Levels, at: float) -> None:
        """Five times in ``memory`` seconds, a third of the way each, but only where it looks as it
        did the last time: who walks by leaves no ghost behind."""
        if self._usual is None or 0 <= at - self._at < self._memory / 5:
            return
        stays = np.abs(now - self._latest) <= self._threshold
        self._usual = self._usual + (now - self._usual) // 3 * stays
        self._latest, self._at = now, at


def _samples(luma: Plane) -> Levels:
    """Every n-th pixel of every n-th row, cut to whole cells."""
    step = max(1, luma.shape[1] // _ACROSS)
    some = luma[step // 2 :: step, step // 2 :: step]
    height, width = (size - size % _CELL for size in some.shape)
    return some[:height, :width].astype(np.int16) * np.int16(_FINE)


def _middle(values: Levels) -> float:
    """The median of some of them."""
    some = values.reshape(-1)[::_FEW]
    if not some.size:
        return 0.0
    place = some.size // 2
    return float(np.partition(some, place)[place])


def _relit(usual: Levels, now: Levels) -> Levels:
    """``usual`` in the light of ``now``: brighter by a factor and a sum, by least squares over
    the half of the samples that fit best."""
    before, after = usual.reshape(-1)[::_FEW].astype(np.float32), now.reshape(-1)[::_FEW]
    chosen = np.ones(len(before), np.bool_)
    gain, lift = 1.0, 0.0
    for _ in range(3):
        x, y = before[chosen], after[chosen]
        spread = x - x.mean()
        gain = float((spread * y).sum() / max(float((spread * spread).sum()), 1.0))
        lift = float(y.mean() - gain * x.mean())
        error = np.abs(after - (gain * before + lift))
        chosen = error <= np.partition(error, len(error) // 2)[len(error) // 2]
    relit = usual * np.float32(gain) + np.float32(lift)
    return np.clip(relit, 0, 255 * _FINE, out=relit).astype(np.int16)


def _seconds(frame: VideoFrame) -> float:
    """By which clock the gate goes: a file's own, else that of this machine."""
    return frame.timestamp.timestamp() if frame.comes_from_video_file else frame.captured_at
