"""How old pictures are when a result is out, by the moment that a clock camera burns into them."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any


class Ages:
    """Counts results and notes their ages from ``settle`` seconds after the first one on."""

    def __init__(self, asked: dict[str, Any]) -> None:
        if asked["root"] not in sys.path:
            sys.path.append(asked["root"])  # at the end: this Python's own packages come first
        from streamkit.chaos.burned import read

        self._read = read
        self._settle, self._seconds = float(asked["settle"]), float(asked["seconds"])
        self._began: float | None = None
        self._ages: list[float] = []
        self._taken = 0
        self._cpu: list[float] = []
        """Seconds of CPU that the process had used, at each result."""
        self._resident: list[int] = []
        """Bytes of memory that it held."""

    def note(self, plane: Any) -> bool:
        """One more result, about a picture of which this is a plane (H x W ``uint8``); whether it
        was the last that is wanted."""
        now = time.time()
        self._began = self._began or now
        since = now - self._began - self._settle
        if 0 <= since < self._seconds:
            self._taken += 1
            self._cpu.append(time.process_time())
            self._resident.append(_resident())
            code = self._read(plane)
            if code is not None:
                self._ages.append(now - code[1] / 1e6)
        return since >= self._seconds

    def tell(self) -> None:
        """Print the line of JSON that ``streamkit.bench.glass`` expects."""
        told = {"ages": self._ages, "taken": self._taken, "seconds": self._seconds}
        told |= {"cpu": self._cpu, "resident": self._resident}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
