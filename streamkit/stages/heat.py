"""Where objects spend their time: seconds per cell of the picture, as an array and as a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from streamkit.errors import ConfigError
from streamkit.frame import Image, VideoFrame
from streamkit.predictions import Detections, Floats, Result
from streamkit.stages.base import Gives, Manifest, Needs, Stage
from streamkit.stages.memory import StreamTime
from streamkit.stages.places import Anchor, anchors
from streamkit.stages.seen import names_of, of_classes, tell

_LONGEST: Final = 1.0
"""Seconds an object is taken to have stayed at most, since the frame before."""
_CELLS: Final = 512
"""Cells across and down at most."""


class Heat(Stage):
    """Counts the seconds that objects were seen in each cell: whatever the rate of the stream.

    ``seconds`` is the array; ``picture(frame)`` lays it over a frame. With ``path`` it is written
    as PNG every ``every`` seconds of the stream; ``{source}`` in it is the stream's number. No
    tracks are needed.
    """

    manifest: ClassVar = Manifest(
        "Heat map",
        Needs(("detections",), stream=True),
        Gives(measures=("hottest", "seconds"), picture=True),
        stateful=True,
        examples=({"heat": {"half_life": 60, "draw": True}},),
    )

    def __init__(  # noqa: PLR0913 - each is an option of a document
        self,
        *,
        name: str = "heat",
        anchor: Anchor = "bottom",
        classes: Sequence[str] = (),
        cells: int = 128,
        half_life: float | None = None,
        path: str | Path | None = None,
        every: float = 10.0,
        draw: bool = False,
    ) -> None:
        """``cells``: across the picture. ``half_life``: seconds after which what was seen counts
        half; for ever where it is ``None``. ``path``: of a PNG. ``every``: seconds between two
        writings of it. ``draw``: lay it over the picture that sinks show. Raises
        ``ConfigError``."""
        if not 2 <= cells <= _CELLS or every <= 0 or (half_life is not None and half_life <= 0):
            raise ConfigError(f"cells are from 2 to {_CELLS}; every and half_life above 0")
        self._name, self._anchor, self._classes = name, anchor, names_of(classes)
        self._cells, self._half_life = cells, half_life
        self._path, self._every, self._draw = path, every, draw
        self._time, self._at, self._due = StreamTime(), 0.0, every
        self.seconds: Floats = np.zeros((0, 0), np.float32)
        """(rows, cells) ``float32``; empty before the first frame."""

    def __call__(self, result: Result) -> Result:
        if not isinstance(result.prediction, Detections):
            return result
        at = self._time(result.frame)
        elapsed, self._at = at - self._at, at
        self._add(of_classes(result.prediction, self._classes), elapsed)
        if self._path is not None and at >= self._due:
            self._due = at + self._every
            self._write(result.frame, str(self._path))
        if self._draw:
            result.drawn = self.picture(result.frame, result.image)
        hottest, total = float(self.seconds.max()), float(self.seconds.sum())
        measure = {"kind": "heat", "hottest": round(hottest, 3), "seconds": round(total, 3)}
        return tell(result, self._name, measure)

    def end(self, result: Result) -> Result:
        """Writes what there is, however short the stream was."""
        if self._path is not None and self.seconds.size:
            self._write(result.frame, str(self._path))
        return result

    def picture(self, frame: VideoFrame, image: Image | None = None) -> Image:
        """``frame`` with the heat over it, H x W x 3 BGR ``uint8``: the hottest cell is red."""
        from streamkit.imaging.heat import warmed

        return warmed(frame.image if image is None else image, self.seconds)

    def _add(self, found: Detections, elapsed: float) -> None:
        width, height = found.image_size
        rows = max(1, min(_CELLS, round(self._cells * height / width)))
        if self.seconds.shape != (rows, self._cells):
            self.seconds = np.zeros((rows, self._cells), np.float32)
        if self._half_life is not None:
            self.seconds *= np.float32(0.5 ** (elapsed / self._half_life))
        x, y = anchors(found.xyxy, self._anchor).T
        across = np.clip(x * self._cells / width, 0, self._cells - 1).astype(np.int64)
        down = np.clip(y * rows / height, 0, rows - 1).astype(np.int64)
        np.add.at(self.seconds, (down, across), np.float32(min(elapsed, _LONGEST)))

    def _write(self, frame: VideoFrame, path: str) -> None:
        """Under its name only once it is whole."""
        import cv2

        target = Path(path.replace("{source}", str(frame.source_id)))
        target.parent.mkdir(parents=True, exist_ok=True)
        _, code = cv2.imencode(".png", self.picture(frame))
        part = target.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(code.tobytes())
        part.replace(target)
