"""When which fault happens: written as YAML or as one word, played in the order of time."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from streamkit.chaos.faults import Fault
from streamkit.chaos.faults import fault as checked
from streamkit.errors import ConfigError

if TYPE_CHECKING:
    from streamkit.chaos.lab import LabCamera

UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
TIMES = ("at", "every", "for", "times")
WORD = re.compile(r"(?P<name>\w+)(:(?P<params>[^@/+]*))?(@(?P<at>[^/+]+))?(/(?P<every>[^+]+))?"
                  r"(\+(?P<for>.+))?")  # fmt: skip


class Span(NamedTuple):
    """Seconds, drawn evenly from a range (often of one value)."""

    least: float
    most: float

    @classmethod
    def of(cls, written: object, what: str) -> Span:
        """``10``, ``10s``, ``500ms``, ``2m``, ``1h``, or a range ``5s..10s``."""
        ends = [_seconds(end.strip(), what) for end in str(written).split("..", 1)]
        if ends[0] > ends[-1]:
            raise ConfigError(f"{what}: the range {written} ends before it begins")
        return cls(ends[0], ends[-1])

    def draw(self, random: Random) -> float:
        """One of them."""
        return random.uniform(self.least, self.most)


def _seconds(text: str, what: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)", text)
    if found is None:
        raise ConfigError(f"{what}: {text!r} is no duration; write 10s, 500ms, 2m or 5s..10s")
    return float(found[1]) * UNITS[found[2]]


class Cue(NamedTuple):
    """One fault at one time."""

    at: float
    """Seconds from the beginning."""
    camera: str
    fault: Fault
    seconds: float | None
    """How long; ``None``: until it is cleared, or one moment's."""


class Entry(NamedTuple):
    """One line of a script: a fault (or one drawn from several), and when."""

    choices: tuple[Fault, ...]
    at: Span | None = None
    every: Span | None = None
    lasting: Span | None = None
    times: int | None = None

    @classmethod
    def of(cls, written: object) -> Entry:
        """``{freeze: {at: 10s, for: 5s}}``, ``{any: {of: [...], every: 5s..20s}}``, or a word.

        ``ConfigError`` names what is wrong and the choices.
        """
        if isinstance(written, str):
            return cls.word(written)
        if not isinstance(written, Mapping) or len(written) != 1:
            raise ConfigError("a fault is written as a word, or as name: {at, every, for, ...}")
        name, options = next(iter(written.items()))
        if not isinstance(options, Mapping | None):
            raise ConfigError(f"{name}: expected a mapping of times and parameters")
        return cls._made(str(name), dict(options or {}))

    @classmethod
    def word(cls, text: str) -> Entry:
        """``name[:parameter=value,...][@at][/every][+for]``, such as ``freeze@10+5``."""
        found = WORD.fullmatch(text.strip())
        if found is None:
            raise ConfigError(f"{text!r}: write name[:parameter=value,...][@at][/every][+for]")
        options: dict[str, Any] = {}
        for pair in filter(None, (found["params"] or "").split(",")):
            key, _, value = pair.partition("=")
            options[key.strip()] = yaml.safe_load(value)
        options |= {key: found[key] for key in ("at", "every", "for") if found[key]}
        return cls._made(found["name"], options)

    @classmethod
    def _made(cls, name: str, options: dict[str, Any]) -> Entry:
        times = {key: options.pop(key) for key in TIMES if key in options}
        choices = _choices(name, options)
        spans = {key: Span.of(times[key], f"{name}: {key}") for key in TIMES[:3] if key in times}
        if "every" in spans and spans["every"].least <= 0:
            raise ConfigError(f"{name}: every: must be more than 0")
        if "for" in spans and spans["for"].least <= 0:
            raise ConfigError(f"{name}: for: must be more than 0")
        if "for" in spans and not any(fault.lasts for fault in choices):
            raise ConfigError(f"{name} is a moment's: it takes no duration")
        repeats = times.get("times")
        if repeats is not None and (not isinstance(repeats, int) or repeats < 1):
            raise ConfigError(f"{name}: times: expected a whole number from 1 on")
        return cls(choices, spans.get("at"), spans.get("every"), spans.get("for"), repeats)

    def cues(self, camera: str, random: Random) -> Iterator[Cue]:
        """All its cues for one camera, in order; endless with ``every`` and without ``times``."""
        first = self.at or self.every
        at = first.draw(random) if first else 0.0
        for number in count():
            if number >= (self.times or (number + 1 if self.every else 1)):
                return
            fault = random.choice(self.choices)
            lasting = self.lasting.draw(random) if self.lasting else None
            yield Cue(at, camera, fault, lasting if fault.lasts else None)
            if self.every is not None:
                at += self.every.draw(random)

    def now(self, camera: LabCamera) -> None:
        """Begin it at once. ``ConfigError`` where it says when."""
        if self.at or self.every or self.times:
            raise ConfigError("a typed command begins at once: no @at, no /every")
        for cue in self.cues(camera.name, Random()):
            camera.apply(cue.fault, seconds=cue.seconds)


def _choices(name: str, options: dict[str, Any]) -> tuple[Fault, ...]:
    if name != "any":
        return (checked(name, options),)
    of = options.pop("of", None)
    if not isinstance(of, Sequence) or isinstance(of, str) or not of:
        raise ConfigError("any: of: expected a list of faults")
    if options:
        raise ConfigError(f"any takes of, {', '.join(TIMES)}; not {', '.join(options)}")
    return tuple(_choice(one) for one in of)


def _choice(written: object) -> Fault:
    entry = Entry.of(written)
    if len(entry.choices) != 1 or entry[1:] != (None,) * 4:
        raise ConfigError("any: of: faults and their parameters only; times stand beside it")
    return entry.choices[0]


def cues(script: Mapping[str, Sequence[Entry]], seed: int) -> Iterator[Cue]:
    """The cues of all cameras in the order of time: the same for the same script and seed."""
    parts = [
        entry.cues(camera, Random(f"{seed}/{camera}/{number}"))
        for camera, entries in script.items()
        for number, entry in enumerate(entries)
    ]
    return heapq.merge(*parts, key=lambda cue: cue.at)
