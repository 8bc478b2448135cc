"""How things are drawn: which layers, in which order, with which colours and widths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from streamkit.imaging.layout import Size
from streamkit.imaging.palette import PALETTE, Color

Layer: TypeAlias = Literal[
    "zones", "masks", "polygons", "traces", "boxes", "keypoints", "lines", "labels", "panel",
    "stamp",
]  # fmt: skip
LAYERS: Final[tuple[Layer, ...]] = get_args(Layer)
"""In the order in which they are drawn: each on top of those before it."""
USUAL: Final[tuple[Layer, ...]] = (
    "zones", "masks", "traces", "boxes", "keypoints", "lines", "labels",
)  # fmt: skip
"""Those that are drawn unless told otherwise, as far as there is something to draw."""
Corners: TypeAlias = Literal["square", "round"]


@dataclass(frozen=True, slots=True)
class Brush:
    """What is special about one layer; ``None``: as everywhere."""

    color: Color | None = None
    thickness: int | None = None
    """Width of lines in pixels."""
    opacity: float | None = None
    """Of areas, 0..1."""


@dataclass(frozen=True, slots=True)
class Style:
    """How things are drawn; widths follow the size of the picture unless they are given."""

    palette: Sequence[Color] = field(default=PALETTE)
    thickness: int | None = None
    """Width of lines in pixels."""
    text_scale: float | None = None
    """Size of text: 1.0 is 27 pixels high."""
    corners: Corners = "square"
    """Of boxes."""
    brushes: Mapping[Layer, Brush] = field(default_factory=dict)

    def color(self, key: int, layer: Layer = "boxes") -> Color:
        """The colour of an object, always the same for the same key."""
        return self.brush(layer).color or self.palette[key % len(self.palette)]

    def line(self, size: Size, layer: Layer = "boxes") -> int:
        """Width of a line on a picture of ``size``: two where video would lose one (4:2:0)."""
        given = self.brush(layer).thickness or self.thickness
        return given or max(1 if min(size) < 200 else 2, round(min(size) / 400))

    def text(self, size: Size) -> float:
        """Scale of text on a picture of ``size``."""
        return self.text_scale or min(max(min(size) / 1300, 0.38), 2.0)

    def opacity(self, layer: Layer, usual: float) -> float:
        """How much of an area is its colour."""
        given = self.brush(layer).opacity
        return usual if given is None else given

    def brush(self, layer: Layer) -> Brush:
        """What is special about ``layer``."""
        return self.brushes.get(layer, _PLAIN)


_PLAIN: Final = Brush()
PLAIN: Final = Style()
"""Nothing special."""
