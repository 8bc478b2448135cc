"""What is wanted of one stream: its rate, its age, its share of the model, its health."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from streamkit import plugins
from streamkit.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """Options of a stream, beside those of its source; each may be given per source.

    Times are seconds. Written next to the adapter's own options, in documents and in Python.
    """

    name: str | None = None
    """What to call it in tables and logs, instead of its reference."""
    max_fps: float | None = None
    """A live stream is thinned to this rate; a finite one is slowed down to it."""
    max_staleness: float | None = None
    """A live frame older than this when its turn comes is dropped."""
    thin_files: bool = False
    """Thin finite streams too, by their own times."""
    retry_first: bool = True
    """Keep trying when the very first connection fails."""
    restart_delay: float = 1.0
    """The first wait between two attempts; doubles up to ``restart_delay_max``, with jitter."""
    restart_delay_max: float = 30.0

    def __post_init__(self) -> None:
        for name in ("max_fps", "restart_delay", "restart_delay_max"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name}={value!r}: give a number above 0")
        if self.max_staleness is not None and not self.max_staleness >= 0:
            raise ConfigError(f"max_staleness={self.max_staleness!r}: give a number from 0")

    def but(self, changes: Mapping[str, Any]) -> StreamOptions:
        """These options with some changed. ``ConfigError`` for wrong names and values."""
        return replace(self, **plugins.check(StreamOptions, "stream", changes))


_NAMES = frozenset(field.name for field in fields(StreamOptions))


def split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what is meant for the stream, what is meant for the source's adapter)."""
    stream = {name: value for name, value in options.items() if name in _NAMES}
    return stream, {name: value for name, value in options.items() if name not in _NAMES}
