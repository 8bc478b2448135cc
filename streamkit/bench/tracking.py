"""Trackers at lower and lower rates, beside the library's own: MOTA, IDF1, HOTA and their curve.

``python -m streamkit.bench.tracking FOLDER... --picture curve.png``; a folder holds ``gt/gt.txt``
and ``det/det.txt`` as MOTChallenge writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import typer

from streamkit.frame import Clock, VideoFrame
from streamkit.predictions import Detections, Result
from streamkit.stages.algorithms import Algorithm
from streamkit.stages.track import Track

Rows: TypeAlias = npt.NDArray[np.float64]
"""(N, 6): number, left, top, right, bottom, confidence."""
Boxes: TypeAlias = list[tuple[npt.NDArray[np.int64], Rows]]
"""For each frame, who is where: (N,) and (N, 4)."""
Tracker: TypeAlias = Callable[[], Callable[[Rows, float], tuple[npt.NDArray[np.int64], Rows]]]
"""Makes what takes detections and seconds, and answers who is where."""

RATE: Final = 25.0
STEPS: Final = (1, 2, 3, 6)
METRICS: Final = ("MOTA", "IDF1", "HOTA")
_PIXELS: Final = np.zeros((2, 2, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Recording:
    """A sequence with its truth and the detections all trackers get, by frame from 1."""

    name: str
    truth: dict[int, Rows]
    found: dict[int, Rows]

    @property
    def frames(self) -> int:
        return max(max(self.truth), max(self.found))


def load(folder: Path) -> Recording:
    """A MOTChallenge folder. Scores of its detector (any numbers) become 0..1, in their order."""
    found = _read(folder / "det" / "det.txt")
    scores = np.concatenate([rows[:, 5] for rows in found.values()])
    middle, spread = np.quantile(scores, 0.25), max(float(scores.std()) / 2, 1e-6)
    for rows in found.values():
        rows[:, 5] = 1 / (1 + np.exp(-(rows[:, 5] - middle) / spread))
    return Recording(folder.name, _read(folder / "gt" / "gt.txt"), found)


def _read(path: Path) -> dict[int, Rows]:
    table = np.loadtxt(path, delimiter=",", ndmin=2)
    boxes = table[:, 2:6].copy()
    boxes[:, 2:] += boxes[:, :2]
    score = table[:, 6] if table.shape[1] > 6 else np.ones(len(table))
    rows = np.column_stack((table[:, 1], boxes, score))
    return {int(at): rows[table[:, 0] == at] for at in np.unique(table[:, 0])}


def ours(algorithm: Algorithm, **options: Any) -> Tracker:
    """The ``track`` stage, told when each frame was taken."""

    def make() -> Callable[[Rows, float], tuple[npt.NDArray[np.int64], Rows]]:
        stage = Track(algorithm=algorithm, rate=RATE, **options)

        def update(rows: Rows, at: float) -> tuple[npt.NDArray[np.int64], Rows]:
            taken = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=at)
            frame = VideoFrame(_PIXELS, 1, taken, clock=Clock.PTS, comes_from_video_file=True)
            tracked = stage(Result(frame, _detections(rows))).prediction
            return tracked.tracker_id, tracked.xyxy.astype(np.float64)

        return update

    return make


def _detections(rows: Rows) -> Detections:
    boxes, score = rows[:, 1:5].astype(np.float32), rows[:, 5].astype(np.float32)
    return Detections(boxes, score, np.zeros(len(rows), np.int64), ("object",), (2, 2))


def librarys(algorithm: Algorithm, timed: bool) -> Tracker:
    """The library's tracker by itself, as it comes, or told when each frame was taken."""
    import supervision
    from trackers import BoTSORTTracker, ByteTrackTracker, OCSORTTracker, SORTTracker

    kinds: dict[Algorithm, Any] = {
        "bytetrack": ByteTrackTracker,
        "sort": SORTTracker,
        "ocsort": OCSORTTracker,
        "botsort": BoTSORTTracker,
    }

    def make() -> Callable[[Rows, float], tuple[npt.NDArray[np.int64], Rows]]:
        more = {"enable_cmc": False} if algorithm == "botsort" else {}
        tracker = kinds[algorithm](frame_rate=RATE, **more)

        def update(rows: Rows, at: float) -> tuple[npt.NDArray[np.int64], Rows]:
            known = supervision.Detections(xyxy=rows[:, 1:5], confidence=rows[:, 5])
            told = tracker.update(known, timestamp=at if timed else None)
            keep = told.tracker_id >= 0
            return told.tracker_id[keep], told.xyxy[keep]

        return update

    return make


