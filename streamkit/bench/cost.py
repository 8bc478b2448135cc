"""What a frame costs beyond decode and session, and what a further stream takes of memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from streamkit.bench.contestants import Subject, ours
from streamkit.bench.flame import kind
from streamkit.bench.measure import Spread
from streamkit.bench.race import Contestant

Path_: TypeAlias = tuple[str, ...]
BENCH = "the bench's own callback"


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds per frame."""

    paths: Mapping[Path_, float]
    """Each path's own time, the median of all rounds."""
    whole: Spread
    glue: Spread
    """What is neither decode, nor session, nor drawing."""
    drawing: Spread
    over: Spread
    """The whole as a multiple of decode and session."""
    found: float
    """Objects per frame."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        spreads = {"whole": self.whole, "glue": self.glue, "drawing": self.drawing}
        spreads["over"] = self.over
        told: dict[str, Any] = {name: s.as_dict() for name, s in spreads.items()}
        paths = [{"path": list(path), "seconds": s} for path, s in sorted(self.paths.items())]
        return {**told, "found": self.found, "paths": paths}


def costs(subject: Subject, draw: bool, rounds: int, told: Callable[[], None]) -> Cost:
    """One clip, stage by stage, in a fresh process each round."""
    task = {**ours(subject).task, "draw": draw}
    child = Contestant("profile", [sys.executable, "-m", "streamkit.bench.profile"], task)
    goes: list[dict[Path_, float]] = []
    found = 0.0
    for _ in range(rounds):
        report = child.report()
        goes.append({tuple(path): s for path, s in report["paths"] if path[0] != BENCH})
        found = report["found"] / subject.frames
        told()
    paths = {
        path: float(np.median([go.get(path, 0.0) for go in goes]))
        for path in dict.fromkeys(path for go in goes for path in go)
    }
    parts = [_by_kind(go) for go in goes]
    whole = [sum(part.values()) for part in parts]
    over = [w / (part["decode"] + part["session"]) for w, part in zip(whole, parts, strict=True)]
    spreads = {name: Spread.of([part[name] for part in parts]) for name in ("ours", "draw")}
    return Cost(paths, Spread.of(whole), spreads["ours"], spreads["draw"], Spread.of(over), found)


def _by_kind(own: Mapping[Path_, float]) -> dict[str, float]:
    """Seconds of each kind."""
    sums = dict.fromkeys(("decode", "session", "draw", "ours"), 0.0)
    for path, seconds in own.items():
        sums[kind(path)] += seconds
    return sums


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that are resident, over the number of cameras."""

    resident: Mapping[int, Spread]
    each: float
    """For each further camera: the slope of the line through all medians."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        sizes = {str(count): spread.median for count, spread in self.resident.items()}
        return {"resident": sizes, "each": self.each}


def memories(
    subject: Subject,
    counts: Sequence[int],
    fps: float,
    rate: float,
    seconds: float,
    rounds: int,
    told: Callable[[str], None],
) -> Memory:
    """Each count of cameras at ``rate``, ``fps`` predictions a second wanted of each."""
    task = {**ours(subject).task, "fps": fps, "rate": rate, "seconds": seconds}
    command = [sys.executable, "-m", "streamkit.bench.cameras"]
    found: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count in counts:
            child = Contestant(f"{count} cameras", command, {**task, "cameras": count})
            found[count].append(child.report()["resident"])
            told(f"{count} cameras")
    resident = {count: Spread.of(sizes) for count, sizes in found.items()}
    medians = [spread.median for spread in resident.values()]
    each = float(np.polyfit(list(resident), medians, 1)[0]) if len(resident) > 1 else 0.0
    return Memory(resident, each)
