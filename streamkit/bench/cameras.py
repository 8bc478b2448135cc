"""So many replayed cameras in a process of their own: what they cost, and how old results get."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil

from streamkit.bench.peers.marks import cpu
from streamkit.meters import Histogram
from streamkit.options import SourceReference
from streamkit.pipeline import InferencePipeline
from streamkit.predictions import Result
from streamkit.sinks import JsonLinesSink
from streamkit.sources import open_source
from streamkit.sources.base import Thrifty

_SETTLE = 2.0


class Slow:
    """A sink of so many results a second."""

    def __init__(self, rate: float, seen: Callable[[Result], None]) -> None:
        self._interval, self._seen = 1 / rate, seen

    def write(self, result: Result) -> None:
        """Take one."""
        self._seen(result)
        time.sleep(self._interval)

    def close(self) -> None:
        """Nothing to close."""


def own_rate(rate: float, number: int) -> float:
    """A little different for each, like the crystals of cameras: they do not march in step."""
    return rate * (1 + 0.002 * ((number * 7) % 11 - 5))


def run(asked: dict[str, Any]) -> dict[str, Any]:
    """The whole way, or with ``"only": "decode"`` no more than reading."""
    return _decoded(asked) if asked.get("only") == "decode" else _watched(asked)


def _watched(asked: dict[str, Any]) -> dict[str, Any]:
    ages, measuring = Histogram(), threading.Event()

    def note(result: Result) -> None:
        if measuring.is_set():
            ages.add(result.frame.age)

    pipeline = InferencePipeline.init(
        [_camera(asked, number) for number in range(asked["cameras"])],
        asked["model"],
        on_result=None if asked.get("sink_rate") else note,
        sinks=_sinks(asked, note),
    )
    with pipeline:
        time.sleep(_SETTLE)
        before = pipeline.stats()
        measuring.set()
        spent = _over(asked["seconds"])
        measuring.clear()
        after = pipeline.stats()
        resident = psutil.Process().memory_info().rss
    moved = {name: _moved(before, after, name) for name in ("captured", "delivered")}
    quantiles = {f"age_p{int(100 * q)}": ages.quantile(q) for q in (0.5, 0.95, 0.99)}
    model = after["model"]
    took = {"model": sum(model[step] for step in ("prepare", "run", "finish"))}
    told = {"age_max": ages.maximum, "resident": resident}
    return {**spent, **moved, **quantiles, **told, **took}


def _sinks(asked: dict[str, Any], note: Callable[[Result], None]) -> list[Callable[[], Any]]:
    if rate := asked.get("sink_rate"):
        return [lambda: Slow(rate, note)]
    return [lambda: JsonLinesSink(Path(asked["output"]))]


def _camera(asked: dict[str, Any], number: int) -> SourceReference:
    options: dict[str, Any] = {"fps": own_rate(asked["rate"], number), "share": False}
    if asked.get("fps"):
        options["max_fps"] = asked["fps"]
    return SourceReference(f"replay:{asked['clip']}", options)


def _moved(before: dict[str, Any], after: dict[str, Any], name: str) -> int:
    return sum(
        late[name] - early[name]
        for early, late in zip(before["streams"], after["streams"], strict=True)
    )


def _over(seconds: float) -> dict[str, float]:
    began, spent = time.monotonic(), cpu()
    time.sleep(seconds)
    return {"seconds": time.monotonic() - began, "cpu": cpu() - spent}


def _decoded(asked: dict[str, Any]) -> dict[str, Any]:
    """As many readers, who throw every picture away; as many of them wanted as in a pipeline, so
    that no more is decoded, and no less."""
    counts = [0] * asked["cameras"]
    sources = [
        open_source(f"replay:{asked['clip']}", fps=own_rate(asked["rate"], number))
        for number in range(asked["cameras"])
    ]
    for source in sources:
        if isinstance(source, Thrifty):
            source.want(asked.get("fps"))

    def read(number: int) -> None:
        with closing(sources[number].read()) as captures:
            for _ in captures:
                counts[number] += 1

    threads = [threading.Thread(target=read, args=(n,)) for n in range(len(sources))]
    for thread in threads:
        thread.start()
    time.sleep(_SETTLE)
    before = sum(counts)
    spent = _over(asked["seconds"])
    captured = sum(counts) - before
    for source in sources:
        source.interrupt()
    for thread in threads:
        thread.join()
    return {**spent, "captured": captured}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(json.loads(sys.argv[1]))) + "\n")
