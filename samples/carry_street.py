"""How well boxes are moved along between inferences: ``python samples/carry_street.py``.

A model that is always right sees every n-th frame of drawn streets; in the frames between, the
boxes that the pipeline moves along, and the same boxes left alone, are compared with the truth.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
from street.scene import CLASSES, Scene, Truth

from streamkit import Detections, InferencePipeline, Result, VideoFrame

Boxes = npt.NDArray[np.float32]
FPS, SIZE, BEGUN, SKIPPED = 25, (1280, 720), datetime(2026, 1, 1, tzinfo=UTC), 40
VISIBLE = 0.3
"""Part of an object that has to be in view for it to count."""
BLANK = np.zeros((16, 16, 3), np.uint8)


def main() -> None:
    """Print a table: n, the mean IoU of boxes moved along, and of boxes left alone."""
    parser = argparse.ArgumentParser(description="Measure boxes between inferences.")
    parser.add_argument("--every", type=int, nargs="+", default=[2, 3, 5, 10])
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13, 14])
    parser.add_argument("--frames", type=int, default=120)
    options = parser.parse_args()
    streets = [street(seed, options.frames) for seed in options.seeds]
    for every in options.every:
        pairs = np.array([pair for frames in streets for pair in compared(frames, every)])
        moved, held = pairs.mean(axis=0)
        print(f"every {every}: moved along {moved:.3f}, left alone {held:.3f}, {len(pairs)} boxes")


def street(seed: int, frames: int) -> list[list[Truth]]:
    """The truth of each frame of a drawn street."""
    scene = Scene(seed, frames=SKIPPED + frames)
    found = [scene.frame(number)[1] for number in range(SKIPPED, SKIPPED + frames)]
    return [[truth for truth in one if truth.visible >= VISIBLE] for one in found]


def compared(frames: list[list[Truth]], every: int) -> Iterator[tuple[float, float]]:
    """IoU with the truth, of each object in the frames between: moved along, left alone."""
    held: dict[int, Boxes] = {}
    for result, truths in zip(results(frames, every), frames, strict=True):
        assert isinstance(result.prediction, Detections)
        boxes = by_object(result.prediction)
        if result.inferred:
            held = boxes
            continue
        for truth in truths:
            exact = np.array(truth.xyxy, np.float32)
            yield iou(boxes.get(truth.object_id), exact), iou(held.get(truth.object_id), exact)


def results(frames: list[list[Truth]], every: int) -> list[Result]:
    """What a pipeline tells of each frame."""
    told: list[Result] = []

    def look(asked: list[VideoFrame]) -> list[Detections]:
        return [detections(frames[frame.frame_id - 1]) for frame in asked]

    pipeline = InferencePipeline.init_with_custom_logic(
        ((BLANK, BEGUN + timedelta(seconds=number / FPS)) for number in range(len(frames))),
        look,
        on_result=told.append,
        stream={"infer_every": every},
    )
    pipeline.start()
    pipeline.join()
    return told


def detections(truths: list[Truth]) -> Detections:
    """What a model that is always right would find."""
    return Detections(
        np.array([truth.xyxy for truth in truths], np.float32).reshape(-1, 4),
        np.ones(len(truths), np.float32),
        np.array([CLASSES.index(truth.name) for truth in truths], np.int64),
        CLASSES,
        SIZE,
        tracker_id=np.array([truth.object_id for truth in truths], np.int64),
    )


def by_object(found: Detections) -> dict[int, Boxes]:
    """Boxes by what they are of."""
    assert found.tracker_id is not None
    return dict(zip(found.tracker_id.tolist(), found.xyxy, strict=True))


def iou(box: Boxes | None, exact: Boxes) -> float:
    """0 where there is no box."""
    if box is None:
        return 0.0
    sides = np.minimum(box[2:], exact[2:]) - np.maximum(box[:2], exact[:2])
    common = float(np.clip(sides, 0, None).prod())
    areas = [float((one[2:] - one[:2]).prod()) for one in (box, exact)]
    return common / (sum(areas) - common)


if __name__ == "__main__":
    main()
