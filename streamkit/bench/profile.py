"""Where the CPU time of a frame goes, stage by stage: one clip, in a process of its own.

Every stage is timed by the clock of its own thread, and every thread by the system; so what other
programs do meanwhile is not in it, native code is, and the parts add up to the whole.
"""

from __future__ import annotations

import functools
import importlib
import json
import re
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from streamkit.bench import ours

Path_: TypeAlias = tuple[str, ...]
"""A group of threads, and the stages within it that are under way, outermost first."""

STAGES: Final[Mapping[str, str]] = {
    "streamkit.streams.reader:Reader._next": "demux, decode",
    "streamkit.scheduler:Lane.put": "into the lane",
    "streamkit.models.onnx_model:OnnxModel.prepare": "prepare",
    "streamkit.sources.decoding:DecodedPicture.bgr": "planes to BGR",
    "streamkit.models.preprocess:Pixels.resized": "resize",
    "streamkit.models.preprocess:write_planes": "to float",
    "streamkit.models.session:Session.run": "session",
    "streamkit.models.detector:Detector.finish": "finish",
    "streamkit.models.heads:candidates": "threshold, top k",
    "streamkit.models.detector:suppress": "NMS",
    "streamkit.streams.stream:Stream._hand_on": "stages, hand on",
    "streamkit.stages.annotate:Annotate.__call__": "draw",
    "streamkit.sinks.jsonl:JsonLinesSink.write": "JSON line",
    "streamkit.predictions:Detections.dict": "rows",
    "streamkit.sinks.jsonl:encode": "encode",
    "streamkit.sinks.jsonl:JsonLinesSink._put": "write",
}
"""What is timed, and its name."""

_GROUPS: Final = (
    (re.compile(r"streamkit model"), "model workers"),
    (re.compile(r"streamkit reader"), "reader"),
    (re.compile(r"streamkit stream"), "stream"),
    (re.compile(r"streamkit sink on_result"), "the bench's own callback"),
    (re.compile(r"streamkit sink"), "sink"),
    (re.compile(r"av:|dec\d"), "decoder's threads"),
)
BRIEF: Final = "threads that have ended"


def group(thread: str) -> str:
    """What a thread of this name is for."""
    return next((name for pattern, name in _GROUPS if pattern.match(thread)), "other threads")


Spent: TypeAlias = defaultdict[Path_, float]
"""CPU seconds by path."""


def _spent() -> Spent:
    return defaultdict(float)


@dataclass(slots=True)
class _Calls:
    """Of one thread."""

    name: str
    number: int
    spent: Spent = field(default_factory=_spent)
    """On the calls that have ended, with all that was called from within."""
    under_way: list[tuple[Path_, float]] = field(default_factory=list)
    """Path, and what the thread had used when the call began; outermost first."""


class Stopwatch:
    """CPU seconds by path, of those threads that call the functions it was put around."""

    def __init__(self) -> None:
        self._calls: list[_Calls] = []
        self._local = threading.local()

    def put_around(self, place: str, name: str) -> None:
        """Time the function at ``place`` (``module:Class.function``) from now on."""
        module, _, inside = place.partition(":")
        *owners, last = inside.split(".")
        owner: Any = functools.reduce(getattr, owners, importlib.import_module(module))
        setattr(owner, last, self._timed(getattr(owner, last), name))

    def read(self, used: Mapping[int, tuple[str, float]]) -> Spent:
        """All so far; ``used``: what each thread has used until now, for calls under way."""
        found = _spent()
        for calls in list(self._calls):
            main = (group(calls.name),)
            for path, seconds in list(calls.spent.items()):
                found[main + path] += seconds
            now = used.get(calls.number, ("", 0.0))[1]
            for path, began in list(calls.under_way):
                found[main + path] += max(0.0, now - began)
        return found

    def _timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **options: Any) -> Any:
            calls = self._of_this_thread()
            outer = calls.under_way[-1][0] if calls.under_way else ()
            path, began = (*outer, name), time.thread_time()
            calls.under_way.append((path, began))
            try:
                return function(*args, **options)
            finally:
                calls.under_way.pop()
                calls.spent[path] += time.thread_time() - began

        return timed

    def _of_this_thread(self) -> _Calls:
        calls: _Calls | None = getattr(self._local, "calls", None)
        if calls is None:
            thread = threading.current_thread()
            calls = self._local.calls = _Calls(thread.name, threading.get_native_id())
            self._calls.append(calls)
        return calls


def threads() -> dict[int, tuple[str, float]]:
    """Each thread of this process by number: its name, and the CPU seconds it has used; number 0 is
    all of them, also those that have ended. Without the others where the system does not tell."""
    known = {t.native_id: t.name for t in threading.enumerate()}
    found = {0: ("", time.process_time())}
    for folder in Path("/proc/self/task").glob("*"):
        try:
            number, spent = int(folder.name), int((folder / "schedstat").read_text().split()[0])
            name = (folder / "comm").read_text().strip()
        except (OSError, ValueError, IndexError):
            continue  # it has just ended
        found[number] = known.get(number, name), spent / 1e9
    return found


def run(asked: dict[str, Any]) -> dict[str, Any]:
    """The clip to JSON lines; seconds per frame of each path, own time only, sums up to all."""
    watch, readings = Stopwatch(), list[Spent]()
    for place, name in STAGES.items():
        watch.put_around(place, name)

    def passed(number: int) -> None:
        if number in (asked["skip"], asked["frames"]):
            used = threads()
            readings.append(watch.read(used) | _by_group(used))

    marks = ours.run(asked, passed)
    frames = asked["frames"] - asked["skip"]
    begun, ended = readings
    spent = {path: (seconds - begun[path]) / frames for path, seconds in ended.items()}
    told = [[list(path), seconds] for path, seconds in own_times(spent).items()]
    return {"frames": frames, "found": marks.found, "paths": told}


def _by_group(used: Mapping[int, tuple[str, float]]) -> Spent:
    found = _spent()
    for number, (name, seconds) in used.items():
        found[(group(name) if number else BRIEF,)] += seconds
        found[(BRIEF,)] -= seconds if number else 0.0
    return found


def own_times(whole: Mapping[Path_, float]) -> dict[Path_, float]:
    """Of each path what is not in a longer one; never less than nothing."""
    own = dict(whole)
    for path, seconds in whole.items():
        if path[:-1] in own:
            own[path[:-1]] -= seconds
    return {path: max(0.0, seconds) for path, seconds in own.items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(json.loads(sys.argv[1]))) + "\n")
