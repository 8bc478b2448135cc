"""The same work in several packages, each in a fresh process, in turn: A B A B, then ratios.

CPU seconds come from the operating system, over the frames after the first few; start is from the
birth of the process to the first prediction; resident is the most memory it held.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamkit.bench.measure import Spread
from streamkit.errors import ConfigError
from streamkit.settings import whole_environment

_LIMIT = 900
"""Seconds after which a contestant is given up."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One go of one contestant."""

    cpu: float
    """CPU seconds per frame."""
    wall: float
    """Seconds per frame."""
    start: float
    """Seconds from the birth of the process to its first prediction."""
    resident: int
    """Bytes."""
    found: int
    """Objects, so that it can be seen whether all do the same."""


MEASURED = ("cpu", "wall", "start", "resident")


@dataclass(frozen=True, slots=True)
class Contestant:
    """A command that takes the task as JSON, and prints one line of JSON at its end."""

    name: str
    command: Sequence[str]
    task: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)

    def go(self) -> Figures:
        """Run it once. Raises ``ConfigError`` with the end of what it said when it fails."""
        told = self.report()
        frames = told["frames"]
        return Figures(
            told["cpu"] / frames,
            told["wall"] / frames,
            told["first"] - told["born"],
            told["resident"],
            told["found"],
        )

    def report(self) -> dict[str, Any]:
        """Run it once; what it said, and when it was ``born`` (Unix seconds)."""
        with tempfile.TemporaryDirectory(prefix="streamkit-") as folder:
            task = {**self.task, "output": str(Path(folder) / "records.jsonl")}
            born = time.time()
            done = subprocess.run(
                [*self.command, json.dumps(task)],
                env=whole_environment(self.environment),
                capture_output=True,
                text=True,
                timeout=_LIMIT,
                check=False,
            )
        try:
            told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        except (ValueError, IndexError):
            said = "\n".join(done.stderr.strip().splitlines()[-6:])
            raise ConfigError(f"{self.name} ended with {done.returncode}:\n{said}") from None
        return {**told, "born": born}


def race(
    contestants: Sequence[Contestant],
    rounds: int,
    told: Callable[[str, Figures], None] = lambda _name, _figures: None,
) -> dict[str, list[Figures]]:
    """Every contestant once a round, in turn; ``told`` hears of each go."""
    goes: dict[str, list[Figures]] = {contestant.name: [] for contestant in contestants}
    for _ in range(rounds):
        for contestant in contestants:
            figures = contestant.go()
            goes[contestant.name].append(figures)
            told(contestant.name, figures)
    return goes


def ratios(ours: Sequence[Figures], theirs: Sequence[Figures]) -> dict[str, Spread]:
    """Ours as a part of theirs, round by round."""
    return {
        name: Spread.of(
            [getattr(a, name) / getattr(b, name) for a, b in zip(ours, theirs, strict=True)]
        )
        for name in MEASURED
    }


def spreads(goes: Sequence[Figures]) -> dict[str, Spread]:
    """The middle, least and greatest of each figure."""
    return {name: Spread.of([float(getattr(go, name)) for go in goes]) for name in MEASURED}
