"""Keeps events from coming too often: cool-downs and rates, in the events' own time."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal, TypeAlias

from streamkit.errors import ConfigError
from streamkit.events import Event
from streamkit.predictions import Result
from streamkit.stages.base import Gives, Manifest, Needs, Stage
from streamkit.stages.memory import StreamTime
from streamkit.stages.seen import tell

Per: TypeAlias = Literal["name", "track", "class", "stream"]
"""What events share who share a limit: the place and kind, also the track, also the class; or
nothing but the stream."""

_KEYS: Final = 10_000
"""Keys remembered at once; the one used longest ago makes room."""


@dataclass(slots=True)
class _Past:
    """When events of one key were let through, in seconds."""

    passed: deque[float] = field(default_factory=deque)


class Limit(Stage):
    """Lets at most one event per ``cooldown`` seconds, and at most ``most`` per ``period``, of each
    key through. The others end here, counted in the stage's measure.

    Of what lasts, the start is measured: the end of what was let through is let through, that of
    what was held back is not, whatever kind it is.
    """

    manifest: ClassVar = Manifest(
        "Rate limit",
        Needs(stream=True),
        Gives(measures=("held",)),
        stateful=True,
        examples=(
            {"steps": ["track", {"zone": {"polygon": [[0, 0], [640, 0], [640, 360], [0, 360]]}},
                       {"limit": {"kinds": ["zone.enter"], "cooldown": 10, "per": "class"}}]},
            {"limit": {"most": 5, "period": 60, "per": "stream"}},
        ),
    )  # fmt: skip

    def __init__(
        self,
        *,
        name: str = "limit",
        kinds: Sequence[str] = (),
        per: Per = "name",
        cooldown: float = 0.0,
        most: int | None = None,
        period: float = 60.0,
    ) -> None:
        """``kinds``: the events meant, like ``zone.loiter``; all where empty. ``per``: what events
        share who share a limit. ``cooldown``: seconds without another. ``most``: events in any
        ``period`` seconds. ``period``: see ``most``. Raises ``ConfigError``."""
        if cooldown < 0 or period <= 0 or (most is not None and not 1 <= most <= 10_000):
            raise ConfigError("cooldown must not be below 0, period above 0, most from 1 to 10000")
        if not cooldown and most is None:
            raise ConfigError("give a cooldown, or the most events of a period")
        self._name, self._kinds, self._per = name, tuple(kinds), per
        self._cooldown, self._most, self._period = cooldown, most, period
        self._time, self._past = StreamTime(), OrderedDict[tuple[object, ...], _Past]()
        self._held = 0
        self._begun: OrderedDict[str, bool] = OrderedDict()
        """Of what began here and has not ended, by id: whether it was let through."""

    def __call__(self, result: Result) -> Result:
        at = self._time(result.frame)
        let = tuple(event for event in result.events if self._lets(event, at))
        self._held += len(result.events) - len(let)
        if not self._held:
            return result
        result.events = let
        return tell(result, self._name, {"kind": "limit", "held": self._held})

    def end(self, result: Result) -> Result:
        """With the stream ends what was let begin."""
        at = self._time(result.frame)
        result.events = tuple(event for event in result.events if self._lets(event, at))
        return result

    def _lets(self, event: Event, at: float) -> bool:
        if event.phase == "end" and (begun := self._begun.pop(event.id, None)) is not None:
            return begun
        if event.phase == "update" and self._begun.get(event.id) is False:
            return False
        if self._kinds and event.kind not in self._kinds:
            return True
        passes = self._passes(event, at)
        if event.phase == "start":
            self._begun[event.id] = passes
            if len(self._begun) > _KEYS:
                self._begun.popitem(last=False)
        return passes

    def _passes(self, event: Event, at: float) -> bool:
        passed = self._remembered(self._key(event)).passed
        while passed and at - passed[0] >= max(self._period, self._cooldown):
            passed.popleft()
        within = sum(at - then < self._period for then in passed)
        cool = not passed or at - passed[-1] >= self._cooldown
        if not cool or (self._most is not None and within >= self._most):
            return False
        passed.append(at)
        if self._most is None:  # only the newest matters
            while len(passed) > 1:
                passed.popleft()
        return True

    def _key(self, event: Event) -> tuple[object, ...]:
        keys: dict[Per, tuple[object, ...]] = {
            "stream": (),
            "name": (event.kind, event.key),
            "track": (event.kind, event.key, event.tracker_id),
            "class": (event.kind, event.key, event.data.get("class")),
        }
        return keys[self._per]

    def _remembered(self, key: tuple[object, ...]) -> _Past:
        past = self._past.pop(key, None) or _Past()
        self._past[key] = past
        if len(self._past) > _KEYS:
            self._past.popitem(last=False)
        return past
