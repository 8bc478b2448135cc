"""Draws the pictures of README's "Drawing and privacy": ``python samples/draw_layers.py``.

The sample clip through the sample detector: every layer, and three ways to cover what is private.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np

from streamkit import InferencePipeline, Result
from streamkit.frame import Image
from streamkit.masks import Masks
from streamkit.options import SourceReference
from streamkit.predictions import Detections
from streamkit.stages import Stage, open_stage

HERE = Path(__file__).resolve().parent
CLIP = HERE / "street.mp4"
ALL = ("zones", "masks", "traces", "boxes", "keypoints", "lines", "labels", "panel", "stamp")
ENDS = ("upper end", "lower end")
Maker = Callable[[], Stage]


class Shapes(Stage):
    """Shapes and two keypoints of each object, for want of a model that tells them: where the
    picture is not as it is without anybody."""

    def __init__(self, empty: Image) -> None:
        self._empty = empty

    def __call__(self, result: Result) -> Result:
        found = result.prediction
        if isinstance(found, Detections):
            differs = cv2.absdiff(result.frame.image, self._empty).max(axis=2) > 28
            result.prediction = self._shaped(found, differs.astype(np.uint8))
        return result

    def _shaped(self, found: Detections, differs: np.ndarray) -> Detections:
        boxes = np.clip(found.xyxy, 0, (*found.image_size, *found.image_size)).astype(int).tolist()
        bitmaps = [differs[top:bottom, left:right] for left, top, right, bottom in boxes]
        offsets = np.array([box[:2] for box in boxes], np.int64).reshape(-1, 2)
        points = np.zeros((len(found), len(ENDS), 3), np.float32)
        for i in np.flatnonzero(found.class_id == found.names.index("person")):
            points[i] = _ends(bitmaps[i], offsets[i])
        return replace(
            found,
            masks=Masks(tuple(bitmaps), offsets, found.image_size),
            keypoints=points,
            keypoint_names=(ENDS,) * len(found.names),
        )


def _ends(bitmap: np.ndarray, offset: np.ndarray) -> list[tuple[float, float, float]]:
    """The middle of the uppermost and of the lowermost tenth of a shape."""
    rows, columns = np.nonzero(bitmap)
    if not len(rows):
        return [(0, 0, 0)] * 2
    near = [rows <= np.quantile(rows, 0.1), rows >= np.quantile(rows, 0.9)]
    return [(columns[n].mean() + offset[0], rows[n].mean() + offset[1], 1.0) for n in near]


def empty_street() -> Image:
    """What is there most of the time."""
    with av.open(str(CLIP)) as container:
        seen = [
            frame.to_ndarray(format="bgr24")
            for number, frame in enumerate(container.decode(video=0))
            if number % 40 == 0
        ]
    usual: Image = np.sort(np.array(seen, np.uint8), axis=0)[len(seen) // 2]
    return usual


def layers() -> Sequence[Maker]:
    """Every layer."""
    crossing = [[0.02, 0.62], [0.42, 0.52], [0.52, 0.98], [0.1, 0.98]]
    start, end = [0.62, 0.98], [0.55, 0.42]
    drawn = {"layers": ALL, "color_by": "track", "corners": "round", "skeleton": [ENDS]}
    return (
        partial(Shapes, empty_street()),
        partial(open_stage, "track", {}),
        partial(open_stage, "trails", {"seconds": 4}),
        partial(open_stage, "zone", {"name": "crossing", "polygon": crossing,
                                     "units": "fractions"}),
        partial(open_stage, "line", {"name": "street", "start": start, "end": end,
                                     "units": "fractions"}),
        partial(open_stage, "annotate", drawn),
    )  # fmt: skip


def privacy() -> Sequence[Maker]:
    """People in blocks, cars blurred, a corner filled."""
    corner = [[0, 0], [0.2, 0], [0.2, 0.3], [0, 0.3]]
    people = {"how": "pixelate", "classes": ["person", "bicycle"], "margin": 0.05}
    return (
        partial(open_stage, "privacy", people),
        partial(open_stage, "privacy", {"how": "blur", "classes": ["car"], "margin": 0.05}),
        partial(open_stage, "privacy", {"objects": False, "how": "fill", "zones": [corner],
                                        "units": "fractions"}),
        partial(open_stage, "annotate", {"layers": ["labels"], "confidence": False}),
    )  # fmt: skip


def picture(stages: Sequence[Maker], number: int) -> Image:
    """What sinks are shown of the frame with this number."""
    shown: list[Image] = []

    def keep(result: Result) -> None:
        if result.frame.frame_id == number:
            shown.append(result.image)
            pipeline.terminate()

    pipeline = InferencePipeline.init(
        SourceReference(CLIP, {"started_at": "2026-05-01T12:00:00Z"}),
        str(HERE / "models" / "street" / "1"),
        confidence=0.5,
        on_result=keep,
        stages=stages,
        stream={"name": "street"},
    )
    pipeline.start()
    pipeline.join()
    return shown[0]


def main() -> None:
    """Write both pictures."""
    parser = argparse.ArgumentParser(description="Draw what annotate and privacy make.")
    parser.add_argument("--out", type=Path, default=HERE / "pictures")
    parser.add_argument("--frame", type=int, default=200)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, stages in (("layers", layers()), ("privacy", privacy())):
        path = options.out / f"{name}.jpg"
        image = picture(stages, options.frame)
        cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 82])
        print(path)


if __name__ == "__main__":
    main()
