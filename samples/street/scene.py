"""The sample street: a seeded procedural camera view with exact truth, and its clip.

scene = Scene(CLIP_SEED)
frame, truth = scene.frame(0)
crossings(scene, ((640, 0), (640, 720)))
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from street.backdrop import Backdrop, flicker
from street.cast import MAKERS
from street.furniture import Sprite
from street.look import Draw, Pose
from street.pen import ID_PAD, ID_SHRINK, Image, Pen, colour, shadow
from street.traffic import FPS, Actor, Camera, populate

CLIP_SEED = 9
CLIP_FRAMES = 24 * FPS
CLASSES = tuple(sorted(MAKERS))
Anchor = Literal["bottom", "centre"]
Line = tuple[tuple[float, float], tuple[float, float]]
LEASH = colour("#3a2a22")
SHADOW = MappingProxyType(  # half the length of the shadow, in metres
    {"car": 2.3, "bus": 4.6, "truck": 3.5, "bicycle": 0.85, "person": 0.34, "dog": 0.5}
)


@dataclass(frozen=True)
class Truth:
    """One object on one frame.

    `xyxy` is its full extent, hidden parts included, clipped to the frame, in pixels (float).
    `visible` is the share of the whole object that is in view and not hidden by others.
    """

    name: str
    xyxy: tuple[float, float, float, float]
    object_id: int
    visible: float


@dataclass
class Crossings:
    """How many objects of one class crossed a line.

    `rightward` counts those who went from the left-hand to the right-hand side of somebody
    walking along the line from its first to its second point, `leftward` the others.
    """

    rightward: int = 0
    leftward: int = 0


class Scene:
    """A street of `frames` frames at 25 fps; equal seeds give equal pixels and equal truth."""

    def __init__(self, seed: int, frames: int = CLIP_FRAMES, camera: Camera | None = None) -> None:
        self.seed, self.frames = seed, frames
        self.camera = camera or Camera()
        self.actors, self.signal = populate(seed, frames)
        self.backdrop = Backdrop(seed, self.camera, self.signal)
        self.draws: dict[int, Draw] = {}
        rng = np.random.default_rng([seed, 3])
        size = (self.camera.height + 64, self.camera.width + 64)
        noise = rng.normal(0, 2.2, size)
        self._plus = np.clip(np.rint(noise), 0, 255).astype(np.uint8)
        self._minus = np.clip(np.rint(-noise), 0, 255).astype(np.uint8)

    def __len__(self) -> int:
        return self.frames

    def __iter__(self) -> Iterator[tuple[Image, list[Truth]]]:
        return (self.frame(t) for t in range(self.frames))

    def frame(self, t: int) -> tuple[Image, list[Truth]]:
        """Picture (height, width, 3; BGR, uint8) and truth of frame `t`, from 0."""
        image = self.backdrop.image.copy()
        cells = (self.camera.height // ID_SHRINK, self.camera.width // ID_SHRINK + 2 * ID_PAD)
        pen = Pen(image, np.zeros(cells, np.uint8))
        cast = [a for a in self.actors if a.present(t) and self._near_view(a, t)]
        self._shadows(image, cast, t)
        drawn = self._paint(pen, cast, t)
        return self._expose(image, t), self._truth(pen, drawn)

    def boxes(self, t: int) -> list[Truth]:
        """The truth of frame `t` without its picture, many times faster: the same boxes, in the
        order of the actors; nobody looks at who hides whom, `visible` is 1."""
        pen = Pen(np.zeros((8, 8, 3), np.uint8))
        size = np.array([self.camera.width, self.camera.height] * 2, float)
        out = []
        for actor in (a for a in self.actors if a.present(t) and self._near_view(a, t)):
            scale = float(actor.scale[t])
            at = self.camera.ground(float(actor.x[t]), scale)
            pen.place(*at, scale, int(actor.facing[t]))
            pose = Pose(float(actor.travelled[t]), bool(actor.braking[t]), float(actor.across[t]))
            self._draw(actor)(pen, pose)
            x0, y0, x1, y1 = np.clip(list(pen.extent), 0.0, size).tolist()
            if x1 - x0 > 1.0 and y1 - y0 > 1.0:
                out.append(Truth(actor.kind, (x0, y0, x1, y1), actor.id, 1.0))
        return out

    def anchor(self, actor: Actor, anchor: Anchor = "bottom") -> NDArray[np.float64]:
        """The object's anchor point in pixels on every frame, shape (frames, 2), NaN if absent.

        It follows the path itself: legs and tails do not move it.
        """
        x = self.camera.centre + actor.x * actor.scale
        y = self.camera.horizon + self.camera.rise * actor.scale
        if anchor == "centre":
            y = y - self._height(actor) * actor.scale / 2
        return np.stack([x, y], axis=1)

    def _height(self, actor: Actor) -> float:
        """Height in metres of the object as drawn."""
        pen = Pen(np.zeros((8, 8, 3), np.uint8))
        pen.place(0.0, 0.0, 1.0, 1)
        self._draw(actor)(pen, Pose(0.0))
        return -pen.extent[1]

    def _draw(self, actor: Actor) -> Draw:
        if actor.id not in self.draws:
            self.draws[actor.id] = MAKERS[actor.kind](np.random.default_rng(actor.look))
        return self.draws[actor.id]

    def _near_view(self, actor: Actor, t: int) -> bool:
        return abs(float(actor.x[t])) < self.camera.reach(float(actor.scale[t])) + 4.8

    def _shadows(self, image: Image, cast: list[Actor], t: int) -> None:
        for actor in cast:
            scale = float(actor.scale[t])
            x, y = self.camera.ground(float(actor.x[t]), scale)
            wide = SHADOW[actor.kind] * scale
            shadow(image, x + 0.12 * wide, y - 0.02 * scale, wide * 1.1, 0.2 * scale + 3, 0.5)

    def _paint(self, pen: Pen, cast: list[Actor], t: int) -> list[tuple[Actor, list[float], int]]:
        """Draw from the far end to the near end; per object its extent and covered cells."""
        queue: list[tuple[float, Actor | Sprite]] = [(float(a.scale[t]), a) for a in cast]
        queue += [(s.scale, s) for s in self.backdrop.sprites]
        drawn: list[tuple[Actor, list[float], int]] = []
        assert pen.ids is not None
        for scale, thing in sorted(queue, key=lambda pair: pair[0]):
            if isinstance(thing, Sprite):
                thing.stamp(pen.frame, pen.ids)
                if thing.signal:
                    self.backdrop.light_up(pen, thing, t / FPS)
                continue
            at = self.camera.ground(float(thing.x[t]), scale)
            pen.place(*at, scale, int(thing.facing[t]), len(drawn) + 1)
            pose = Pose(float(thing.travelled[t]), bool(thing.braking[t]), float(thing.across[t]))
            self._draw(thing)(pen, pose)
            self._leash(pen.frame, thing, t)
            drawn.append((thing, list(pen.extent), int(np.count_nonzero(pen.ids == pen.ident))))
        return drawn

    def _leash(self, image: Image, dog: Actor, t: int) -> None:
        """The line from a dog, just drawn, to the hand of its owner; part of neither."""
        if dog.companion is None:
            return
        owner = self.actors[dog.companion - 1]
        ends = []
        for actor, ahead, up in ((owner, 0.3, 0.95), (dog, 0.38, 0.62)):
            scale = float(actor.scale[t])
            x, y = self.camera.ground(float(actor.x[t]), scale)
            ends.append((x + ahead * scale * int(actor.facing[t]), y - up * scale))
        (x0, y0), (x1, y1) = ends
        curve = [(x0, y0), ((x0 + x1) / 2, (y0 + y1) / 2 + 5), (x1, y1)]
        marks = (np.array(curve) * 16).astype(np.int32)
        cv2.polylines(image, [marks], False, LEASH, 1, cv2.LINE_AA, 4)

    def _expose(self, image: Image, t: int) -> Image:
        """The camera's part: the light of the moment and a little noise."""
        gains = np.array(self.backdrop.light) * flicker(self.seed, t)
        table = np.clip(np.arange(256)[:, None] * gains, 0, 255).astype(np.uint8)
        image = np.asarray(cv2.LUT(image, table[:, None, :]), np.uint8)
        dx, dy = np.random.default_rng([self.seed, 4, t]).integers(0, 64, 2)
        height, width = image.shape[:2]
        part = np.s_[dy : dy + height, dx : dx + width]
        plus, minus = (cv2.cvtColor(n[part], cv2.COLOR_GRAY2BGR) for n in (self._plus, self._minus))
        return np.asarray(cv2.subtract(cv2.add(image, plus), minus), np.uint8)

    def _truth(self, pen: Pen, drawn: list[tuple[Actor, list[float], int]]) -> list[Truth]:
        assert pen.ids is not None
        view = pen.ids[:, ID_PAD:-ID_PAD]
        seen = np.bincount(view.ravel(), minlength=len(drawn) + 1)
        size = np.array([self.camera.width, self.camera.height] * 2, float)
        out = []
        for number, (actor, extent, area) in enumerate(drawn, start=1):
            x0, y0, x1, y1 = np.clip(extent, 0.0, size).tolist()
            if x1 - x0 > 1.0 and y1 - y0 > 1.0:
                share = float(seen[number]) / max(area, 1)
                out.append(Truth(actor.kind, (x0, y0, x1, y1), actor.id, share))
        return out


