"""Sources and stages that documents of tests name: ``tests.documents.doubles:Steady``."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

from streamkit.events import Event
from streamkit.frame import Clock
from streamkit.predictions import Result
from streamkit.sources.base import Capture, Captures, Source, SourceProperties
from streamkit.stages.base import Gives, Manifest, Needs
from tests.fakes import START, picture


class Steady(Source):
    """Not live, so that nothing of it is ever dropped; goes on at ``fps`` until interrupted."""

    live = False

    def __init__(self, fps: float = 20.0, shade: int = 0) -> None:
        self.reference = f"steady {shade}"
        self.properties: SourceProperties | None = None
        self._fps, self._shade = fps, shade
        self._interrupted = threading.Event()

    def read(self) -> Captures:
        self.properties = SourceProperties(8, 8, -1, False, self._fps)
        number = 0
        while not self._interrupted.wait(1 / self._fps):
            at = START + timedelta(seconds=number / self._fps)
            yield Capture(picture(self._shade + number), at, Clock.PTS)
            number += 1

    def interrupt(self) -> None:
        self._interrupted.set()


class Tally:
    """A stage that counts what it has seen, and says so when it ends."""

    manifest: ClassVar = Manifest("Tally", Needs(stream=True), Gives(("tally",)), stateful=True)

    def __init__(self, name: str = "tally", step: int = 1) -> None:
        self._name, self._step, self.count = name, step, 0

    def __call__(self, result: Result) -> Result:
        self.count += self._step
        result.measures = {**result.measures, self._name: {"count": self.count}}
        return result

    def end(self, result: Result) -> Result:
        frame = result.frame
        event = Event(
            "tally", frame.source_id, self._name, frame.timestamp, frame.frame_id, None,
            {"count": self.count},
        )  # fmt: skip
        return replace(result, events=(*result.events, event))
