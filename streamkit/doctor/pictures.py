"""The examination of any source through our own reader: first picture, rate, cost to decode."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from streamkit import plugins
from streamkit.doctor.findings import Finding, failed, good, warning
from streamkit.errors import SourceError, StreamErrorCode
from streamkit.sources import adapter_of, open_source

_WORTH = 0.5
"""Key frames only is worth telling of below this share of the whole cost."""


@dataclass(slots=True)
class Watched:
    """One go at a source."""

    first_after: float
    """Seconds from opening to the first picture."""
    pictures: int
    seconds: float
    """From the first picture to the last."""
    cpu: float
    """CPU seconds of this process meanwhile."""
    size: tuple[int, int]
    concealed: int
    clocks: dict[str, int] = field(default_factory=dict)

    @property
    def fps(self) -> float:
        """Pictures per second."""
        return (self.pictures - 1) / self.seconds if self.seconds > 0 else 0.0

    @property
    def load(self) -> float:
        """Share of one core."""
        return self.cpu / self.seconds if self.seconds > 0 else 0.0


def watch(reference: Any, seconds: float, **options: Any) -> Watched:
    """Read for ``seconds`` after the first picture. Raises ``SourceError``."""
    source = open_source(reference, **options)
    began = time.monotonic()
    seen: Watched | None = None
    with closing(source.read()) as captures:
        for capture in captures:
            now = time.monotonic()
            if seen is None:
                picture = capture.picture
                size = _size(picture)
                first, cpu = now, time.process_time()
                seen = Watched(now - began, 0, 0.0, 0.0, size, 0)
            seen.pictures += 1
            seen.seconds, seen.cpu = now - first, time.process_time() - cpu
            seen.concealed += capture.concealed
            seen.clocks[capture.clock.value] = seen.clocks.get(capture.clock.value, 0) + 1
            if seen.seconds >= seconds:
                break
    if seen is None:
        text = f"{source.reference}: there are no pictures in it"
        raise SourceError(text, StreamErrorCode.NO_VIDEO, source_reference=source.reference)
    return seen


def _size(picture: Any) -> tuple[int, int]:
    shape = getattr(picture, "shape", None)
    return (shape[1], shape[0]) if shape else (picture.width, picture.height)


@dataclass
class PictureExamination:
    """What it costs to watch this source, and whether key frames alone would do."""

    reference: Any
    options: Mapping[str, Any]
    seconds: float = 4.0
    whole: Watched | None = None
    key_only: Watched | None = None

    def steps(self) -> Iterator[Finding]:
        """First picture and cost; then the cost of key frames alone, where that can be asked."""
        finding = self._pictures()
        yield finding
        if self.whole is not None and self._can_choose():
            yield self._key_frames(self.whole)

    def _can_choose(self) -> bool:
        return "decode" in plugins.options_of(adapter_of(self.reference))

    def _pictures(self) -> Finding:
        try:
            self.whole = seen = watch(self.reference, self.seconds, **self.options)
        except SourceError as error:
            text = str(error).removeprefix(f"{error.source_reference}: ")
            advice = "See the steps above; if all of them are good, the codec may be damaged."
            return failed("pictures", text, advice, str(error.code))
        text = (
            f"{seen.size[0]}x{seen.size[1]}, the first after {seen.first_after:.2f} s, "
            f"{seen.fps:.1f} a second; decoding takes {100 * seen.load:.1f} % of a core"
        )
        facts = {
            "width": seen.size[0],
            "height": seen.size[1],
            "first_after": seen.first_after,
            "fps": seen.fps,
            "load": seen.load,
            "cpu_per_picture": seen.cpu / seen.pictures,
            "concealed": seen.concealed,
            "clock": max(seen.clocks, key=lambda name: seen.clocks[name]),
        }
        if seen.concealed:
            text += f"; {seen.concealed} of {seen.pictures} damaged"
            return warning("pictures", text, "Packets are lost: use transport: tcp.", **facts)
        return good("pictures", text, **facts)

    def _key_frames(self, whole: Watched) -> Finding:
        try:
            options = {**self.options, "decode": "key"}
            self.key_only = seen = watch(self.reference, self.seconds, **options)
        except SourceError as error:
            text = str(error).removeprefix(f"{error.source_reference}: ")
            return warning("key frames only", text, "", code=str(error.code))
        share = seen.load / whole.load if whole.load else 1.0
        facts = {"load": seen.load, "share": share, "fps": seen.fps}
        text = f"{seen.fps:.1f} pictures a second for {100 * share:.0f} % of that cost"
        worth = share < _WORTH and seen.fps > 0
        text += ": worth it where that rate is enough" if worth else ": not worth it"
        return good("key frames only", text, **facts, worth=worth)
