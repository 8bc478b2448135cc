"""The graph of a document as SVG, laid out by columns: no other program is needed."""

from __future__ import annotations

from html import escape
from itertools import groupby

from streamkit.documents.graph import Graph, Node

_FILL = {"source": "#dbeafe", "model": "#fde68a", "stage": "#e5e7eb", "sink": "#d1fae5"}
_EDGE = {"source": "#3b82f6", "model": "#d97706", "stage": "#6b7280", "sink": "#059669"}
_HIGH, _ACROSS, _DOWN, _MARGIN = 46, 54, 18, 20
"""Pixels: of a box, between columns, between boxes, around all."""
_LETTER = 7.2
"""Pixels of a letter, at 12 pixels high: wide ones, so that no text leaves its box."""


def svg(graph: Graph) -> str:
    """A whole file; text stays text, so that it can be found and read aloud."""
    widths = _widths(graph)
    lefts = _lefts(widths)
    tops = _tops(graph)
    width = max(lefts[c] + widths[c] for c in widths) + _MARGIN
    height = max(tops.values()) + _HIGH + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    for before, after in graph.edges:
        a, b = graph.nodes[before], graph.nodes[after]
        start = lefts[a.column] + widths[a.column], tops[before] + _HIGH / 2
        parts.append(_edge(start, (lefts[b.column], tops[after] + _HIGH / 2)))
    for node in graph.nodes.values():
        parts.append(_box(node, lefts[node.column], tops[node.id], widths[node.column]))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _widths(graph: Graph) -> dict[int, float]:
    widths: dict[int, float] = {}
    for node in graph.nodes.values():
        text = max(len(node.title), len(node.detail)) * _LETTER + 24
        widths[node.column] = max(widths.get(node.column, 90.0), text)
    return widths


def _lefts(widths: dict[int, float]) -> dict[int, float]:
    lefts, x = {}, float(_MARGIN)
    for column in sorted(widths):
        lefts[column] = x
        x += widths[column] + _ACROSS
    return lefts


def _tops(graph: Graph) -> dict[str, float]:
    """Each box as high as those before it are in the middle, and none over another."""
    tops: dict[str, float] = {}
    ordered = sorted(graph.nodes.values(), key=lambda node: node.column)
    for _, group in groupby(ordered, key=lambda node: node.column):
        wanted = {node.id: _middle(graph, node, tops) for node in group}
        free = float(_MARGIN)
        for name in sorted(wanted, key=wanted.__getitem__):
            tops[name] = max(free, wanted[name])
            free = tops[name] + _HIGH + _DOWN
    return _centred(graph, tops)


def _middle(graph: Graph, node: Node, tops: dict[str, float]) -> float:
    before = [tops[a] for a, b in graph.edges if b == node.id and a in tops]
    return sum(before) / len(before) if before else float(_MARGIN)


def _centred(graph: Graph, tops: dict[str, float]) -> dict[str, float]:
    """Columns with fewer boxes begin lower, so that all stand around one line."""
    bottoms: dict[int, float] = {}
    for node in graph.nodes.values():
        bottoms[node.column] = max(bottoms.get(node.column, 0.0), tops[node.id])
    lowest = max(bottoms.values())
    firsts = {
        column: min(tops[n.id] for n in graph.nodes.values() if n.column == column)
        for column in bottoms
    }
    shift = {c: max(0.0, (lowest + _MARGIN - bottoms[c] - firsts[c]) / 2) for c in bottoms}
    return {node.id: tops[node.id] + shift[node.column] for node in graph.nodes.values()}


def _edge(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, y), (to_x, to_y) = start, end
    bend = min(_ACROSS, (to_x - x)) / 2
    path = f"M{x:.1f} {y:.1f} C{x + bend:.1f} {y:.1f} {to_x - bend:.1f} {to_y:.1f}"
    head = f"M{to_x - 7:.1f} {to_y - 4:.1f} L{to_x:.1f} {to_y:.1f} L{to_x - 7:.1f} {to_y + 4:.1f}"
    return f'<path d="{path} {to_x:.1f} {to_y:.1f} {head}" fill="none" stroke="#9ca3af"/>'


def _box(node: Node, left: float, top: float, width: float) -> str:
    middle = left + width / 2
    rows = [(node.title, "600", "#111827")]
    rows += [(node.detail, "400", "#4b5563")] if node.detail else []
    first = top + _HIGH / 2 + 4 - 8 * (len(rows) - 1)
    texts = "".join(
        f'<text x="{middle:.1f}" y="{first + 16 * row:.1f}" text-anchor="middle" '
        f'font-weight="{weight}" fill="{colour}">{escape(text)}</text>'
        for row, (text, weight, colour) in enumerate(rows)
    )
    return (
        f'<g><title>{escape(node.kind)}</title><rect x="{left:.1f}" y="{top:.1f}" rx="7" '
        f'width="{width:.1f}" height="{_HIGH}" fill="{_FILL[node.kind]}" '
        f'stroke="{_EDGE[node.kind]}"/>{texts}</g>'
    )
