"""Draws what was found onto a private copy of the picture, once for all sinks that show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, get_args

from streamkit import plugins
from streamkit.errors import ConfigError
from streamkit.imaging.canvas import BODY
from streamkit.imaging.layers import paint
from streamkit.imaging.marks import ColorBy, Labels
from streamkit.imaging.palette import PALETTE, Color, bgr
from streamkit.imaging.scene import scene_of
from streamkit.imaging.style import LAYERS, USUAL, Brush, Corners, Layer, Style
from streamkit.predictions import Result
from streamkit.stages.base import Gives, Manifest, Needs, Stage

_WRITTEN: Final[frozenset[Layer]] = frozenset(("panel", "stamp"))
"""Layers that have something to say about any picture."""


class Annotate(Stage):
    """All layers in one pass: what is in the prediction and in the measures of stages before it.

    In this order, each upon those before it: zones, masks, polygons (outlines of masks), traces,
    boxes, keypoints, lines, labels, panel (counts and measures), stamp (time and name). Boxes that
    were carried over from an earlier picture are dashed. A result in which there is nothing to draw
    passes undrawn.
    """

    manifest: ClassVar = Manifest(
        title="Annotate",
        needs=Needs(predictions=("any",), picture=True),
        gives=Gives(picture=True),
        examples=(
            {"annotate": {}},
            {"annotate": {"layers": ["boxes", "labels", "stamp"], "color_by": "track"}},
            {"annotate": {"layers": {"boxes": {"thickness": 3}, "masks": {"opacity": 0.3}},
                          "corners": "round"}},
        ),
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - each is an option of a document
        self,
        *,
        layers: Sequence[str] | Mapping[str, Mapping[str, Any] | None] = USUAL,
        names: bool = True,
        confidence: bool = True,
        tracks: bool = True,
        attributes: bool = True,
        color_by: ColorBy = "class",
        colors: Sequence[str] = (),
        thickness: int | None = None,
        text_scale: float | None = None,
        corners: Corners = "square",
        skeleton: Sequence[tuple[str, str]] = BODY,
    ) -> None:
        """``layers``: names of those to draw, or each with what is special about it (color,
        thickness, opacity). ``names``: labels say the class. ``confidence``: labels say how sure
        the model is. ``tracks``: labels say the track number. ``attributes``: labels say what other
        models found out about an object. ``color_by``: objects of one class or track have one
        colour, or all have the first. ``colors``: codes like #4892EA, taken in turn; else a palette
        that the colour-blind can tell apart. ``thickness``: of lines, in pixels; follows the size
        of the picture unless given. ``text_scale``: 1.0 is 27 pixels high; follows the size, too.
        ``corners``: of boxes. ``skeleton``: pairs of names of keypoints that are joined. Raises
        ``ConfigError``."""
        for value, known in ((color_by, get_args(ColorBy)), (corners, get_args(Corners))):
            if value not in known:
                raise ConfigError(f"{value!r} is unknown here: choose from {', '.join(known)}")
        if text_scale is not None and not 0 < text_scale <= 10:
            raise ConfigError("text_scale must be above 0, and at most 10")
        self._brushes = _brushes(layers)
        self._labels = Labels(names, confidence, tracks, color_by, attributes)
        self._style = Style(_palette(colors), _width(thickness), text_scale, corners, self._brushes)
        self._skeleton = tuple((start, end) for start, end in skeleton)

    def __call__(self, result: Result) -> Result:
        scene = scene_of(result, self._labels)
        if scene.empty and not _WRITTEN & self._brushes.keys():
            return result
        if result.drawn is None:
            result.drawn = result.frame.image.copy()
        paint(result.drawn, scene, self._style, self._brushes, self._skeleton)
        return result


def _brushes(
    layers: Sequence[str] | Mapping[str, Mapping[str, Any] | None],
) -> dict[Layer, Brush]:
    """Which layers are drawn, and how."""
    if isinstance(layers, str):
        raise ConfigError(f"layers must be a list of names, like [{layers}]")
    given = layers if isinstance(layers, Mapping) else dict.fromkeys(layers)
    unknown = [str(name) for name in given if name not in LAYERS]
    if unknown:
        meant = plugins.nearest(unknown[0], LAYERS)
        told = f"no layer {', '.join(unknown)}{meant}; known: {', '.join(LAYERS)}"
        raise ConfigError(told)
    return {name: _brush(name, given[name] or {}) for name in LAYERS if name in given}


def _brush(layer: Layer, options: Mapping[str, Any]) -> Brush:
    unknown = set(options) - {"color", "thickness", "opacity"}
    if unknown:
        raise ConfigError(f"layer {layer}: no {min(unknown)!r}; known: color, thickness, opacity")
    color, opacity = options.get("color"), options.get("opacity")
    if opacity is not None and not (isinstance(opacity, int | float) and 0 <= opacity <= 1):
        raise ConfigError(f"layer {layer}: opacity is from 0 to 1")
    chosen = None if color is None else _color(str(color))
    return Brush(chosen, _width(options.get("thickness")), opacity)


def _width(thickness: Any) -> int | None:
    if thickness is None:
        return None
    if not isinstance(thickness, int) or not 1 <= thickness <= 255:
        raise ConfigError("thickness must be at least 1, and at most 255")
    return thickness


def _palette(codes: Sequence[str]) -> Sequence[Color]:
    return tuple(_color(code) for code in codes) or PALETTE


def _color(code: str) -> Color:
    try:
        return bgr(code)
    except ValueError as error:
        raise ConfigError(str(error)) from error
