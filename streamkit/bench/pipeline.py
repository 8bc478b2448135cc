"""A whole pipeline set beside its own floor and beside other packages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamkit.bench.contestants import Subject, ours, peer
from streamkit.bench.measure import Spread
from streamkit.bench.race import Contestant, Figures, race, ratios, spreads

Told = Callable[[str, Figures], None]


@dataclass(frozen=True, slots=True)
class Race:
    """All goes of all contestants; the first is the one the others are measured by."""

    goes: Mapping[str, Sequence[Figures]]

    @property
    def first(self) -> str:
        """Whose ratios are told."""
        return next(iter(self.goes))

    def ratios(self, other: str) -> dict[str, Spread]:
        """The first one's figures as a part of ``other``'s."""
        return ratios(self.goes[self.first], self.goes[other])

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            name: {
                "found": [go.found for go in goes],
                "figures": _plain(spreads(goes)),
                "ratio": _plain(self.ratios(name)),
            }
            for name, goes in self.goes.items()
        }


def raced(
    subject: Subject, others: Mapping[str, Path], rounds: int, folder: Path, told: Told
) -> Race:
    """We, and each package of ``others`` (name to its Python), in turn."""
    contestants = [ours(subject)]
    contestants += [peer(subject, name, python, folder) for name, python in others.items()]
    return Race(race(contestants, rounds, told))


@dataclass(frozen=True, slots=True)
class Floor:
    """CPU seconds per frame: of each part alone, and of the whole pipeline."""

    parts: Mapping[str, Spread]
    whole: Spread
    over: Spread
    """The whole as a multiple of decode and session alone, round by round."""
    glue: Spread
    """The whole less decode and session."""
    provider: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        spread = {"whole": self.whole, "over": self.over, "glue": self.glue}
        told = _plain(spread)
        return {"parts": _plain(dict(self.parts)), **told, "provider": self.provider}


def limited(subject: Subject, rounds: int, told: Callable[[], None]) -> Floor:
    """The floor and the pipeline, in turn, each in a fresh process."""
    pipeline = ours(subject)
    command = [sys.executable, "-m", "streamkit.bench.floor"]
    floor = Contestant("floor", command, pipeline.task)
    floors: list[dict[str, float]] = []
    wholes: list[float] = []
    provider = ""
    for _ in range(rounds):
        report = floor.report()
        provider = report["provider"]
        floors.append(report["parts"])
        wholes.append(pipeline.go().cpu)
        told()
    least = np.array([parts["decode"] + parts["session"] for parts in floors])
    whole = np.array(wholes)
    parts = {name: Spread.of([each[name] for each in floors]) for name in floors[0]}
    over, glue = (Spread.of(list(map(float, v))) for v in (whole / least, whole - least))
    return Floor(parts, Spread.of(wholes), over, glue, provider)


def _plain(spreads: Mapping[str, Spread]) -> dict[str, dict[str, float]]:
    return {name: spread.as_dict() for name, spread in spreads.items()}
