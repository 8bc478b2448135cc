"""What a frame cannot cost less than: each part of its way alone, in a process of its own."""

from __future__ import annotations

import io
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from streamkit.frame import VideoFrame
from streamkit.models.base import InferenceOptions, Model
from streamkit.models.manager import ModelManager
from streamkit.predictions import Result
from streamkit.settings import Settings
from streamkit.sinks.record import encode, record
from streamkit.sources import open_source

_HELD = 24
"""Decoded pictures kept at a time: 33 MB at 720p."""
PARTS = ("decode", "prepare", "session", "finish", "record")


def run(asked: dict[str, Any]) -> dict[str, Any]:
    """CPU seconds per frame of each part, the session as often at a time as in a pipeline."""
    settings = Settings.load()
    manager = ModelManager.of(settings)
    options = InferenceOptions(confidence=asked["confidence"], iou_threshold=asked["iou_threshold"])
    with manager.pin(asked["model"]) as shared:
        parts = _Parts(shared.model, options, settings.model_workers or 2)
        spent = parts.run(asked["clip"], asked["frames"])
        provider, path = shared.model.provider, shared.model.path
    manager.close()
    decode = _decoded(asked["clip"], asked["frames"])
    return {"parts": {"decode": decode, **spent}, "provider": provider, "path": path}


def _decoded(clip: str, frames: int) -> float:
    """CPU seconds per frame to decode, without any pixels."""
    with closing(open_source(clip).read()) as captures:
        next(captures)
        began = time.process_time()
        count = sum(1 for _ in itertools.islice(captures, frames))
        return (time.process_time() - began) / count


class _Parts:
    """The parts after decoding, each over the same frames."""

    def __init__(self, model: Model, options: InferenceOptions, workers: int) -> None:
        self._model, self._options, self._workers = model, options, workers
        self._spent = dict.fromkeys(PARTS[1:], 0.0)

    def run(self, clip: str, frames: int) -> dict[str, float]:
        """CPU seconds per frame."""
        done = 0
        with closing(open_source(clip).read()) as captures:
            while done < frames:
                held = list(itertools.islice(captures, _HELD))
                if not held:
                    break
                self._batch([_frame(capture, done + i) for i, capture in enumerate(held)])
                done += len(held)
        return {name: spent / done for name, spent in self._spent.items()}

    def _batch(self, frames: Sequence[VideoFrame]) -> None:
        model = self._model
        prepared = self._timed("prepare", lambda: [model.prepare([f]) for f in frames])
        outputs = self._timed("session", lambda: self._at_once([t for t, _ in prepared]))
        finished = self._timed(
            "finish",
            lambda: [
                model.finish(output, 0, geometries[0], self._options)
                for output, (_, geometries) in zip(outputs, prepared, strict=True)
            ],
        )
        results = [Result(f, p) for f, p in zip(frames, finished, strict=True)]
        sink = io.BytesIO()
        self._timed("record", lambda: [sink.write(encode(record(result))) for result in results])

    def _at_once(self, tensors: Sequence[Any]) -> list[Any]:
        """All of them through the session, on as many threads as a pipeline has workers."""
        outputs: list[Any] = [None] * len(tensors)
        queue = iter(enumerate(tensors))
        nothing: tuple[int, Any] = (-1, None)
        lock = threading.Lock()

        def work() -> None:
            while True:
                with lock:
                    number, tensor = next(queue, nothing)
                if number < 0:
                    return
                outputs[number] = self._model.run(tensor)

        threads = [threading.Thread(target=work) for _ in range(self._workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outputs

    def _timed(self, name: str, work: Callable[[], list[Any]]) -> list[Any]:
        began = time.process_time()
        done = work()
        self._spent[name] += time.process_time() - began
        return done


def _frame(capture: Any, number: int) -> VideoFrame:
    return VideoFrame(capture.picture, number + 1, datetime.now(UTC), source_id=0)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(json.loads(sys.argv[1]))) + "\n")
