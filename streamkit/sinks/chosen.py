"""Which events a sink is about: by their kinds and phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import get_args

from streamkit.errors import ConfigError
from streamkit.events import Event, Phase


@dataclass(frozen=True, slots=True)
class Chosen:
    """``kinds`` with ``*`` for anything (``zone.*``); none: every kind. ``phases``: those at which
    something happened. Raises ``ConfigError``."""

    kinds: Sequence[str] = ()
    phases: Sequence[str] = ("instant", "start")

    def __post_init__(self) -> None:
        if isinstance(self.kinds, str):
            raise ConfigError(f"kinds must be a list of kinds of events, like [{self.kinds}]")
        unknown = [phase for phase in self.phases if phase not in get_args(Phase)]
        if unknown:
            known = ", ".join(get_args(Phase))
            raise ConfigError(f"phases: {', '.join(unknown)}: choose from {known}")

    def has(self, event: Event) -> bool:
        """Is it one of these?"""
        return event.phase in self.phases and self.of_kind(event)

    def of_kind(self, event: Event) -> bool:
        """Is it of these kinds, whatever its phase?"""
        return not self.kinds or any(fnmatchcase(event.kind, kind) for kind in self.kinds)