def crossings(scene: Scene, line: Line, anchor: Anchor = "bottom") -> dict[str, Crossings]:
    """Per class, who crossed the segment `line` (pixels) over the whole clip, in each direction.

    Exact: computed from the paths of the anchor points, not from pictures, so it also counts who
    is hidden at that moment. A line that reaches out of the frame counts there too.
    """
    (ax, ay), (bx, by) = line
    totals = {name: Crossings() for name in CLASSES}
    for actor in scene.actors:
        p = scene.anchor(actor, anchor)
        side = (bx - ax) * (p[:, 1] - ay) - (by - ay) * (p[:, 0] - ax)
        right = np.where(np.isfinite(side), np.sign(side), 0)
        known = np.flatnonzero(right)
        for i, j in pairwise(known):
            if right[i] != right[j] and _meets(p[i], p[j], line):
                _count(totals[actor.kind], bool(right[j] > 0))
    return totals


def _count(total: Crossings, rightward: bool) -> None:
    total.rightward += rightward
    total.leftward += not rightward


def _meets(p: NDArray[np.float64], q: NDArray[np.float64], line: Line) -> bool:
    """Whether the step from p to q, known to change sides, passes between the line's ends."""
    a, b = (np.array(end, float) for end in line)
    step, along = q - p, b - a
    cross = step[0] * along[1] - step[1] * along[0]
    if cross == 0:
        return False
    place = (step[1] * (a[0] - p[0]) - step[0] * (a[1] - p[1])) / cross
    return bool(0.0 <= place <= 1.0)


def write_clip(scene: Scene, path: Path) -> None:
    """Encode the scene: H.264, 25 fps, B-frames, a key frame every 2 s, ready for browsers."""
    import av
    from av.video.reformatter import Colorspace, VideoReformatter

    options = {"crf": "26", "preset": "slow", "x264-params": "scenecut=0:keyint=50:min-keyint=50"}
    reformat = VideoReformatter()
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as out:
        stream = out.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height = scene.camera.width, scene.camera.height
        stream.pix_fmt = "yuv420p"
        stream.codec_context.max_b_frames = 3
        stream.codec_context.gop_size = 2 * FPS
        stream.codec_context.colorspace = 1
        stream.codec_context.color_primaries = 1
        stream.codec_context.color_trc = 1
        for image, _ in scene:
            picture = av.VideoFrame.from_ndarray(image, format="bgr24")
            picture = reformat.reformat(picture, format="yuv420p", dst_colorspace=Colorspace.ITU709)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
