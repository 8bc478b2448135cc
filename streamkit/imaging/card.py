"""A card in place of a picture: who would be seen there, and since when nobody was."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from streamkit.frame import Image
from streamkit.imaging.layout import Size, blank
from streamkit.imaging.palette import Color
from streamkit.imaging.text import Font, written

_GROUND: Final[Color] = (40, 40, 40)
_NAME: Final[Color] = (235, 235, 235)
_TEXT: Final[Color] = (150, 150, 150)


def card(size: Size, name: str, since: datetime | None) -> Image:
    """A new grey picture of ``size`` (width, height): ``name``, and ``no picture since hh:mm:ss``
    (local time; ``no picture yet`` for ``None``)."""
    image = blank(size, _GROUND)
    text = "no picture yet"
    if since is not None:
        text = f"no picture since {since.astimezone():%H:%M:%S}"
    middle = size[1] // 2
    _centred(image, name, middle, 1.6 * size[1] / 720, _NAME)
    _centred(image, text, middle + round(size[1] / 9), 1.0 * size[1] / 720, _TEXT)
    return image


def _centred(image: Image, text: str, bottom: int, scale: float, color: Color) -> None:
    """One line, made smaller where it does not fit."""
    width, text = image.shape[1], written(text)
    wide = Font.sized(scale).width(text)
    font = Font.sized(max(0.3, min(scale, scale * 0.92 * width / max(1, wide))))
    font.put(image, text, max(0, (width - font.width(text)) // 2), bottom, color)
