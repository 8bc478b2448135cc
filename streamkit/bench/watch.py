"""One clock camera through our own pipeline, in a process of its own: how old results are."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from streamkit.bench.peers.ages import Ages
from streamkit.pipeline import InferencePipeline
from streamkit.predictions import Result


def run(asked: dict[str, Any]) -> Ages:
    """Until enough results have come; a sink of ``sink_rate`` results a second, if one is given."""
    ages, pause = Ages(asked), 1 / asked["sink_rate"] if asked.get("sink_rate") else 0.0

    def take(result: Result) -> None:
        if ages.note(result.image[..., 1]):
            pipeline.terminate()
        time.sleep(pause)

    pipeline = InferencePipeline.init(
        asked["url"],
        asked["model"],
        confidence=asked["confidence"],
        iou_threshold=asked["iou_threshold"],
        on_result=take,
    )
    pipeline.start(use_main_thread=False)
    pipeline.join()
    return ages


if __name__ == "__main__":
    run(json.loads(sys.argv[1])).tell()
