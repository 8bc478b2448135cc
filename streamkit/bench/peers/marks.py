"""Counts results and notes clock and CPU at two of them; standard library only, any Python."""

from __future__ import annotations

import json
import os
import resource
import sys
import time


def cpu() -> float:
    """CPU seconds that this process has used."""
    spent = os.times()
    return spent.user + spent.system


class Marks:
    """From result ``skip`` to result ``frames``, what each cost."""

    def __init__(self, skip: int, frames: int) -> None:
        self.seen = self.found = 0
        self.first = 0.0
        self._skip, self._frames = skip, frames
        self._noted: dict[int, tuple[float, float]] = {}

    def count(self, found: int) -> bool:
        """One more result, with so many objects; whether it was the last that is wanted."""
        self.seen += 1
        self.found += found
        if self.seen == 1:
            self.first = time.time()
        if self.seen in (self._skip, self._frames):
            self._noted[self.seen] = time.perf_counter(), cpu()
        return self.seen == self._frames

    def tell(self) -> None:
        """Print the line of JSON that ``streamkit.bench.race`` expects."""
        (began, before), (ended, after) = self._noted[self._skip], self._noted[self._frames]
        told = {
            "frames": self._frames - self._skip,
            "wall": ended - began,
            "cpu": after - before,
            "found": self.found,
            "first": self.first,
            "resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
