"""The examination of any source through our own reader: first picture, rate, cost to decode."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from streamkit import plugins
from streamkit.doctor.findings import Finding, Verdict, failed, good, warning
from streamkit.doctor.view import View
from streamkit.errors import SourceError, StreamErrorCode
from streamkit.sources import adapter_of, open_source
from streamkit.sources.base import Capture

_BURST = 0.8
"""Seconds in which a camera may hand over what it had in store."""
_PAUSES = (1.0, 2.0, 4.0)
"""Seconds until a camera that let nobody in is asked again: some are slow to let go of the last
viewer, who here was the examination itself."""
_BUSY = (StreamErrorCode.CONNECTION_FAILED, StreamErrorCode.REFUSED, StreamErrorCode.LOST)
_ADVICE = {
    StreamErrorCode.NOT_FOUND: "Is it spelt right? A camera's address begins with rtsp://, a "
    "webcam is a number or /dev/video0, anything else is a file.",
    StreamErrorCode.REFUSED: "Is the server running, is the port right?",
    StreamErrorCode.UNREACHABLE: "Check the address and the network.",
    StreamErrorCode.TIMEOUT: "A firewall may be dropping the packets, or the server hangs.",
    StreamErrorCode.CODEC_UNSUPPORTED: "See whether another player shows it: it may be damaged, or "
    "no video.",
}
"""Where nothing was looked at before."""
_WORTH = 0.5
"""Key frames only is worth telling of below this share of the whole cost."""


@dataclass(slots=True)
class Watched:
    """One go at a source."""

    first_after: float
    """Seconds from opening to the first picture."""
    size: tuple[int, int]
    live: bool
    pictures: int = 0
    """Measured ones, without the burst a connection begins with."""
    seconds: float = 0.0
    """That the measured ones took."""
    cpu: float = 0.0
    """CPU seconds of this process meanwhile."""
    concealed: int = 0
    clocks: Counter[str] = field(default_factory=Counter)
    view: View | None = None
    """What they show, of a live source."""

    @property
    def fps(self) -> float:
        """Pictures per second."""
        return self.pictures / self.seconds if self.seconds > 0 else 0.0

    @property
    def cost(self) -> float:
        """CPU seconds per picture."""
        return self.cpu / self.pictures if self.pictures else 0.0

    @property
    def load(self) -> float:
        """Share of one core."""
        return self.cpu / self.seconds if self.seconds > 0 else 0.0


def watch(reference: Any, seconds: float, **options: Any) -> Watched:
    """Read for ``seconds`` after the first picture. Raises ``SourceError``."""
    source = open_source(reference, **options)
    began = time.monotonic()
    with closing(source.read()) as captures:
        first = next(captures, None)
        if first is None:
            text = f"{source.reference}: there are no pictures in it"
            raise SourceError(text, StreamErrorCode.NO_VIDEO, source_reference=source.reference)
        seen = Watched(time.monotonic() - began, _size(first.picture), source.live)
        seen.view = View(seconds) if source.live else None
        _measure(seen, captures, seconds)
    return seen


def _measure(seen: Watched, captures: Iterator[Capture], seconds: float) -> None:
    begun = time.monotonic()
    settled, cpu = begun, time.process_time()
    for capture in captures:
        now = time.monotonic()
        seen.concealed += capture.concealed
        seen.clocks[capture.clock.value] += 1
        if seen.live and now < begun + _BURST:
            settled, cpu = now, time.process_time()
            continue
        if seen.view is not None:
            seen.view.look(capture.picture, now)
        seen.pictures += 1
        seen.seconds, seen.cpu = now - settled, time.process_time() - cpu
        if now >= begun + seconds:
            break


def _size(picture: Any) -> tuple[int, int]:
    shape = getattr(picture, "shape", None)
    return (shape[1], shape[0]) if shape else (picture.width, picture.height)


@dataclass
class PictureExamination:
    """What it costs to watch this source, and whether key frames alone would do."""

    reference: Any
    options: Mapping[str, Any]
    seconds: float = 4.0
    after_others: bool = False
    """Somebody read this camera a moment ago, who may still count as its viewer."""
    whole_packets: bool = False
    """All of its packets came, and in their order."""
    can_thin: bool = True
    """Not every one of its pictures is a key frame."""
    whole: Watched | None = None
    key_only: Watched | None = None

    def steps(self) -> Iterator[Finding]:
        """First picture and cost, what it shows; then the cost of key frames alone, where that can
        be asked."""
        finding = self._pictures()
        yield finding
        if self.whole is None:
            return
        if self.whole.view is not None and (shown := self.whole.view.finding()) is not None:
            yield shown
        if self.can_thin and "decode" in plugins.options_of(adapter_of(self.reference)):
            yield self._key_frames(self.whole)

    def _pictures(self) -> Finding:
        try:
            self.whole = seen = self._watched()
        except SourceError as error:
            text = str(error).removeprefix(f"{error.source_reference}: ")
            advice = "See the steps above; if all of them are good, the codec may be damaged."
            if not self.after_others:
                advice = _ADVICE.get(StreamErrorCode(error.code), "")
            return failed("pictures", text, advice, str(error.code))
        text = f"{seen.size[0]}x{seen.size[1]}, the first after {seen.first_after:.2f} s, "
        text += (
            f"{seen.fps:.1f} a second; decoding one takes {1e3 * seen.cost:.2f} ms of CPU"
            if seen.pictures
            else "and no other"
        )
        if seen.live:
            text += f", {100 * seen.load:.1f} % of a core"
        facts = {
            "width": seen.size[0],
            "height": seen.size[1],
            "first_after": seen.first_after,
            "fps": seen.fps,
            "load": seen.load,
            "cpu_per_picture": seen.cost,
            "concealed": seen.concealed,
            "clock": seen.clocks.most_common(1)[0][0] if seen.clocks else None,
        }
        if seen.concealed:
            text += f"; {seen.concealed} of {seen.pictures} damaged"
            return warning("pictures", text, self._cure(), **facts)
        return good("pictures", text, **facts)

    def _cure(self) -> str:
        """Of damaged pictures."""
        if self.whole_packets:
            return (
                "All packets came, in order: the camera sends damaged data. Newer firmware, "
                "another codec or profile, or switch it off and on."
            )
        if self.options.get("transport") == "tcp":
            return "Packets are lost or mixed up over TCP too: lower the camera's bitrate or rate."
        return "Packets are lost: use transport: tcp."

    def _watched(self) -> Watched:
        for pause in _PAUSES if self.after_others else ():
            try:
                return watch(self.reference, self.seconds, **self.options)
            except SourceError as error:
                if error.code not in _BUSY:
                    raise
                time.sleep(pause)
        return watch(self.reference, self.seconds, **self.options)

    def _key_frames(self, whole: Watched) -> Finding:
        try:
            options = {**self.options, "decode": "key"}
            self.key_only = seen = watch(self.reference, self.seconds, **options)
        except SourceError as error:
            text = str(error).removeprefix(f"{error.source_reference}: ")
            return Finding("key frames only", Verdict.WARNING, text, code=str(error.code))
        share = seen.load / whole.load if whole.load else 1.0
        facts = {"load": seen.load, "share": share, "fps": seen.fps}
        text = f"{seen.fps:.1f} pictures a second for {100 * share:.0f} % of that cost"
        worth = share < _WORTH and seen.fps > 0
        text += ": worth it where that rate is enough" if worth else ": not worth it"
        return good("key frames only", text, **facts, worth=worth)
