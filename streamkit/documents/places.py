"""Where in a document something stands, and what is said of it: one line for each mistake."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from streamkit.credentials import masked
from streamkit.errors import DocumentError

Path: TypeAlias = tuple[str | int, ...]
"""The keys and positions that lead to a value: ``("sources", 0, "name")``."""

_SECRET: Final = re.compile(
    r"pass|secret|token|key|credential|auth|user|login|url|address|header|dsn|webhook|reference",
    re.IGNORECASE,
)
"""Names of options whose values are nobody's business."""
_LONGEST: Final = 60


@dataclass(frozen=True, slots=True)
class Place:
    """A line and a column, from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Places:
    """The name of a document, and where its keys are; without lines where it had no text."""

    name: str = "document"
    of: Mapping[Path, Place] = field(default_factory=dict)
    filled: frozenset[Path] = frozenset()
    """Values that came out of variables."""

    def find(self, path: Path) -> Place | None:
        """Where ``path`` is, or the innermost part of it that is there."""
        for length in range(len(path), -1, -1):
            if (place := self.of.get(path[:length])) is not None:
                return place
        return None

    def without(self, keys: Iterable[str]) -> Places:
        """Without what is at these top-level keys: something else stands there now."""
        gone = set(keys)
        kept = {path: place for path, place in self.of.items() if not path or path[0] not in gone}
        return Places(self.name, kept, self.filled)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: what it is about, and what is wrong with it."""

    path: Path
    says: str
    value: str = ""
    """``=value``, where that may be told."""

    def told(self, places: Places) -> str:
        """``door.yaml:3:5: sources.0.name: ...``."""
        place = places.find(self.path)
        where = f"{places.name}:{place.line}:{place.column}" if place else places.name
        about = f"{dotted(self.path)}{self.value}: " if self.path else ""
        return f"{where}: {about}{self.says}"


def dotted(path: Path) -> str:
    """A path as one writes it: ``sources.0.name``."""
    return ".".join(str(part).strip() for part in path)


def refuse(problems: Iterable[Problem], places: Places) -> None:
    """Raise ``DocumentError`` with a line for each, in the order of the text, if there are any."""
    lines = {problem.told(places): _order(problem, places) for problem in problems}
    if lines:
        raise DocumentError(sorted(lines, key=lines.__getitem__))


def _order(problem: Problem, places: Places) -> tuple[int, int, str]:
    place = places.find(problem.path) or Place(0, 0)
    return place.line, place.column, dotted(problem.path)


def told_id(model_id: str) -> str:
    """A model's id as it may be shown: an address without its credentials and what it asks for,
    which may be a key."""
    return masked(model_id.partition("?")[0])


def shown(path: Path, value: Any, places: Places) -> str:
    """``=value`` for a text; nothing where it is none of ours to tell: what may be a password, what
    came from a variable, anything of a source but a number."""
    secret = any(_SECRET.search(str(part)) for part in path) or path in places.filled
    plain = isinstance(value, bool | int | float)
    if secret or not (plain or (isinstance(value, str) and path[:1] != ("sources",))):
        return ""
    text = repr(value) if plain else repr(masked(value))
    return f"={text if len(text) <= _LONGEST else text[:_LONGEST] + '...'}"
