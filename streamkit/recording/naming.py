"""Where recordings lie: paths that are known beforehand, whatever streams are called."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_PLAIN = re.compile(r"[^\w.-]+")
_LONGEST: Final = 80


def plain(name: str) -> str:
    """``name`` as one part of a path: letters, digits, ``_``, ``.`` and ``-``. What had to be
    changed keeps apart from others by eight digits of its SHA-256."""
    text = _PLAIN.sub("_", name).strip("._")[:_LONGEST]
    if text and text == name:
        return text
    mark = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{text}_{mark}" if text else mark


def event_path(folder: str | Path, stream: str, event_id: str, suffix: str) -> Path:
    """Where the clip (``.mp4``) or snapshot (``.jpg``) of an event is, or is going to be:
    ``{folder}/{stream}/{event_id}{suffix}``."""
    return Path(folder) / plain(stream) / f"{plain(event_id)}{suffix}"


def time_path(folder: str | Path, stream: str, at: float, suffix: str) -> Path:
    """Where what was recorded from Unix time ``at`` on is: named by UTC, to the millisecond."""
    moment = datetime.fromtimestamp(at, UTC)
    text = f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z"
    return Path(folder) / plain(stream) / f"{text}{suffix}"
