"""The neighbour's ``render_boxes``: draws predictions onto frames and hands the pictures on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, Literal, Protocol, TypeAlias

from streamkit.frame import Image, VideoFrame
from streamkit.imaging.draw import Style, annotated, annotated_at, draw_statistics
from streamkit.imaging.layout import Size, blank, letterbox, size_of, tile_size
from streamkit.imaging.marks import Marks, marks_of
from streamkit.imaging.palette import FAMILIAR
from streamkit.meters import Rate
from streamkit.sinks.window import Rendered, display_image

log = logging.getLogger(__name__)

_STYLE: Final = Style(FAMILIAR)


class Annotator(Protocol):
    """An annotator of ``supervision``, or anything that looks like one."""

    def annotate(self, scene: Image, detections: Any) -> Image: ...


Annotators: TypeAlias = Annotator | Sequence[Annotator] | None


class Monitor(Enum):
    """Which throughput the statistics show."""

    OWN = auto()
    """Measured here, for the thread that renders: a sink has a thread of its own."""


FpsMonitor: TypeAlias = Any | Literal[Monitor.OWN] | None
"""``None``: do not show it. Else a ``supervision.FPSMonitor``: ``tick()`` and ``fps``."""


@dataclass(slots=True)
class Throughput:
    """Frames per second, measured here or by a monitor of the user's."""

    monitor: FpsMonitor = Monitor.OWN
    _rate: Rate = field(default_factory=Rate)

    def tick(self, frames: int) -> float | None:
        """Count rendered frames; the present throughput, ``None`` if nobody wants it."""
        if self.monitor is None:
            return None
        if self.monitor is Monitor.OWN:
            rates = [self._rate.tick(time.monotonic()) for _ in range(frames)]
            return rates[-1] if rates else None
        for _ in range(frames):
            self.monitor.tick()
        return float(self.monitor.fps if hasattr(self.monitor, "fps") else self.monitor())


@dataclass(slots=True)
class Renderer:
    """Turns a prediction and its frame into a picture; says once what it cannot draw."""

    annotator: Annotators = None
    display_statistics: bool = False
    told: bool = False

    def picture(
        self, prediction: Any, frame: VideoFrame | None, size: Size | None, fps: float | None
    ) -> Image:
        """A new picture of ``size`` (of the frame's own where that is ``None``)."""
        image = self._drawn(prediction, frame, size)
        if self.display_statistics:
            draw_statistics(image, None if frame is None else frame.age, fps)
        return image

    def _drawn(self, prediction: Any, frame: VideoFrame | None, size: Size | None) -> Image:
        if frame is None:
            return blank(size or (256, 256))
        marks = marks_of(prediction)
        if marks is None:
            self._tell(prediction)
        elif self.annotator is None:
            return _boxes(frame.image, marks, size)
        image = frame.image if marks is None else self._annotated(prediction, frame.image)
        return image.copy() if size is None else letterbox(image, size)

    def _annotated(self, prediction: Any, image: Image) -> Image:
        """What the user's own annotators make of it; only they need ``supervision``."""
        import supervision

        annotators = self.annotator if isinstance(self.annotator, Sequence) else [self.annotator]
        detections = supervision.Detections.from_inference(prediction)
        labels = [str(row["class"]) for row in prediction["predictions"]]
        scene = image.copy()
        for annotator in annotators:
            named = isinstance(annotator, supervision.LabelAnnotator)
            more: dict[str, Any] = {"labels": labels} if named else {}
            scene = annotator.annotate(scene=scene, detections=detections, **more)  # type: ignore[union-attr]
        return scene

    def _tell(self, prediction: Any) -> None:
        if not self.told:
            log.warning(
                "a prediction of type %s holds no boxes to draw; frames are shown as they are",
                type(prediction).__name__,
            )
        self.told = True


class Painter:
    """A renderer with its meter and its picture size, kept by a sink that draws for itself."""

    def __init__(
        self,
        annotator: Annotators = None,
        display_size: Size | None = (1280, 720),
        fps_monitor: FpsMonitor = Monitor.OWN,
        display_statistics: bool = False,
    ) -> None:
        self._renderer = Renderer(annotator, display_statistics)
        self._throughput = Throughput(fps_monitor)
        self._size = display_size

    def single(self, prediction: Any, frame: VideoFrame) -> Image:
        """The picture of one source, of ``display_size``."""
        return self._renderer.picture(prediction, frame, self._size, self._throughput.tick(1))

    def batch(
        self, predictions: Sequence[Any], frames: Sequence[VideoFrame | None], size: Size
    ) -> dict[int, Image]:
        """The pictures of the sources that have a frame, sized for a mosaic of ``size``."""
        fps = self._throughput.tick(sum(frame is not None for frame in frames))
        tile = tile_size(len(frames), size)
        return {
            index: self._renderer.picture(prediction, frame, tile, fps)
            for index, (prediction, frame) in enumerate(zip(predictions, frames, strict=False))
            if frame is not None
        }


_throughput: ContextVar[Throughput] = ContextVar("throughput")
_renderer: ContextVar[Renderer] = ContextVar("renderer")


def render_boxes(
    predictions: Any,
    video_frame: VideoFrame | Sequence[VideoFrame | None],
    annotator: Annotators = None,
    display_size: Size | None = (1280, 720),
    fps_monitor: FpsMonitor = Monitor.OWN,
    display_statistics: bool = False,
    on_frame_rendered: Callable[[Any], object] = display_image,
) -> None:
    """Draw predictions, letterbox to ``display_size``, hand over to ``on_frame_rendered``.

    One source: it gets ``(source_id, image)``. Several: ``[(index, image), ...]`` aligned to the
    sources, black where one has no frame. ``annotator``: one of ``supervision``'s or a list of
    them, instead of our boxes. The statistics are the frame's age and the frames per second that
    this thread renders (or what ``fps_monitor`` says; ``None`` leaves them out).
    """
    renderer = _of_this_thread(annotator, display_statistics)
    meter = _meter(fps_monitor)
    if isinstance(video_frame, VideoFrame):
        image = renderer.picture(predictions, video_frame, display_size, meter.tick(1))
        on_frame_rendered((video_frame.source_id, image))
        return
    fps = meter.tick(sum(frame is not None for frame in video_frame))
    images: list[Rendered] = [
        (index, renderer.picture(prediction, frame, display_size, fps))
        for index, (frame, prediction) in enumerate(zip(video_frame, predictions, strict=False))
    ]
    on_frame_rendered(images)


def _meter(monitor: FpsMonitor) -> Throughput:
    if monitor is not Monitor.OWN:
        return Throughput(monitor)
    if _throughput.get(None) is None:
        _throughput.set(Throughput())
    return _throughput.get()


def _of_this_thread(annotator: Annotators, statistics: bool) -> Renderer:
    """A renderer for this call, which remembers whether this thread was warned already."""
    before = _renderer.get(None)
    renderer = Renderer(annotator, statistics, before.told if before else False)
    _renderer.set(renderer)
    return renderer


def _boxes(image: Image, marks: Marks, size: Size | None) -> Image:
    if size is None or size == size_of(image):
        return annotated(image, marks, _STYLE)
    return annotated_at(image, marks, size, _STYLE)
