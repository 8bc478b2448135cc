"""Average precision as COCO defines it, where the user has true boxes for his pictures."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamkit.errors import ConfigError
from streamkit.frame import Image
from streamkit.models.base import InferenceOptions
from streamkit.predictions import Detections

OPTIONS = InferenceOptions(confidence=0.001, iou_threshold=0.7, multi_label=True)
"""As COCO figures are measured."""

Detect = Callable[[Image], Any]


class Truth:
    """A COCO ``instances`` file and the folder of its pictures."""

    def __init__(self, annotations: Path, folder: Path) -> None:
        """Raises ``ConfigError`` where it cannot be read, or ``pycocotools`` is missing."""
        try:
            import pycocotools.coco
        except ImportError as error:
            raise ConfigError(
                "annotations need the package pycocotools: pip install 'streamkit[quantize]'"
            ) from error
        self._folder = folder
        self._coco = pycocotools.coco.COCO()
        try:
            self._coco.dataset = json.loads(annotations.read_text("utf-8"))
            with contextlib.redirect_stdout(io.StringIO()):
                self._coco.createIndex()
            self._ids = {c["name"]: c["id"] for c in self._coco.dataset["categories"]}
            images = self._coco.dataset["images"]
            here = {i["id"]: folder / str(i["file_name"]) for i in images}
        except OSError as error:
            raise ConfigError(f"{annotations} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{annotations} is no COCO file: {error!r}") from error
        self.files = {key: path for key, path in sorted(here.items()) if path.is_file()}
        """Those pictures that are there, by their id."""
        if not self.files:
            raise ConfigError(f"{folder} has none of the pictures that {annotations} names")

    def picture(self, key: int) -> Image:
        """H x W x 3, BGR. ``ConfigError``."""
        import cv2

        found = cv2.imread(str(self.files[key]))
        if found is None:
            raise ConfigError(f"{self.files[key]} is no picture")
        return np.asarray(found, np.uint8)

    def precision(self, keys: Sequence[int], detect: Detect) -> float:
        """mAP (IoU 0.50 to 0.95) of what ``detect`` finds in these pictures; masks or keypoints
        are judged where it finds them. ``ConfigError`` for what finds no objects at all."""
        from pycocotools.cocoeval import COCOeval

        rows: list[dict[str, Any]] = []
        kind = "bbox"
        for key in keys:
            found = detect(self.picture(key))
            if not isinstance(found, Detections):
                raise ConfigError("annotations of objects cannot judge a model of whole pictures")
            kind = _kind(found) if len(found) else kind
            rows += self._rows(key, found)
        if not rows:
            return 0.0
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(self._coco, self._coco.loadRes(rows), kind)
            evaluation.params.imgIds = list(keys)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return float(evaluation.stats[0])

    def _rows(self, key: int, found: Detections) -> list[dict[str, Any]]:
        """Objects of classes that the file has; others cannot be judged."""
        left, top, right, bottom = found.xyxy.astype(float).T if len(found) else np.empty((4, 0))
        boxes = np.stack((left, top, right - left, bottom - top), axis=1).tolist()
        masks = found.masks.rle() if found.masks is not None else None
        rows = []
        for i, label in enumerate(found.labels):
            if label not in self._ids:
                continue
            row = {"image_id": key, "category_id": self._ids[label], "bbox": boxes[i]}
            row["score"] = float(found.confidence[i])
            if masks is not None:
                row["segmentation"] = masks[i]
            if found.keypoints is not None:
                row["keypoints"] = found.keypoints[i].reshape(-1).tolist()
            rows.append(row)
        return rows

    def check(self, names: Sequence[str]) -> None:
        """Raises ``ConfigError`` where a model's classes and the file's have no name in common."""
        if not set(names) & set(self._ids):
            raise ConfigError(
                f"the annotations name {', '.join(list(self._ids)[:5])}; the model "
                f"{', '.join(list(names)[:5])}: no class in common"
            )


def _kind(found: Detections) -> str:
    if found.masks is not None:
        return "segm"
    return "keypoints" if found.keypoints is not None else "bbox"
