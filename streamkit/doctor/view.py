"""What a camera's pictures show, judged by a few: one and the same, black, nothing at all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from streamkit.doctor.findings import Finding, Verdict, good
from streamkit.errors import StreamErrorCode
from streamkit.frame import Planar, Plane
from streamkit.streams.health import SAMPLES, Health

_STILL = 0.6
"""Of the time that is looked, with one picture only, makes it frozen."""
_BLACK = 24.0
_EVEN = 4.0
"""Standard deviation of the brightness (0 to 255) below which there is no shape in a picture."""


class View:
    """Looks at a live source's pictures as they come, for ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self._health = Health(frozen_after=_STILL * seconds, view=False)
        self._last: Plane | None = None

    def look(self, picture: Any, now: float) -> None:
        """The picture of ``now`` (monotonic seconds)."""
        if not self._health.due(now):
            return
        luma = picture.luma if isinstance(picture, Planar) else picture[..., 1]
        self._health.look(luma, now)
        step = max(1, math.ceil(math.sqrt(luma.size / SAMPLES)))
        self._last = luma[::step, ::step].copy()

    def finding(self) -> Finding | None:
        """What they show; ``None`` when none was looked at."""
        if self._last is None:
            return None
        mean, spread = float(self._last.mean()), float(np.std(self._last))
        facts = {"brightness": mean, "contrast": spread, "frozen": self._health.frozen}
        if self._health.frozen:
            text = "one and the same picture again and again"
            advice = (
                "The camera hangs: switch it off and on. If it shows a still scene without any "
                "noise (a test pattern), give it frozen_after: null."
            )
            return _wrong(text, advice, StreamErrorCode.FROZEN, facts)
        if spread >= _EVEN:
            return good("view", "the pictures change, and there is something to see", **facts)
        if mean < _BLACK:
            advice = "Is it dark there, is the cap on the lens, does the infrared light work?"
            return _wrong("black", advice, StreamErrorCode.BLACK, facts)
        text = "an even grey without a shape in it"
        advice = "The lens is covered, sprayed or far out of focus, or the exposure is wrong."
        return _wrong(text, advice, StreamErrorCode.COVERED, facts)


def _wrong(text: str, advice: str, code: StreamErrorCode, facts: dict[str, Any]) -> Finding:
    return Finding("view", Verdict.WARNING, text, advice, str(code), facts)
