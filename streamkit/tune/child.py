"""Measures one candidate, in a process of its own: a provider that crashes ends only this."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from streamkit.frame import Image
from streamkit.models.base import InferenceOptions, Model
from streamkit.models.execution import Execution
from streamkit.models.loading import load
from streamkit.models.store.package import read_path
from streamkit.predictions import Classification, Detections

_LEEWAY = 0.1


def run(asked: dict[str, Any]) -> dict[str, Any]:
    """Throughput and latency of the whole of a model (prepare, run, finish), and what it says."""
    candidate = asked["candidate"]
    provider, cpu = candidate["provider"], "CPUExecutionProvider"
    execution = Execution(
        providers=tuple(dict.fromkeys((provider, cpu))),
        required=(provider,),
        threads=candidate["threads"],
        spinning=candidate["spinning"],
        openvino_precision=candidate["precision"],
    )
    model = load(read_path(Path(asked["weights"])), execution=execution)
    pictures = list(np.load(asked["pictures"], allow_pickle=False))
    options = InferenceOptions(confidence=max(0.0, asked["confidence"] - _LEEWAY))
    says = [_told(_infer(model, picture, options)) for picture in pictures]
    rate, cpu_each = _throughput(model, pictures, options, candidate["workers"], asked["seconds"])
    latency = _latency(model, pictures, options, asked["seconds"] / 2)
    return {
        "provider": model.provider,
        "fps": rate,
        "cpu": cpu_each,
        "latency": latency,
        "says": says,
    }


def _infer(model: Model, picture: Image, options: InferenceOptions) -> Any:
    tensor, geometries = model.prepare([picture])
    return model.finish(model.run(tensor), 0, geometries[0], options)


def _throughput(
    model: Model, pictures: list[Image], options: InferenceOptions, workers: int, seconds: float
) -> tuple[float, float]:
    """Pictures a second with so many at a time, and CPU seconds per picture."""
    done = [0] * workers
    until = time.monotonic() + seconds

    def work(number: int) -> None:
        while time.monotonic() < until:
            _infer(model, pictures[(number + done[number]) % len(pictures)], options)
            done[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    began, cpu = time.monotonic(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count = max(1, sum(done))
    return count / (time.monotonic() - began), (time.process_time() - cpu) / count


def _latency(
    model: Model, pictures: list[Image], options: InferenceOptions, seconds: float
) -> float:
    """Median seconds of one at a time."""
    took: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(took) < 3:
        began = time.perf_counter()
        _infer(model, pictures[len(took) % len(pictures)], options)
        took.append(time.perf_counter() - began)
    return float(np.median(took))


def _told(prediction: Any) -> dict[str, Any]:
    """Boxes, classes and scores; a picture's class counts as one object that fills it."""
    if isinstance(prediction, Detections):
        return {
            "boxes": prediction.xyxy.tolist(),
            "classes": prediction.class_id.tolist(),
            "scores": prediction.confidence.tolist(),
        }
    if isinstance(prediction, Classification) and len(prediction):
        return {"boxes": [[0, 0, 1, 1]], "classes": prediction.class_id[:1].tolist(), "scores": [1]}
    ids = getattr(prediction, "class_id", np.empty(0)).tolist()
    return {"boxes": [[0, 0, 1, 1]] * len(ids), "classes": ids, "scores": [1] * len(ids)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(json.loads(sys.argv[1]))) + "\n")
