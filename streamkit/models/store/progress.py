"""Progress of downloads on a terminal; nothing where there is none."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bars:
    """A bar per file on stderr, while it comes; may be told by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._tasks: dict[tuple[int, str], TaskID] = {}

    def __call__(self, name: str, have: int, total: int | None) -> None:
        """``have`` of ``total`` bytes of ``name`` are here."""
        if not sys.stderr.isatty():
            return
        key = threading.get_ident(), name
        with self._lock:
            progress = self._progress or self._start()
            if key not in self._tasks:
                self._tasks[key] = progress.add_task(name, total=total)
            progress.update(self._tasks[key], completed=have, total=total)
            if have == total:
                progress.remove_task(self._tasks.pop(key))
            if not self._tasks:
                self._stop()

    def _start(self) -> Progress:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        more = (TransferSpeedColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        self._progress = Progress(*columns, *more, console=console, transient=True)
        self._progress.start()
        return self._progress

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def close(self) -> None:
        """Take away what an error left standing."""
        with self._lock:
            self._tasks.clear()
            self._stop()
