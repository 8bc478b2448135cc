"""How good a sample detector is: runs its ONNX file and measures mAP with pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from street.pen import Image
from street.scene import CLASSES, CLIP_SEED, Scene

from detector.data import LEAST_VISIBLE, Boxes, fit, load, table

Found = NDArray[np.float32]  # rows of class, x0, y0, x1, y1, score


@dataclass(frozen=True)
class Quality:
    """Average precision, overall and as `name -> (at IoU 0.5, over 0.5 to 0.95)`."""

    map50: float
    map50_95: float
    classes: dict[str, tuple[float, float]]


class Detector:
    """The exported model in ONNX Runtime on one CPU thread."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(str(path), options, providers=providers)

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw output [n, 4 + classes, cells] for BGR pictures [n, H, W, 3] of input size."""
        x = images[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255
        return np.asarray(self.session.run(None, {"images": x})[0])

    def find(self, image: Image, least: float, overlap: float = 0.6) -> Found:
        """Objects on one BGR picture of input size, best first, in input pixels."""
        return select(self.run(image[None])[0], least, overlap)


def select(output: NDArray[np.float32], least: float, overlap: float) -> Found:
    """Threshold and suppress duplicates, class by class; `output` is [4 + classes, cells]."""
    rows = output.T[output[4:].max(0) >= least]
    name, score = rows[:, 4:].argmax(1), rows[:, 4:].max(1)
    half = rows[:, 2:4] / 2
    low, high = rows[:, :2] - half, rows[:, :2] + half
    found = np.column_stack([name, low, high, score]).astype(np.float32)
    boxes = np.column_stack([low + name[:, None] * 4096.0, high - low])
    keep = cv2.dnn.NMSBoxes(boxes.tolist(), score.tolist(), least, overlap)
    order = np.asarray(keep, int).reshape(-1)[:100]
    return np.asarray(found[order], np.float32)


def measure(frames: Iterator[tuple[Image, Boxes]], detector: Detector) -> Quality:
    """COCO average precision; objects less than a quarter visible are ignored."""
    truth: list[dict[str, object]] = []
    found: list[dict[str, object]] = []
    count = 0
    for image, boxes in frames:
        for row in boxes[boxes[:, 0] >= 0]:
            faint = bool(row[5] < LEAST_VISIBLE)
            truth.append(_entry(row, count) | {"id": len(truth) + 1, "iscrowd": int(faint)})
        for row in detector.find(image, 0.01):
            found.append(_entry(row, count) | {"score": float(row[5])})
        count += 1
    return _coco(truth, found, count)


def hits(
    frames: Iterator[tuple[Image, Boxes]], detector: Detector, least: float
) -> tuple[float, float]:
    """Share of found boxes that are right, and of half-visible or better objects that are found.

    Right means the right class and an IoU of 0.5 with an object that nothing better claims.
    """
    found = right = wanted = met = 0
    for image, boxes in frames:
        true = boxes[boxes[:, 0] >= 0]
        taken = np.zeros(len(true), bool)
        for row in detector.find(image, least):
            iou = _iou(row, true) * (true[:, 0] == row[0]) * ~taken
            best = int(iou.argmax()) if len(iou) else -1
            if best >= 0 and iou[best] >= 0.5:
                taken[best] = True
                right += 1
            found += 1
        clear = true[:, 5] >= 0.5
        wanted += int(clear.sum())
        met += int((taken & clear).sum())
    return right / max(found, 1), met / max(wanted, 1)


def _iou(row: NDArray[np.float32], boxes: Boxes) -> NDArray[np.float32]:
    low, high = np.maximum(row[1:3], boxes[:, 1:3]), np.minimum(row[3:5], boxes[:, 3:5])
    both = np.clip(high - low, 0, None).prod(1)
    sizes = (boxes[:, 3:5] - boxes[:, 1:3]).prod(1) + (row[3:5] - row[1:3]).prod()
    return np.asarray(both / (sizes - both), np.float32)


def _entry(row: NDArray[np.float32], image: int) -> dict[str, object]:
    x0, y0, x1, y1 = (float(v) for v in row[1:5])
    size = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
    return {"image_id": image, "category_id": int(row[0]) + 1, **size}


def _coco(truth: list[dict[str, object]], found: list[dict[str, object]], count: int) -> Quality:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        gold = COCO()
        names = [{"id": i + 1, "name": n} for i, n in enumerate(CLASSES)]
        images = [{"id": i} for i in range(count)]
        gold.dataset = {"images": images, "annotations": truth, "categories": names}
        gold.createIndex()
        judge = COCOeval(gold, gold.loadRes(found), "bbox")
        judge.evaluate()
        judge.accumulate()
    table = judge.eval["precision"][:, :, :, 0, 2]  # overlap, recall, class; all sizes, 100 boxes
    table = np.where(table < 0, np.nan, table)
    each = {
        n: (float(table[0, :, i].mean()), float(table[:, :, i].mean()))
        for i, n in enumerate(CLASSES)
    }
    pair = np.nanmean(np.array(list(each.values())), axis=0)
    return Quality(float(pair[0]), float(pair[1]), each)


def held_out(folder: Path) -> Iterator[tuple[Image, Boxes]]:
    """Frames of scenes that training never saw."""
    images, boxes = load(folder, "held")
    yield from zip(images, boxes, strict=True)


def clip(path: Path, every: int = 4) -> Iterator[tuple[Image, Boxes]]:
    """Decoded frames of the sample clip with their truth."""
    import av

    scene = Scene(CLIP_SEED)
    with av.open(str(path)) as file:
        for t, picture in enumerate(file.decode(video=0)):
            if t % every == 0:
                image = np.asarray(picture.to_ndarray(format="bgr24"), np.uint8)
                small, scale, left, top = fit(image)
                yield small, table(scene.frame(t)[1], scale, left, top)
