"""Average precision as COCO defines it (pycocotools), for whatever answers with ``Detections``."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from streamkit.frame import Image
from streamkit.predictions import Detections

Kind: TypeAlias = Literal["bbox", "segm", "keypoints"]


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """``ap`` over IoU 0.50 to 0.95, ``ap50`` at 0.50; 0..1."""

    ap: float
    ap50: float


class CocoSet:
    """Pictures with true boxes: a folder of images and an ``instances`` file."""

    def __init__(self, instances: Path, images: Path) -> None:
        self._images = images
        with contextlib.redirect_stdout(io.StringIO()):
            self._truth = COCO(str(instances))
        self.names = tuple(c["name"] for c in self._truth.loadCats(self._truth.getCatIds()))

    def pictures(self) -> Iterator[tuple[int, Image]]:
        """(image id, BGR picture)."""
        for image in self._truth.loadImgs(self._truth.getImgIds()):
            picture = cv2.imread(str(self._images / image["file_name"]))
            assert picture is not None, image["file_name"]
            yield image["id"], np.asarray(picture, np.uint8)

    def evaluate(
        self, detect: Callable[[Image], Detections], kind: Kind = "bbox"
    ) -> AveragePrecision:
        """What ``detect`` finds in every picture against the truth: its boxes, masks, keypoints."""
        rows = [row for key, image in self.pictures() for row in self._rows(key, detect(image))]
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(self._truth, self._truth.loadRes(rows), kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return AveragePrecision(float(evaluation.stats[0]), float(evaluation.stats[1]))

    def _rows(self, image_id: int, found: Detections) -> list[dict[str, Any]]:
        categories = {c["name"]: c["id"] for c in self._truth.loadCats(self._truth.getCatIds())}
        left, top, right, bottom = found.xyxy.astype(float).T if len(found) else np.empty((4, 0))
        boxes = np.stack((left, top, right - left, bottom - top), axis=1).tolist()
        scores = found.confidence.tolist()
        rows = [
            {"image_id": image_id, "category_id": categories[label], "bbox": box, "score": score}
            for label, box, score in zip(found.labels, boxes, scores, strict=True)
        ]
        if found.masks is not None:
            rows = [r | {"segmentation": m} for r, m in zip(rows, found.masks.rle(), strict=True)]
        if found.keypoints is not None:
            flat = found.keypoints.reshape(len(rows), -1).tolist()
            rows = [r | {"keypoints": k} for r, k in zip(rows, flat, strict=True)]
        return rows


def write_instances(path: Path, names: Sequence[str], pictures: Sequence[dict[str, Any]]) -> Path:
    """An ``instances`` file. Each picture: ``file_name``, ``width``, ``height``, ``boxes`` as
    ``(class name, left, top, width, height)``."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, picture in enumerate(pictures, 1):
        boxes = picture["boxes"]
        images.append({"id": number, **{k: v for k, v in picture.items() if k != "boxes"}})
        for name, *box in boxes:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": names.index(name) + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return path
