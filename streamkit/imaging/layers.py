"""The one drawing pass: each layer on top of those before it, in the order of ``LAYERS``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import cv2
import numpy as np

from streamkit.frame import Image
from streamkit.imaging.canvas import BODY, Canvas, Edges
from streamkit.imaging.marks import Marks
from streamkit.imaging.palette import WHITE
from streamkit.imaging.panels import panel, reserve, stamp
from streamkit.imaging.scene import Scene
from streamkit.imaging.strokes import Points, area, box, dashed_box, path, tint, whole
from streamkit.imaging.style import LAYERS, PLAIN, USUAL, Layer, Style

_ZONE: Final = (115, 158, 0)
"""A zone with nobody in it, and lines: green; with somebody: vermillion (both of the palette)."""
_BUSY: Final = (0, 94, 213)


def paint(
    image: Image,
    scene: Scene,
    style: Style = PLAIN,
    layers: Collection[Layer] = USUAL,
    skeleton: Edges = BODY,
) -> None:
    """Draw the ``layers`` of ``scene`` onto ``image`` (H x W x 3 ``uint8`` BGR, writable)."""
    canvas = Canvas(image, scene, style, skeleton)
    for layer in ("panel", "stamp"):  # labels leave room for them
        if layer in layers:
            reserve(canvas, layer)
    for layer in LAYERS:
        if layer in layers:
            _PAINTERS[layer](canvas)


def _zones(canvas: Canvas) -> None:
    style, width = canvas.style, canvas.style.line(canvas.size, "zones")
    for zone in canvas.scene.zones:
        color = style.brush("zones").color or (_BUSY if zone.busy else _ZONE)
        if zone.busy:
            area(canvas.image, zone.outline, color, style.opacity("zones", 0.25))
        path(canvas.image, zone.outline, color, width, closed=True)


def _masks(canvas: Canvas) -> None:
    marks, style = canvas.scene.marks, canvas.style
    if marks is None:
        return
    opacity = style.opacity("masks", 0.45)
    for i in canvas.order:
        color = style.color(marks.keys[i], "masks")
        if marks.masks is not None:
            left, top = marks.masks.offsets[i].tolist()
            tint(canvas.image, left, top, marks.masks.bitmaps[i], color, opacity)
        elif marks.outlines:
            for outline in marks.outlines[i]:
                area(canvas.image, outline, color, opacity)


def _polygons(canvas: Canvas) -> None:
    marks, style = canvas.scene.marks, canvas.style
    if marks is None:
        return
    outlines = marks.outlines if marks.masks is None else marks.masks.polygons()
    width = style.line(canvas.size, "polygons")
    for i in canvas.order if outlines else ():
        for outline in outlines[i]:
            color = style.color(marks.keys[i], "polygons")
            path(canvas.image, outline, color, width, closed=True)


def _traces(canvas: Canvas) -> None:
    """Thicker where they are newer."""
    style, marks = canvas.style, canvas.scene.marks
    width = style.line(canvas.size, "traces")
    keys = {} if marks is None else dict(zip(marks.tracks, marks.keys, strict=False))
    for track, points in canvas.scene.traces:
        color = style.color(keys.get(track, track), "traces")
        old = len(points) // 2
        path(canvas.image, points[: old + 1], color, max(1, width // 2))
        path(canvas.image, points[old:], color, width)


def _boxes(canvas: Canvas) -> None:
    marks, style = canvas.scene.marks, canvas.style
    if marks is None:
        return
    width = style.line(canvas.size)
    for i in canvas.order:
        color = style.color(marks.keys[i])
        if canvas.scene.carried:
            dashed_box(canvas.image, canvas.boxes[i], color, width)
        else:
            box(canvas.image, canvas.boxes[i], color, width, style.corners)


def _keypoints(canvas: Canvas) -> None:
    marks, style = canvas.scene.marks, canvas.style
    if marks is None or not marks.keypoints:
        return
    width = style.line(canvas.size, "keypoints")
    for i in canvas.order:
        names, points = marks.keypoints[i]
        places = whole(np.nan_to_num(points[:, :2])) if len(points) else None
        if places is None:
            continue
        seen = (points[:, 2] > 0).tolist()
        there = {n: at for n, at, sure in zip(names, places.tolist(), seen, strict=False) if sure}
        color = style.color(marks.keys[i], "keypoints")
        for start, end in canvas.skeleton:
            if start in there and end in there:
                cv2.line(canvas.image, there[start], there[end], color, width, cv2.LINE_AA)
        for at, sure in zip(places.tolist(), seen, strict=True):
            if sure:
                cv2.circle(canvas.image, at, width + 1, WHITE, cv2.FILLED, cv2.LINE_AA)
                cv2.circle(canvas.image, at, width + 1, color, max(1, width // 2), cv2.LINE_AA)


def _lines(canvas: Canvas) -> None:
    style = canvas.style
    width = style.line(canvas.size, "lines")
    color = style.brush("lines").color or _ZONE
    for line in canvas.scene.lines:
        start, end = line.ends.astype(np.float64)
        along = end - start
        path(canvas.image, line.ends, color, width + 1)
        length = float(np.hypot(*along))
        if length:
            middle, reach = (start + end) / 2, min(0.2 * length, 0.06 * min(canvas.size))
            inward = np.array((along[1], -along[0])) / length * max(reach, 4 * width)
            tip = np.rint(middle + inward).astype(np.int32).tolist()
            root = np.rint(middle).astype(np.int32).tolist()
            cv2.arrowedLine(canvas.image, root, tip, color, width, cv2.LINE_AA, tipLength=0.4)


def _labels(canvas: Canvas) -> None:
    scene, style, tabs = canvas.scene, canvas.style, canvas.tabs
    top = 0
    for text in scene.headings:
        tabs.put(0, top, text, style.color(0, "labels"))
        top += tabs.height
    for zone in scene.zones:
        color = style.brush("zones").color or (_BUSY if zone.busy else _ZONE)
        tabs.beside([*_highest(zone.outline)] * 2, zone.text, color, 0)
    for line in scene.lines:
        tabs.beside([*line.ends[1].tolist()] * 2, line.text, style.brush("lines").color or _ZONE, 0)
    if scene.marks is not None:
        _names(canvas, scene.marks)


def _names(canvas: Canvas, marks: Marks) -> None:
    style, width = canvas.style, canvas.style.line(canvas.size)
    for i in canvas.order:
        if marks.labels[i]:
            color = style.color(marks.keys[i], "labels")
            canvas.tabs.beside(canvas.boxes[i], marks.labels[i], color, width)


def _highest(outline: Points) -> Sequence[int]:
    points: list[list[int]] = outline.tolist()
    return min(points, key=lambda point: (point[1], point[0]))


_PAINTERS: Final[Mapping[Layer, Callable[[Canvas], None]]] = {
    "zones": _zones, "masks": _masks, "polygons": _polygons, "traces": _traces, "boxes": _boxes,
    "keypoints": _keypoints, "lines": _lines, "labels": _labels, "panel": panel, "stamp": stamp,
}  # fmt: skip
