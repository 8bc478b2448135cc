"""Draws what was found onto a private copy of the picture, once for all sinks that show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from streamkit.errors import ConfigError
from streamkit.imaging.draw import Style, annotated, draw
from streamkit.imaging.marks import ColorBy, Labels, marks_of
from streamkit.imaging.palette import PALETTE, Color, bgr
from streamkit.predictions import Result
from streamkit.stages.base import Stage


class Annotate(Stage):
    """Boxes with labels. Predictions without boxes pass through undrawn."""

    def __init__(
        self,
        *,
        names: bool = True,
        confidence: bool = True,
        tracks: bool = True,
        color_by: ColorBy = "class",
        colors: Sequence[str] = (),
        thickness: int | None = None,
        text_scale: float | None = None,
    ) -> None:
        """What labels say (class name, confidence, track number) and how it looks.

        ``colors`` are ``"#RRGGBB"`` codes, taken in turn. ``thickness`` (pixels) and
        ``text_scale`` (1.0: 27 pixels high) follow the size of the picture unless given.
        Raises ``ConfigError``.
        """
        if color_by not in get_args(ColorBy):
            raise ConfigError(f"color_by={color_by!r}: choose from {', '.join(get_args(ColorBy))}")
        if (thickness is not None and thickness < 1) or (
            text_scale is not None and text_scale <= 0
        ):
            raise ConfigError("thickness must be at least 1 and text_scale above 0")
        self._labels = Labels(names, confidence, tracks, color_by)
        self._style = Style(_palette(colors), thickness, text_scale)

    def __call__(self, result: Result) -> Result:
        marks = marks_of(result.prediction, self._labels)
        if marks is None:
            return result
        if result.drawn is None:
            result.drawn = annotated(result.frame.image, marks, self._style)
        else:
            draw(result.drawn, marks, self._style)
        return result


def _palette(codes: Sequence[str]) -> Sequence[Color]:
    try:
        return tuple(bgr(code) for code in codes) or PALETTE
    except ValueError as error:
        raise ConfigError(str(error)) from error
