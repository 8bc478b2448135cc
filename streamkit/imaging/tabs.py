"""Where labels stand: inside of the picture, beside their objects, and little upon one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import cv2
import numpy as np

from streamkit.frame import Image
from streamkit.imaging.layout import Size, size_of
from streamkit.imaging.palette import Color, ink_on
from streamkit.imaging.text import Font, written

_CELL: Final = 4
"""Pixels across what is known to be taken or free."""
_CROWDED: Final = 0.5
"""Share of a tab's place that may be taken."""


class Tabs:
    """Filled tabs with text on one picture; each takes the first free place it may have."""

    def __init__(self, image: Image, font: Font) -> None:
        self._image, self._font = image, font
        self._size = size_of(image)
        rows, columns = -(-self._size[1] // _CELL), -(-self._size[0] // _CELL)
        self._taken = np.zeros((rows, columns), np.uint8)
        self.height = font.height + font.baseline + font.pad
        """Of one tab."""

    def width(self, text: str) -> int:
        """Of the tab for ``text``."""
        return self._font.width(text) + 2 * self._font.pad

    def take(self, left: int, top: int, right: int, bottom: int) -> None:
        """Nothing may stand here any more."""
        self._cells(left, top, right, bottom)[:] = 1

    def beside(self, box: Sequence[int], text: str, color: Color, line: int) -> None:
        """A tab at a box: above it, where there is room, else in it, below it, or at its side; none
        where it could hardly be read, for others stand there."""
        text, width = self._fitting(text)
        height = self.height
        best, least = (0, 0), width * height
        for place in _around(box, (width, height), line):
            inside = self._moved_in(place, width, height)
            crowd = self._crowd(inside, width, height)
            if crowd < least:
                best, least = inside, crowd
            if not crowd:
                break
        if least <= _CROWDED * width * height / _CELL**2:
            self._put(best, width, text, color)

    def put(self, left: int, top: int, text: str, color: Color) -> None:
        """A tab with its upper left corner here, as far as it fits."""
        text, width = self._fitting(text)
        self._put(self._moved_in((left, top), width, self.height), width, text, color)

    def _put(self, place: tuple[int, int], width: int, text: str, color: Color) -> None:
        (left, top), font = place, self._font
        bottom = top + self.height
        self.take(left, top, left + width, bottom)
        cv2.rectangle(self._image, (left, top), (left + width - 1, bottom - 1), color, cv2.FILLED)
        base = bottom - font.baseline - font.pad // 2
        font.put(self._image, text, left + font.pad, base, ink_on(color))

    def _fitting(self, text: str) -> tuple[str, int]:
        """``text``, cut where it is wider than the picture, and how wide its tab is."""
        text = written(text)
        width = self.width(text)
        if width <= self._size[0]:
            return text, width
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            fits = self.width(f"{text[:middle]}…") <= self._size[0]
            low, high = (middle, high) if fits else (low, middle - 1)
        cut = f"{text[:low]}…" if low else ""
        return cut, self.width(cut)

    def _moved_in(self, place: tuple[int, int], width: int, height: int) -> tuple[int, int]:
        left, top = place
        return (
            max(0, min(left, self._size[0] - width)),
            max(0, min(top, self._size[1] - height)),
        )

    def _crowd(self, place: tuple[int, int], width: int, height: int) -> int:
        """How much is taken of a place."""
        left, top = place
        return cv2.countNonZero(self._cells(left, top, left + width, top + height))

    def _cells(self, left: int, top: int, right: int, bottom: int) -> Image:
        rows = slice(max(0, top) // _CELL, -(-bottom // _CELL))
        return self._taken[rows, max(0, left) // _CELL : -(-right // _CELL)]


def _around(box: Sequence[int], size: Size, line: int) -> Iterator[tuple[int, int]]:
    """Left and top of the places a tab may have, the best first."""
    left, top, right, bottom = box
    width, height = size
    out = line // 2
    if top >= height:
        yield left - out, top - height
        yield right - width + out + 1, top - height
    yield left - out, top
    yield right - width + out + 1, top
    yield left - out, bottom + out
    yield left - out, bottom - height
    yield right + out + 1, top
    yield left - width - out, top
