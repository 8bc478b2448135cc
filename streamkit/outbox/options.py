"""How messages are kept: where, for how long, how many, and what happens when there are more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator

from streamkit import plugins
from streamkit.errors import ConfigError
from streamkit.settings import Settings

OnFull: TypeAlias = Literal["drop_oldest", "refuse", "block"]


def _checked(given: str | Path | Mapping[str, Any] | None) -> Any:
    OutboxOptions.of(given)
    return given


OutboxGiven: TypeAlias = Annotated[str | Path | Mapping[str, Any] | None, AfterValidator(_checked)]
"""The option ``outbox`` of every sink that sends: a path, or ``OutboxOptions`` by name, which are
looked at with all other options of a document."""

_DAY = 86_400.0
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxOptions:
    """One destination's part of an outbox; ``path`` and ``durable`` are common to the file."""

    path: Path | None = None
    """The file; ``None``: the setting ``STREAMKIT_OUTBOX``. Several sinks, pipelines and processes
    may share one."""
    durable: bool = True
    """Each message is on the disk before anything is sent, also after a loss of power. ``False``
    is faster, and risks the last second then; a crash or ``kill -9`` loses nothing either way."""
    keep_for: float = 3 * _DAY
    """Seconds for which delivery is tried; a message that is older becomes a dead letter."""
    max_messages: int = 100_000
    max_bytes: int = 256 * _MIB
    """Of messages that wait."""
    on_full: OnFull = "drop_oldest"
    """What a message more does: it takes the place of the oldest, is refused, or waits for room
    (and with it the sink, then the stream)."""
    keep_sent: float = _DAY
    """Seconds for which delivered messages can be replayed."""
    keep_dead: float = 30 * _DAY
    """Seconds for which dead letters can."""
    history_bytes: int = 64 * _MIB
    """Of both together; delivered ones go first, the oldest of them first."""
    first_wait: float = 0.5
    longest_wait: float = 60.0
    """Seconds between attempts: at most so many, doubling from the first to the longest, and a
    random part of that (full jitter)."""
    memory: int = 1000
    """Messages that wait in memory while the disk takes none."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            least = 1 if isinstance(value, int) else 0.0
            if not least <= value < math.inf:
                raise ConfigError(f"outbox: {field.name}={value!r}: give at least {least:g}")
        if not 0 < self.first_wait <= self.longest_wait:
            raise ConfigError("outbox: first_wait must be above 0 and not above longest_wait")

    @classmethod
    def of(cls, given: OutboxGiven) -> OutboxOptions:
        """Options as they stand in a document. Raises ``ConfigError`` naming the choices."""
        if not isinstance(given, Mapping):
            return cls(path=None if given is None else Path(given))
        return cls(**plugins.check(cls, "outbox", given))

    @property
    def file(self) -> Path:
        """Where the outbox is."""
        return (self.path or Settings.load().outbox).expanduser().absolute()
