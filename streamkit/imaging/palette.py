"""Colours: which one an object gets, and which ink is readable on it."""

from __future__ import annotations

from typing import TypeAlias

Color: TypeAlias = tuple[int, int, int]
"""Blue, green, red, each 0..255."""

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)
GREEN: Color = (0, 255, 0)
INK: Color = (24, 20, 18)


def bgr(code: str) -> Color:
    """``"#RRGGBB"`` as a colour. Raises ``ValueError`` for anything else."""
    digits = code.removeprefix("#")
    if len(digits) != 6:
        raise ValueError(f"{code!r} is not a colour; write it like '#4892EA'")
    red, green, blue = bytes.fromhex(digits)
    return blue, green, red


PALETTE: tuple[Color, ...] = tuple(
    bgr(code)
    for code in (
        "#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2",
    )
)  # fmt: skip
"""Okabe and Ito, "Color Universal Design" (2008): told apart also by who sees fewer colours."""

FAMILIAR: tuple[Color, ...] = tuple(
    bgr(code)
    for code in (
        "#4892EA", "#00EEC3", "#FE4EF0", "#F4004E", "#FA7200",
        "#EEEE17", "#90FF00", "#78C1D2", "#8C29FF",
    )
)  # fmt: skip
"""The nine colours people know from the neighbour's pictures, in its order."""


def ink_on(color: Color) -> Color:
    """Black or white, whichever stands out on ``color`` (luma of ITU-R BT.601)."""
    blue, green, red = color
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 127 else WHITE
