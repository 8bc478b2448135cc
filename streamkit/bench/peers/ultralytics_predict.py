"""One clip through ``ultralytics``' streaming predict; run by a Python that has it."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

from marks import Marks


def run(asked: dict[str, Any], records: TextIO) -> Marks:
    """The clip to JSON lines."""
    from ultralytics import YOLO

    marks = Marks(asked["skip"], asked["frames"])
    results = YOLO(asked["weights"], task="detect").predict(
        asked["clip"],
        stream=True,
        verbose=False,
        conf=asked["confidence"],
        iou=asked["iou_threshold"],
        imgsz=asked["size"],
        device="cpu",
    )
    for result in results:
        boxes = result.boxes
        columns = {"xyxy": boxes.xyxy, "confidence": boxes.conf, "class": boxes.cls}
        told = {name: column.tolist() for name, column in columns.items()}
        records.write(json.dumps(told) + "\n")
        if marks.count(len(boxes)):
            break
    return marks


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    with open(task["output"], "w", encoding="utf-8") as file:  # noqa: PTH123
        run(task, file).tell()
    os._exit(0)
