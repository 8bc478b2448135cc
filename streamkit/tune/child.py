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
from streamkit.tune.agreement import LEEWAY
from streamkit.tune.told import said
from streamkit.tune.truth import OPTIONS, Truth


def run(asked: dict[str, Any]) -> dict[str, Any]:
    """Throughput and latency of the whole of a model (prepare, run, finish), and what it says."""
    candidate = asked["candidate"]
    batch = candidate["batch"]
    model = load(
        read_path(Path(asked["weights"])),
        execution=_execution(candidate),
        max_batch=batch if batch > 1 else None,
    )
    if model.max_batch < batch:
        raise SystemExit(f"the graph takes {model.max_batch} pictures at a time")
    pictures = list(np.load(asked["pictures"], allow_pickle=False))
    options = InferenceOptions(confidence=max(0.0, asked["confidence"] - LEEWAY))
    says = [said(model, picture, options) for picture in pictures]
    sets = [[*pictures, *pictures][i : i + batch] for i in range(len(pictures))]
    rate, cpu_each = _throughput(model, sets, options, candidate["workers"], asked["seconds"])
    return {
        "provider": model.provider,
        "fps": rate * batch,
        "cpu": cpu_each / batch,
        "latency": _latency(model, sets, options, asked["seconds"] / 2),
        "says": says,
        "precision": _precision(model, asked),
    }


def _execution(candidate: dict[str, Any]) -> Execution:
    provider, precision = candidate["provider"], candidate["precision"]
    return Execution(
        providers=tuple(dict.fromkeys((provider, "CPUExecutionProvider"))),
        required=(provider,),
        threads=candidate["threads"],
        spinning=candidate["spinning"],
        openvino_precision="bf16" if precision == "bf16" else "f32",
        tensorrt_fp16=precision == "f16",
    )


def _precision(model: Model, asked: dict[str, Any]) -> float | None:
    """mAP where there are annotations, and where it is asked for: it takes its time."""
    if not asked.get("annotations"):
        return None
    truth = Truth(Path(asked["annotations"]), Path(asked["folder"]))
    truth.check(model.names)
    keys = list(truth.files)[: asked["count"]]
    return truth.precision(keys, lambda picture: _infer(model, [picture], OPTIONS)[0])


def _infer(model: Model, pictures: list[Image], options: InferenceOptions) -> list[Any]:
    tensor, geometries = model.prepare(pictures)
    outputs = model.run(tensor)
    return [model.finish(outputs, i, at, options) for i, at in enumerate(geometries)]


def _throughput(
    model: Model, sets: list[list[Image]], options: InferenceOptions, workers: int, seconds: float
) -> tuple[float, float]:
    """Runs a second with so many at a time, and CPU seconds per run."""
    done = [0] * workers
    until = time.monotonic() + seconds

    def work(number: int) -> None:
        while time.monotonic() < until:
            _infer(model, sets[(number + done[number]) % len(sets)], options)
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
    model: Model, sets: list[list[Image]], options: InferenceOptions, seconds: float
) -> float:
    """Median seconds of one at a time."""
    took: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(took) < 3:
        began = time.perf_counter()
        _infer(model, sets[len(took) % len(sets)], options)
        took.append(time.perf_counter() - began)
    return float(np.median(took))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(json.loads(sys.argv[1]))) + "\n")
