"""When a recording was begun: as its owner says, by its file's time, or now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from streamkit.errors import ConfigError

Start: TypeAlias = datetime | str | None
"""A moment (ISO 8601 text or ``datetime``; without a zone it is this machine's local time),
``mtime`` (it ended when its file was written), ``now``, or ``None`` for the source's own way."""

WAYS = ("mtime", "now")


def start_of(given: Start) -> Start:
    """``given``, with moments as aware UTC. Raises ``ConfigError`` for what is none of them."""
    if isinstance(given, str) and given not in WAYS:
        try:
            given = datetime.fromisoformat(given)
        except ValueError:
            text = f"started_at={given!r}: give an ISO 8601 time, {' or '.join(WAYS)}"
            raise ConfigError(text) from None
    return given.astimezone(UTC) if isinstance(given, datetime) else given


def begun(start: Start, written: datetime, seconds: float) -> datetime | None:
    """When a recording of ``seconds`` that was ``written`` then was begun; ``None``: not given."""
    if start == "mtime":
        return written - timedelta(seconds=seconds)
    if start == "now":
        return datetime.now(UTC)
    return start if isinstance(start, datetime) else None
