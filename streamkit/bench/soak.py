"""A long run over cameras that break at random, from a fixed seed: what is sampled on the way.

Some of the cameras stay healthy; the others flap, freeze, lie. One process runs the pipeline as
anybody would, the cameras have their own. At the end every fault is cleared, and every stream has
to be back without help. ``streamkit.bench.verdict`` says what to think of the record.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psutil

from streamkit.bench.soak_record import Held, Record, Sample, Span, Watch
from streamkit.chaos.camera import Camera
from streamkit.chaos.lab import Lab
from streamkit.chaos.scenario import perform
from streamkit.chaos.script import Entry, cues
from streamkit.frame import VideoFrame
from streamkit.options import SourceReference
from streamkit.pipeline import InferencePipeline

FAULTS: Final = (
    "refuse", "silence", "hang_up", "flap:up=2,down=0.7", "reboot:down=3", "cut_handshake",
    "slow_sdp:delay=2", "end_of_stream", "not_found", "audio_only", "resolution", "stall",
    "freeze", "black", "covered", "fps:fps=3", "jump:by=3600", "jump:by=-900", "reset",
    "drop_packets:percent=10", "reorder_packets:percent=10", "corrupt_packets:percent=10",
    "clock_skew:by=60", "no_reports",
)  # fmt: skip
"""What any camera may have; some kinds of cameras have more."""

OPTIONS: Final[dict[str, Any]] = {
    "open_timeout": 4.0, "read_timeout": 3.0, "first_frame_timeout": 8.0, "stall_timeout": 5.0,
    "frozen_after": 3.0, "restart_delay": 0.5, "restart_delay_max": 4.0, "wrong_delay": 1.0,
    "wrong_delay_max": 4.0, "auth_delay": 2.0, "auth_delay_max": 4.0, "stable_after": 5.0,
}  # fmt: skip
"""Of every stream. Waits are short, so that there is time for many faults."""

_SIZE, _FPS = (320, 240), 10.0
_GLANCE: Final = 0.5
"""Seconds between two looks at the states."""
_BACK: Final = 60.0
"""Seconds in which all have to be back after the last fault; waits, connecting and more."""
_CALM: Final = 5.0
"""Seconds without faults before the first and after the last one."""
_SHORT: Final = 3.0
"""Minutes below which faults come faster and times of calm are shorter."""


def cast(count: int) -> list[Camera]:
    """Cameras of all kinds; three of eight stay healthy."""
    well = max(1, round(count * 3 / 8))
    kinds: list[dict[str, Any]] = [
        {"pattern": "clock"}, {"pattern": "ball", "codec": "h265"},
        {"pattern": "ball", "codec": "mjpeg"}, {"pattern": "clock"},
        {"pattern": "ball", "auth": "digest"}, {"pattern": "ball", "tls": True},
        {"pattern": "ball", "codec": "h265"}, {"pattern": "ball", "transport": "udp"},
    ]  # fmt: skip
    names = [f"healthy-{n + 1}" if n < well else f"faulty-{n - well + 1}" for n in range(count)]
    return [
        Camera(name=name, size=_SIZE, fps=_FPS, gop=10, **kinds[number % len(kinds)])
        for number, name in enumerate(names)
    ]


def script_of(cameras: Sequence[Camera], every: str, lasting: str) -> dict[str, list[Entry]]:
    """What goes wrong with each faulty one: any of many faults, again and again."""
    found = {}
    for camera in cameras:
        if camera.name.startswith("faulty"):
            of = [*FAULTS, *_own_faults(camera)]
            times = {"at": "0s..3s", "every": every, "for": lasting}
            found[camera.name] = [Entry.of({"any": {"of": of, **times}})]
    return found


def _own_faults(camera: Camera) -> list[str]:
    found = [] if camera.codec == "mjpeg" else ["mid_gop", "codec:codec=mjpeg"]
    if camera.auth != "none":
        found.append("wrong_password")
    return [*found, "no_tls", "wrong_certificate"] if camera.secure else found


class Soak:
    """One run."""

    def __init__(
        self,
        minutes: float,
        cameras: int,
        seed: int,
        budget: float,
        on_sample: Callable[[Record], None] = lambda _record: None,
    ) -> None:
        self._cast = cast(cameras)
        names = [camera.name for camera in self._cast]
        healthy = [n for n, name in enumerate(names) if name.startswith("healthy")]
        self.record = Record(seed, minutes, budget, names, healthy)
        self.record.states = [[] for _ in names]
        self._interval = min(5.0, max(1.0, minutes * 60 / 240))
        self._short = minutes < _SHORT
        self._on_sample = on_sample
        self._began = time.monotonic()
        self._watch = Watch(cameras, healthy, self._began)
        self._process = psutil.Process()

    def run(self) -> Record:
        """To the end, or to the first Ctrl-C; the record of it."""
        record = self.record
        with Lab(self._cast, seed=record.seed) as lab:
            began = time.time() - (time.monotonic() - self._began)
            with self._pipeline(lab) as pipeline:
                try:
                    self._through(pipeline, lab)
                except KeyboardInterrupt:
                    record.interrupted = True
                    self._recover(pipeline, lab)
            record.faults = _faults(lab, record.names, began)
        stats = pipeline.stats()
        record.streams = stats["streams"]
        record.unwritten = sum(sum(sink["dropped"].values()) for sink in stats["sinks"])
        record.seconds = time.monotonic() - self._began
        record.seen = [dict(counts) for counts in self._watch.seen]
        record.ages, record.events = self._watch.ages(), self._watch.events
        for spans in (*record.states, *record.faults):
            if spans and spans[-1].end is None:
                spans[-1].end = record.seconds
        return record

    def _pipeline(self, lab: Lab) -> InferencePipeline:
        references = []
        for camera in lab:
            own = {**OPTIONS, "name": camera.name}
            if camera.certificate is not None:
                own["ca_file"] = str(camera.certificate)
            if camera.camera.transport == "udp":
                own["transport"] = "udp"
            references.append(SourceReference(camera.url, own))
        return InferencePipeline.init_with_custom_logic(
            references,
            on_video_frame=_brightness,
            sinks=[self._watch],
            status_update_handlers=[self._watch.told],
        )

    def _through(self, pipeline: InferencePipeline, lab: Lab) -> None:
        self._await_all(pipeline, {name: 0 for name in self.record.names}, _BACK)
        self.record.back.clear()
        self._calm(pipeline, self.record.calm)
        until = time.monotonic() + self.record.minutes * 60
        with self._faults(lab):
            self._sampled(pipeline, until)
        self._recover(pipeline, lab)

    @contextmanager
    def _faults(self, lab: Lab) -> Iterator[None]:
        """Have them happen, on a thread of their own, until the block ends."""
        stopped = threading.Event()
        every, lasting = ("3s..7s", "2s..4s") if self._short else ("8s..25s", "4s..14s")
        script = cues(script_of(self._cast, every, lasting), self.record.seed)

        def play() -> None:
            try:
                perform(lab, script, stopped)
            except Exception as error:  # noqa: BLE001 - a thread begins here
                self.record.trouble = f"{type(error).__name__}: {error}"

        thread = threading.Thread(target=play, name="streamkit soak", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def _sampled(self, pipeline: InferencePipeline, until: float) -> None:
        due = time.monotonic()
        while (now := time.monotonic()) < until:
            streams = self._look(pipeline)
            if now >= due:
                self._sample(streams)
                due += self._interval
            time.sleep(min(_GLANCE, max(0.0, until - time.monotonic())))

    def _look(self, pipeline: InferencePipeline) -> list[dict[str, Any]]:
        """Note what state each stream is in."""
        streams: list[dict[str, Any]] = pipeline.stats()["streams"]
        now = round(time.monotonic() - self._began, 3)
        for spans, stream in zip(self.record.states, streams, strict=True):
            state = _state(stream)
            if spans and spans[-1].what == state:
                continue
            if spans:
                spans[-1].end = now
            spans.append(Span(state, now))
        return streams

    def _sample(self, streams: list[dict[str, Any]]) -> None:
        p50, p99 = self._watch.window()
        self.record.samples.append(
            Sample(
                round(time.monotonic() - self._began, 3),
                Held.now(self._process),
                p50,
                p99,
                sum(stream["captured"] for stream in streams),
                sum(stream["delivered"] for stream in streams),
                tuple(map(_state, streams)),
            )
        )
        self._on_sample(self.record)

    def _recover(self, pipeline: InferencePipeline, lab: Lab) -> None:
        """End every fault, and see that every stream is back."""
        for camera in lab:
            camera.clear()
        streams = pipeline.stats()["streams"]
        before = {stream["source"]: stream["delivered"] for stream in streams}
        self._await_all(pipeline, before, _BACK)
        if not self.record.interrupted:
            self._calm(pipeline, self.record.calm_again)

    def _await_all(
        self, pipeline: InferencePipeline, before: dict[str, int], patience: float
    ) -> None:
        """Wait until each runs and has delivered some frames more."""
        began = time.monotonic()
        while len(self.record.back) < len(before) and time.monotonic() - began < patience:
            for stream in self._look(pipeline):
                name = stream["source"]
                more = stream["delivered"] - before.get(name, 0)
                if stream["state"] == "RUNNING" and more >= 5:
                    self.record.back.setdefault(name, round(time.monotonic() - began, 3))
            time.sleep(0.1)

    def _calm(self, pipeline: InferencePipeline, into: list[Held]) -> None:
        """What is held while nothing happens."""
        until = time.monotonic() + (_CALM / 2 if self._short else _CALM)
        while time.monotonic() < until:
            self._look(pipeline)
            into.append(Held.now(self._process))
            time.sleep(_GLANCE)


def _brightness(frames: list[VideoFrame]) -> list[float]:
    """Something to do with each picture, its colours converted: the mean of its pixels."""
    return [float(frame.image[::4, ::4].mean()) for frame in frames]


def _state(stream: dict[str, Any]) -> str:
    degraded = stream["state"] == "RUNNING" and stream["degraded"] is not None
    return "DEGRADED" if degraded else str(stream["state"])


def _faults(lab: Lab, names: Sequence[str], began: float) -> list[list[Span]]:
    """What was done to each camera and when, in seconds since ``began`` (of the epoch)."""
    spans: dict[str, list[Span]] = {name: [] for name in names}
    for event in lab.events:
        at, mine = round(event["at"] - began, 3), spans[event["camera"]]
        if event["event"] == "begun":
            mine.append(Span(event["fault"], at))
            continue
        for span in mine:
            if span.what == event["fault"] and span.end is None:
                span.end = at
    for mine in spans.values():
        for span in mine:
            span.end = span.begin if span.end is None else span.end
    return list(spans.values())
