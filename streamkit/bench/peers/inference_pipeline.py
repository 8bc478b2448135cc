"""One clip through the neighbour's ``InferencePipeline``; run by a Python that has it."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

from marks import Marks


def run(asked: dict[str, Any], records: TextIO) -> Marks:
    """The clip to JSON lines."""
    from inference import InferencePipeline

    marks = Marks(asked["skip"], asked["frames"])

    def write(predictions: dict[str, Any], _frame: Any) -> None:
        told = {name: value for name, value in predictions.items() if name != "visualization"}
        records.write(json.dumps(told, default=str) + "\n")
        if marks.count(len(predictions["predictions"])):
            pipeline.terminate()

    pipeline = InferencePipeline.init(
        model_id=asked["model"],
        video_reference=asked["clip"],
        on_prediction=write,
        confidence=asked["confidence"],
        iou_threshold=asked["iou_threshold"],
    )
    pipeline.start()
    pipeline.join()
    return marks


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    with open(task["output"], "w", encoding="utf-8") as file:  # noqa: PTH123
        run(task, file).tell()
    os._exit(0)  # its threads would keep it
