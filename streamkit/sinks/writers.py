"""Which files are being written by this process, so that nobody begins one of them anew."""

from __future__ import annotations

import threading
from pathlib import Path
from weakref import WeakKeyDictionary

from streamkit.errors import ConfigError

_LOCK = threading.Lock()
_WRITERS: WeakKeyDictionary[object, Path] = WeakKeyDictionary()


def refuse_written(path: Path) -> None:
    """Raises ``ConfigError`` where somebody is writing ``path``, who would lose what is in it."""
    with _LOCK:
        if path.absolute() in _WRITERS.values():
            raise ConfigError(
                f"path={path}: a sink that runs is writing this file: give another path, or end "
                "that sink first"
            )


def writes(writer: object, path: Path) -> None:
    """``writer`` writes ``path`` from now on, until ``done`` or its end."""
    with _LOCK:
        _WRITERS[writer] = path.absolute()


def done(writer: object) -> None:
    """It writes no more."""
    with _LOCK:
        _WRITERS.pop(writer, None)