def score(sequence: Recording, tracker: Tracker, step: int = 1) -> dict[str, float]:
    """The metrics in points, with one frame of ``step``: the mean over where one may begin."""
    runs = []
    for first in range(1, step + 1):
        update, nobody = tracker(), np.empty((0, 6))
        truth, told = [], []
        for number in range(first, sequence.frames + 1, step):
            rows = sequence.truth.get(number, nobody)
            truth.append((rows[:, 0].astype(np.int64), rows[:, 1:5]))
            told.append(update(sequence.found.get(number, nobody), number / RATE))
        runs.append(metrics(truth, told))
    return {name: float(np.mean([run[name] for run in runs])) for name in METRICS}


def metrics(truth: Boxes, told: Boxes) -> dict[str, float]:
    """MOTA, IDF1 (IoU 0.5) and HOTA in points."""
    from trackers.eval import (
        box_iou,
        compute_clear_metrics,
        compute_hota_metrics,
        compute_identity_metrics,
    )

    one, other = _numbered(truth), _numbered(told)
    alike = [
        box_iou(a, b, box_format="xyxy") if len(a) and len(b) else np.zeros((len(a), len(b)))
        for (_, a), (_, b) in zip(truth, told, strict=True)
    ]
    clear = compute_clear_metrics(one, other, alike)
    identity = compute_identity_metrics(one, other, alike)
    hota = compute_hota_metrics(one, other, alike)
    values = (clear["MOTA"], identity["IDF1"], hota["HOTA"])
    return {name: 100 * float(value) for name, value in zip(METRICS, values, strict=True)}


def _numbered(boxes: Boxes) -> list[npt.NDArray[np.int64]]:
    """The same numbers, counted from 0."""
    _, numbers = np.unique(np.concatenate([ids for ids, _ in boxes]), return_inverse=True)
    ends = np.cumsum([len(ids) for ids, _ in boxes])[:-1]
    return [part.astype(np.int64) for part in np.split(numbers, ends)]


def main(
    folders: Annotated[list[Path], typer.Argument(help="MOTChallenge folders")],
    algorithm: Annotated[str, typer.Option()] = "bytetrack",
    picture: Annotated[Path | None, typer.Option(help="where to draw the curve")] = None,
) -> None:
    """Measure, tell, draw."""
    if algorithm not in get_args(Algorithm):
        raise typer.BadParameter(f"choose from {', '.join(get_args(Algorithm))}")
    contestants: dict[str, Tracker] = {
        "streamkit": ours(algorithm),  # type: ignore[arg-type]
        "library": librarys(algorithm, False),  # type: ignore[arg-type]
        "library, with times": librarys(algorithm, True),  # type: ignore[arg-type]
    }
    sequences = [load(folder) for folder in folders]
    curves: dict[str, list[dict[str, float]]] = {}
    for name, tracker in contestants.items():
        for step in STEPS:
            each = [score(sequence, tracker, step) for sequence in sequences]
            mean = {m: float(np.mean([one[m] for one in each])) for m in METRICS}
            curves.setdefault(name, []).append(mean)
            typer.echo(f"{name:20} 1/{step}  " + "  ".join(f"{m} {mean[m]:.1f}" for m in METRICS))
    if picture is not None:
        draw(curves, picture, f"{algorithm} on {', '.join(s.name for s in sequences)}")


def draw(curves: dict[str, list[dict[str, float]]], path: Path, title: str) -> None:
    """One panel per metric over the frames per second that are left."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    panels: Sequence[Any] = figure.subplots(1, len(METRICS))
    for panel, metric in zip(panels, METRICS, strict=True):
        for name, line in curves.items():
            style = "-o" if name == "streamkit" else "--s"
            panel.plot([RATE / s for s in STEPS], [row[metric] for row in line], style, label=name)
        panel.set(title=metric, xlabel="frames per second", ylim=(0, None))
        panel.invert_xaxis()
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    typer.run(main)
