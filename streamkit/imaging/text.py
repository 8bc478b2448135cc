"""Text on pictures, in any script: OpenCV's own face, and further fonts for what it lacks."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias, cast

import cv2
import numpy as np
from PIL import ImageFont

from streamkit.frame import Image, Plane
from streamkit.imaging.palette import Color

_FACE: Final = cv2.FONT_HERSHEY_SIMPLEX
"""OpenCV 5 draws it with TrueType faces of its own: Latin, Cyrillic, Greek, Hebrew, Arabic, and
Chinese, Japanese and Korean characters. In place of what it lacks it draws question marks."""
_LONGEST: Final = 120
"""Characters of one text; the rest is cut off."""
_FALLBACKS: Final = (
    "NotoEmoji-Regular.ttf", "NotoSansSymbols2-Regular.ttf", "Symbola.ttf", "Symbola_hint.ttf",
    "seguisym.ttf", "Apple Symbols.ttf", "NotoSansThai-Regular.ttf", "Garuda.ttf",
    "NotoSansDevanagari-Regular.ttf", "NotoSansBengali-Regular.ttf", "NotoSansTamil-Regular.ttf",
    "Nirmala.ttf", "LeelawUI.ttf", "Arial Unicode.ttf", "FreeSans.ttf", "FreeSerif.ttf",
    "DejaVuSans.ttf",
)  # fmt: skip
"""What systems have; looked for only once such a character comes."""

Face: TypeAlias = ImageFont.FreeTypeFont


class Font(NamedTuple):
    """One size of text, measured once."""

    scale: float
    weight: int
    height: int
    """Pixels from the base line to the top of a capital."""
    baseline: int
    """Pixels below the base line."""
    pad: int
    """Room that looks well around a text."""

    @classmethod
    def sized(cls, scale: float) -> Font:
        """``scale`` 1.0 is 27 pixels from top to bottom."""
        return _sized(scale)

    def width(self, text: str) -> int:
        """Pixels that ``text`` takes."""
        if text.isascii():
            return self._width(text)
        wide: list[int] = [
            self._width(part) if face is None else _inked(part, face, self.pixels).width
            for part, face in _runs(text)
        ]
        return sum(wide)

    def put(self, image: Image, text: str, left: int, bottom: int, color: Color) -> None:
        """Write ``text`` with its base line at ``bottom``; what is outside of ``image`` is lost."""
        if text.isascii():
            self._put(image, text, left, bottom, color)
            return
        for part, face in _runs(text):
            if face is None:
                self._put(image, part, left, bottom, color)
                left += self._width(part)
            else:
                ink = _inked(part, face, self.pixels)
                _stamp(image, ink.bitmap, left, bottom - ink.above, color)
                left += ink.width

    @property
    def pixels(self) -> int:
        """The size other fonts are asked for."""
        return max(6, round(self.height * 1.35))

    def _width(self, text: str) -> int:
        (width, _), _ = cv2.getTextSize(text, _FACE, self.scale, self.weight)
        return int(width)

    def _put(self, image: Image, text: str, left: int, bottom: int, color: Color) -> None:
        cv2.putText(image, text, (left, bottom), _FACE, self.scale, color, self.weight, cv2.LINE_AA)


@lru_cache(maxsize=64)
def _sized(scale: float) -> Font:
    weight = max(1, round(scale * 2))
    (_, height), baseline = cv2.getTextSize("Ag", _FACE, scale, weight)
    return Font(scale, weight, height, baseline, max(3, round(scale * 9)))


def written(text: str) -> str:
    """``text`` on one line, without what cannot be seen, and not endlessly long."""
    if text.isascii() and text.isprintable() and len(text) <= _LONGEST:
        return text
    cut = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return "".join(_visible(cut))


def _visible(text: str) -> Iterator[str]:
    for char in text:
        kind = unicodedata.category(char)
        if kind in ("Cc", "Zl", "Zp", "Zs"):
            yield " "
        elif kind not in ("Cf", "Cs") and not "\ufe00" <= char <= "\ufe0f":
            yield char


@lru_cache(maxsize=4096)
def _runs(text: str) -> tuple[tuple[str, Face | None], ...]:
    """Parts of a text, each with the font that has it; ``None``: OpenCV's own."""
    faced: list[tuple[str, Face | None]] = []
    for char in text:
        if faced and unicodedata.category(char).startswith("M"):  # it belongs to the one before
            faced.append((char, faced[-1][1]))
        else:
            faced.append(_faced(char))
    parts = groupby(faced, key=lambda pair: pair[1])
    return tuple(("".join(char for char, _ in part), face) for face, part in parts)


