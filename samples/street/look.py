"""Palettes of the sample street, and what the drawing of a moving object gets to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from street.pen import Pen, colour, colours

PAINTS = colours(
    "#d7473f #e8a33d #f2d16b #4f9d69 #3b7dd8 #2b4a8b #7d5ba6 #f4f1ea #c9ced6 #5b6470 "
    "#2f343b #e77f9b #58b7b3 #a65b3a"
)
CLOTHES = colours(
    "#e4572e #f3a712 #29335c #669bbc #a8c686 #5f0f40 #f6f5ae #3d5a80 #ee6c4d #98c1d9 "
    "#8d99ae #d90368 #2e294e #1b998b #f7f7f2"
)
TROUSERS = colours("#22304a #3b4a63 #4b3b2b #2a2a2e #6b7280 #7a5c3e")
SKINS = colours("#f6d3b3 #e8b68c #c98d5e #9a6239 #6a4126")
HAIR = colours("#2a1c14 #5b3a21 #a8743a #d9b36c #1b1b1f #8b8b90 #7c2f1d")
FURS = colours("#b9814a #6e4a2c #e9d8b8 #2d2a29 #8f8a83 #d79a54")
GLASS, GLASS_LIGHT = colours("#2f4554 #7fa3b5")
RUBBER, CHROME, LAMP = colours("#202226 #c8ccd0 #fff3c4")
STOP, TAIL = colours("#ff3b30 #8f1f1c")
CHASSIS, SAND, BASKET, COLLAR = colours("#3a3d42 #8a6a45 #b98b52 #d7263d")
TAXI, SIGN, CREAM = colour("#f4c430"), colour("#fffbe6"), colour("#f7f4ec")


@dataclass(frozen=True)
class Pose:
    """What changes from frame to frame: the distance travelled, braking, walking across."""

    travelled: float
    braking: bool = False
    across: float = 0.0


Draw = Callable[[Pen, Pose], None]
