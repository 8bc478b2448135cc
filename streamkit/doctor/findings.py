"""What an examination found: one finding per step, in plain words, with the figures behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """How a step went."""

    GOOD = "good"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One step: what was seen, and what to change where something is to be changed."""

    step: str
    verdict: Verdict
    text: str
    advice: str = ""
    code: str | None = None
    """The stable code of what failed."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The figures, JSON-ready; seconds, bits per second, frames per second."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON; empty parts are left out."""
        told: dict[str, Any] = {"step": self.step, "verdict": self.verdict.value, "text": self.text}
        if self.advice:
            told["advice"] = self.advice
        if self.code:
            told["code"] = self.code
        return told | ({"facts": self.facts} if self.facts else {})


def good(step: str, text: str, **facts: Any) -> Finding:
    """Nothing to change here."""
    return Finding(step, Verdict.GOOD, text, facts=facts)


def warning(step: str, text: str, advice: str, **facts: Any) -> Finding:
    """It works, and could be better."""
    return Finding(step, Verdict.WARNING, text, advice, facts=facts)


def failed(step: str, text: str, advice: str, code: str | None = None, **facts: Any) -> Finding:
    """It does not work like this."""
    return Finding(step, Verdict.FAILED, text, advice, code, facts)


def skipped(step: str, text: str) -> Finding:
    """Not looked at."""
    return Finding(step, Verdict.SKIPPED, text)
