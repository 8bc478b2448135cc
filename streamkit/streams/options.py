"""What is wanted of one stream: its rate, its age, its share of the model, its health."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from streamkit import plugins
from streamkit.errors import ConfigError
from streamkit.freshness.gate import GateOptions
from streamkit.models.base import InferenceOptions
from streamkit.recording.ring import RingOptions

_ABOVE_0 = (
    "max_fps", "infer_fps", "restart_delay", "restart_delay_max", "wrong_delay", "wrong_delay_max",
    "auth_delay", "auth_delay_max", "stable_after", "first_frame_timeout", "stall_timeout",
    "frozen_after",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """Options of a stream, beside those of its source; each may be given per source.

    Times are seconds. Written next to the adapter's own options, in documents and in Python.
    """

    name: str | None = None
    """What to call it in tables and logs, instead of its reference."""
    share: bool = True
    """Read the connection that other streams of this process have to the same camera, if any."""
    max_fps: float | None = None
    """A live stream is thinned to this rate; a finite one is slowed down to it."""
    max_staleness: float | None = None
    """A live frame older than this when its turn comes is dropped."""
    priority: int = 0
    """Frames of streams with a higher one go to the model first."""
    weight: float = 1.0
    """The part of the model that this stream gets, among those of its priority which want it."""
    motion_gate: bool | Mapping[str, Any] = False
    """Leave out frames on which nothing moves: ``True``, or options of ``gate.GateOptions``."""
    region: tuple[float, float, float, float] | None = None
    """left, top, right, bottom as parts of the picture (0 .. 1): all that the model sees of it.
    What it finds is told in pixels of the whole picture."""
    infer_every: int = 1
    """Only every n-th frame goes to the model; for those between, what it found is moved along."""
    infer_fps: float | None = None
    """The same by time: at most so many frames per second go to the model."""
    model: Mapping[str, Any] | None = None
    """What this stream wants of the model otherwise than the pipeline (``confidence``, ...); with
    ``id``, of another model."""
    thin_files: bool = False
    """Thin finite streams too, by their own times."""
    retry_first: bool = True
    """Keep trying when the very first connection fails."""
    restart_delay: float = 1.0
    """The first wait between two attempts; doubles up to ``restart_delay_max``, with jitter."""
    restart_delay_max: float = 30.0
    wrong_delay: float = 5.0
    """The same where somebody has to change something first: no such stream, a certificate that is
    not trusted, a codec nobody has."""
    wrong_delay_max: float = 60.0
    auth_delay: float = 30.0
    """The same after a password that was not accepted: cameras lock out who tries too often."""
    auth_delay_max: float = 300.0
    stable_after: float = 10.0
    """For how long (and for twice the last wait) a stream has to stay before the waits begin anew.
    Until then five losses in a minute make each wait the longest."""
    first_frame_timeout: float | None = 15.0
    """A live source that gives no first picture for this long, connecting included, is lost."""
    stall_timeout: float | None = 10.0
    """The same between two pictures, whatever else may arrive from it. A camera that sends one in
    20 s needs more, and so does its ``read_timeout``."""
    frozen_after: float | None = 10.0
    """A live stream of one and the same picture for this long is frozen: it is told, dropped, and
    after as long again connected anew. ``None``: never judged (a still scene without noise)."""
    accept_frozen: bool = False
    """Deliver frozen pictures all the same, and stay connected."""
    accept_concealed: bool = False
    """Deliver pictures that were made from damaged data, too."""
    keep_packets: bool | Mapping[str, Any] = False
    """Keep the latest encoded packets for sinks that record them: ``True``, or options of
    ``ring.RingOptions``."""
    watch_view: bool = True
    """Tell when the picture turns black, or shows nothing any more."""

    def __post_init__(self) -> None:
        for name in _ABOVE_0:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name}={value!r}: give a number above 0")
        self._check_model_share()
        if self.max_staleness is not None and not self.max_staleness >= 0:
            raise ConfigError(f"max_staleness={self.max_staleness!r}: give a number from 0")

    def _check_model_share(self) -> None:
        """What concerns the way to the model."""
        if not 0 < self.weight < math.inf:
            raise ConfigError(f"weight={self.weight!r}: give a number above 0")
        if self.infer_every < 1:
            raise ConfigError(f"infer_every={self.infer_every!r}: give a number from 1")
        if self.infer_fps is not None and self.infer_every > 1:
            raise ConfigError("infer_every and infer_fps: give one of them")
        if self.region is not None:
            left, top, right, bottom = self.region
            if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
                raise ConfigError(
                    f"region={list(self.region)!r}: give left, top, right, bottom from 0 to 1, "
                    "like [0.25, 0, 1, 0.5]"
                )
        GateOptions.of(self.motion_gate)
        RingOptions.of(self.keep_packets)
        if self.model is not None:
            self.wanted(InferenceOptions())

    @property
    def model_id(self) -> str | None:
        """Another model than the pipeline's."""
        return None if self.model is None else self.model.get("id")

    def wanted(self, usual: InferenceOptions) -> InferenceOptions:
        """What this stream wants of the model, where ``usual`` is what the pipeline does. Raises
        ``ConfigError``."""
        own = {name: value for name, value in (self.model or {}).items() if name != "id"}
        fitting = plugins.check(InferenceOptions, "model", own)
        return replace(usual, **{**fitting, "region": self.region})

    def but(self, changes: Mapping[str, Any]) -> StreamOptions:
        """These options with some changed. ``ConfigError`` for wrong names and values."""
        return replace(self, **plugins.check(StreamOptions, "stream", changes))


STREAM_OPTIONS = frozenset(field.name for field in fields(StreamOptions))
"""Their names."""


def split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what is meant for the stream, what is meant for the source's adapter)."""
    stream = {name: value for name, value in options.items() if name in STREAM_OPTIONS}
    return stream, {name: value for name, value in options.items() if name not in STREAM_OPTIONS}