@lru_cache(maxsize=8192)
def _faced(char: str) -> tuple[str, Face | None]:
    """A character and its font; a sign that no font has, in words."""
    if char in " ?" or _drawn(char) != _drawn("?"):
        return char, None
    known, last = _faces()
    face = next((face for face in known if _has(face, char)), None)
    if face is None and unicodedata.category(char).startswith("S"):
        return f"({unicodedata.name(char, 'sign').lower()})", None
    return char, face or last


def _drawn(char: str) -> bytes:
    canvas = np.zeros((48, 64), np.uint8)
    cv2.putText(canvas, char, (8, 34), _FACE, 1.0, (255,), 1)
    return canvas.tobytes()


@cache
def _faces() -> tuple[tuple[Face, ...], Face | None]:
    """Fonts of the system and those that Matplotlib brings: DejaVu, and as the last resort one that
    has a sign for each script."""
    spec = find_spec("matplotlib")
    home = Path(spec.origin).parent if spec is not None and spec.origin is not None else Path()
    folder = home / "mpl-data" / "fonts" / "ttf"
    names = (*_FALLBACKS, str(folder / "DejaVuSans.ttf"))
    found = tuple(face for name in names if (face := _opened(name)) is not None)
    return found, _opened(str(folder / "LastResortHE-Regular.ttf"))


def _opened(name: str) -> Face | None:
    try:
        return ImageFont.truetype(name, 32)
    except OSError:  # it is not there
        return None


def _has(face: Face, char: str) -> bool:
    return bytes(face.getmask(char)) != bytes(face.getmask("\U0010fffd"))


class _Ink(NamedTuple):
    """A text as it is stamped onto pictures."""

    bitmap: Plane
    """How much of each pixel is ink, 0..255; rows from the top of the font to its bottom."""
    above: int
    """Rows above the base line."""
    width: int


@lru_cache(maxsize=512)
def _inked(text: str, face: Face, size: int) -> _Ink:
    sized = face.font_variant(size=size)
    above, below = sized.getmetrics()
    mask, (left, top) = sized.getmask2(text, mode="L")
    width, height = mask.size
    bitmap: Plane = np.zeros((above + below, max(1, round(sized.getlength(text)))), np.uint8)
    ink = np.array(mask, np.uint8).reshape(height, width)
    x, y = max(0, round(left)), max(0, round(top))
    there = bitmap[y : y + height, x : x + width]
    there[:] = ink[: there.shape[0], : there.shape[1]]
    return _Ink(bitmap, above, bitmap.shape[1])


def _stamp(image: Image, ink: Plane, left: int, top: int, color: Color) -> None:
    """Blend ``color`` into ``image`` where there is ink."""
    y, x = slice(max(0, top), max(0, top + ink.shape[0])), slice(max(0, left), None)
    there = image[y, x][:, : ink.shape[1] - max(0, -left)]
    ink = ink[max(0, -top) :, max(0, -left) :][: there.shape[0], : there.shape[1]]
    if there.size and ink.size:
        share = cv2.merge((ink, ink, ink))
        plain = np.broadcast_to(np.array(color, np.uint8), there.shape)
        inked = cv2.multiply(plain, share, scale=1 / 255)
        there[:] = cast(Image, cv2.add(cv2.multiply(there, 255 - share, scale=1 / 255), inked))
