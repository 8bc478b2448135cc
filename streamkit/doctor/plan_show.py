"""A plan on a terminal: a row per trial as it ends, then the answer."""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console
from rich.table import Table

from streamkit.doctor import clip
from streamkit.doctor.pictures import watch
from streamkit.doctor.plan import Answer, Plan, Wish
from streamkit.doctor.trial import Load, Trial
from streamkit.terminal import paper

_WIDE = 100  # columns where there is no terminal to ask


def planned(wish: Wish, *, as_json: bool) -> bool:
    """Make the plan and print it; whether the cameras fit."""
    answer = _made(wish)
    if as_json:
        sys.stdout.write(json.dumps(answer.as_dict(), indent=1) + "\n")
    else:
        console = paper(_WIDE, highlight=False)
        console.print(_table(answer), answer.text)
    return answer.fits


def _made(wish: Wish) -> Answer:
    """The answer; what is being tried is shown on a terminal meanwhile."""
    waiting = Console(stderr=True).status("making ready")
    shown = waiting if waiting.console.is_terminal else nullcontext()

    def told(trial: Trial) -> None:
        waiting.update(f"{trial.cameras} cameras: {1e3 * trial.age_p99:.0f} ms at p99; next")

    with tempfile.TemporaryDirectory(prefix="streamkit-") as folder, shown:
        path = Path(folder) / "camera.mkv"
        kept = clip.made(path) if wish.like is None else clip.kept(wish.like, {}, path)
        load = Load(kept, _rate(kept), wish.fps, wish.model, {})
        plan = Plan(load, wish.max_age, wish.margin, wish.seconds, told)
        return plan.run(wish.cameras)


def _rate(path: Path) -> float:
    """What the clip declares."""
    from streamkit.sources.decoding import opened, video_of

    watch(str(path), 0.1)
    with opened(str(path), str(path)) as container:
        return float(video_of(container, str(path)).average_rate or 25.0)


def _table(answer: Answer) -> Table:
    table = Table("cameras", "fps wanted", "served", "age ms p50 / p95 / p99", "CPU", "fits")
    for trial in answer.trials:
        ages = " / ".join(
            f"{1e3 * age:.0f}" for age in (trial.age_p50, trial.age_p95, trial.age_p99)
        )
        fits = "yes" if trial.fits(answer.max_age) else "no"
        share = [f"{100 * part:.0f} %" for part in (trial.served, trial.cpu)]
        table.add_row(str(trial.cameras), f"{trial.fps:g}", share[0], ages, share[1], fits)
    return table
