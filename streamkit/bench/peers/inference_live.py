"""One camera through the neighbour's ``InferencePipeline``; run by a Python that has it."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from ages import Ages


def run(asked: dict[str, Any]) -> Ages:
    """Until enough results have come; a sink of ``sink_rate`` results a second, if one is given."""
    import time

    from inference import InferencePipeline

    ages, pause = Ages(asked), 1 / asked["sink_rate"] if asked.get("sink_rate") else 0.0

    def take(_predictions: Any, frame: Any) -> None:
        if ages.note(frame.image[..., 1]):
            pipeline.terminate()
        time.sleep(pause)

    pipeline = InferencePipeline.init(
        model_id=asked["model"],
        video_reference=asked["url"],
        on_prediction=take,
        confidence=asked["confidence"],
        iou_threshold=asked["iou_threshold"],
    )
    pipeline.start()
    pipeline.join()
    return ages


if __name__ == "__main__":
    run(json.loads(sys.argv[1])).tell()
    os._exit(0)  # its threads would keep it
