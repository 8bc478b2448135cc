"""One clip through our own pipeline, in a process of its own: what ``race`` sets beside others."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamkit.bench.peers.marks import Marks
from streamkit.pipeline import InferencePipeline
from streamkit.predictions import Result
from streamkit.sinks import JsonLinesSink
from streamkit.stages import open_stage


def run(asked: dict[str, Any], passed: Callable[[int], None] = lambda _number: None) -> Marks:
    """The clip to JSON lines, drawn where ``draw`` is asked for; ends after the frames that are
    asked for. ``passed`` hears the number of each result."""
    marks = Marks(asked["skip"], asked["frames"])

    def note(result: Result) -> None:
        over = marks.count(len(result.prediction))
        passed(marks.seen)
        if over:
            pipeline.terminate()

    pipeline = InferencePipeline.init(
        asked["clip"],
        asked["model"],
        confidence=asked["confidence"],
        iou_threshold=asked["iou_threshold"],
        on_result=note,
        stages=[lambda: open_stage("annotate", {})] if asked.get("draw") else [],
        sinks=[lambda: JsonLinesSink(Path(asked["output"]))],
    )
    pipeline.start(use_main_thread=False)
    pipeline.join()
    return marks


if __name__ == "__main__":
    run(json.loads(sys.argv[1])).tell()
