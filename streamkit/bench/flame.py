"""A flame graph of what a frame costs, as SVG: callers stand below what they call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from html import escape
from typing import Final, TypeAlias

Path_: TypeAlias = tuple[str, ...]

_WIDTH: Final = 1200
_ROW: Final = 30
_EDGE: Final = 10
_HEAD: Final = 44
_LETTER: Final = 7.8
"""Pixels of one at this size, on average."""
_LEAST: Final = 1.0
"""Pixels; what is narrower is not drawn."""
_COLOURS: Final = {
    "decode": "#a5c8ff",
    "session": "#d0d7de",
    "draw": "#e2c5ff",
    "ours": "#ffc680",
    "frame": "#eaeef2",
}


def kind(path: Path_) -> str:
    """What a path is, for its colour: ``decode``, ``session``, ``draw``, ``ours``, ``frame``."""
    if not path:
        return "frame"
    if any("decode" in part for part in path):
        return "decode"
    return next((name for name in ("session", "draw") if name in path), "ours")


def svg(own: Mapping[Path_, float], title: str) -> str:
    """``own``: seconds per frame that each path spends itself, without what it calls."""
    totals = _totals(own)
    deepest = max(map(len, totals))
    height = _HEAD + (deepest + 1) * _ROW + _EDGE
    boxes = "".join(_boxes((), totals, _EDGE, (_WIDTH - 2 * _EDGE) / totals[()], height))
    legend = "".join(_legend())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'font-family="system-ui, sans-serif" font-size="14">'
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>'
        f'<text x="{_EDGE}" y="26" font-size="16" fill="#24292f">{escape(title)}</text>'
        f"{legend}{boxes}</svg>\n"
    )


def _totals(own: Mapping[Path_, float]) -> dict[Path_, float]:
    """With what is called from within; the empty path is everything."""
    totals: defaultdict[Path_, float] = defaultdict(float)
    for path, seconds in own.items():
        for depth in range(len(path) + 1):
            totals[path[:depth]] += seconds
    return dict(totals)


def _boxes(
    path: Path_, totals: Mapping[Path_, float], left: float, scale: float, height: int
) -> list[str]:
    """Of this path and all above it, the widest first."""
    boxes = [_box(path, totals[path], left, scale, height)]
    above = [p for p in totals if len(p) == len(path) + 1 and p[:-1] == path]
    for each in sorted(above, key=lambda p: -totals[p]):
        if totals[each] * scale >= _LEAST:
            boxes += _boxes(each, totals, left, scale, height)
            left += totals[each] * scale
    return boxes


def _box(path: Path_, seconds: float, left: float, scale: float, height: int) -> str:
    width, top = seconds * scale, height - _EDGE - (len(path) + 1) * _ROW
    name = path[-1] if path else "one frame"
    told = f"{name} {1e3 * seconds:.2f} ms"
    colour = _COLOURS[kind(path)]
    return (
        f"<g><title>{escape(told)}</title>"
        f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_ROW - 2}" rx="2" '
        f'fill="{colour}" stroke="white"/>{_text(name, told, left, top, width)}</g>'
    )


def _text(name: str, told: str, left: float, top: float, width: float) -> str:
    """As much as there is room for."""
    room = int((width - 8) / _LETTER)
    shown = next((text for text in (told, name) if len(text) <= room), "")
    if not shown and room >= 4:
        shown = f"{name[: room - 1]}\N{HORIZONTAL ELLIPSIS}"
    return f'<text x="{left + 4:.1f}" y="{top + 19}" fill="#24292f">{escape(shown)}</text>'


def _legend() -> list[str]:
    named = {"decode": "decode", "session": "session", "draw": "drawing", "ours": "all else"}
    left, parts = float(_WIDTH - _EDGE), list[str]()
    for name, text in reversed(named.items()):
        left -= _LETTER * len(text) + 30
        parts.append(
            f'<rect x="{left:.0f}" y="14" width="14" height="14" rx="2" fill="{_COLOURS[name]}"/>'
            f'<text x="{left + 19:.0f}" y="26" fill="#24292f">{text}</text>'
        )
    return parts
