"""The picture of a soak: memory, threads and descriptors, ages, every stream's states over time."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from streamkit.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from streamkit.bench.soak_record import Record, Span
    from streamkit.bench.verdict import Verdict

FORMATS: Final = (".png", ".svg", ".pdf")
_INK, _FAINT = "#24292f", "#8c959f"
_COLOURS: Final = {
    "RUNNING": "#4ac26b",
    "DEGRADED": "#eac54f",
    "RESTARTING": "#cf222e",
    "INITIALISING": "#afb8c1",
}
_MEANING: Final = {
    "RUNNING": "running",
    "DEGRADED": "running, picture bad or camera unstable",
    "RESTARTING": "lost, connecting again",
}
_STYLE: Final[Any] = {
    "font.size": 9,
    "axes.edgecolor": "#d0d7de",
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
}


def check(path: Path) -> None:
    """Raise ``ConfigError`` before a long run for a picture that cannot be drawn after it."""
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path}: draw into one of {', '.join(FORMATS)}")
    if not path.resolve().parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.resolve().parent}")
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("--picture needs matplotlib: pip install matplotlib")


def draw(record: Record, verdicts: Sequence[Verdict], path: Path) -> None:
    """Draw it, 1200 pixels wide; no display is needed."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        tall = 0.26 * len(record.names) + 0.45
        figure = Figure(figsize=(12, 4.6 + tall), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        heights = [tall, 1.15, 1.15, 1.15]
        axes = figure.subplots(4, 1, sharex=True, gridspec_kw={"height_ratios": heights})
        _bars(axes[0], record)
        _memory(axes[1], record)
        _held(axes[2], record)
        _ages(axes[3], record)
        axes[3].set_xlabel("minutes")
        axes[3].set_xlim(0, record.seconds / 60)
        figure.suptitle(_title(record, verdicts), x=0.01, ha="left", fontsize=11)
        smaller: dict[str, Any] = (
            {"pil_kwargs": {"optimize": True}} if path.suffix.lower() == ".png" else {}
        )
        figure.savefig(path, **smaller)


def _title(record: Record, verdicts: Sequence[Verdict]) -> str:
    faults = sum(map(len, record.faults))
    failed = [verdict.name for verdict in verdicts if not verdict.passed]
    end = f"failed: {', '.join(failed)}" if failed else "every stream is back, nothing has grown"
    span = (
        f"{record.seconds / 60:.0f} minutes" if record.seconds > 90 else f"{record.seconds:.0f} s"
    )
    return f"{len(record.names)} cameras, {faults} random faults in {span}: {end}"


def _bars(axes: Axes, record: Record) -> None:
    """Of each stream: a thin line where the camera has a fault, below it the stream's state."""
    from matplotlib.patches import Patch

    for row, (states, faults) in enumerate(zip(record.states, record.faults, strict=True)):
        for state, colour in _COLOURS.items():
            axes.broken_barh(_extents(states, state), (row - 0.15, 0.5), facecolors=colour)
        axes.broken_barh(_extents(faults, None), (row - 0.36, 0.12), facecolors=_INK)
    axes.set_yticks(range(len(record.names)), record.names)
    axes.set_ylim(len(record.names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    legend = [Patch(color=_INK, label="the camera has a fault")]
    legend += [Patch(color=_COLOURS[state], label=what) for state, what in _MEANING.items()]
    axes.legend(handles=legend, ncols=4, frameon=False, loc="lower left", bbox_to_anchor=(0, 1))


def _extents(spans: Sequence[Span], what: str | None) -> list[tuple[float, float]]:
    """(begin, width) in minutes; a moment is made wide enough to be seen."""
    return [
        (span.begin / 60, max((span.end or span.begin) - span.begin, 0.8) / 60)
        for span in spans
        if what is None or span.what == what
    ]


def _times(record: Record) -> list[float]:
    return [sample.at / 60 for sample in record.samples]


def _memory(axes: Axes, record: Record) -> None:
    from streamkit.bench.verdict import memory_slope

    values = [sample.held.rss for sample in record.samples]
    axes.plot(_times(record), values, color="#0969da", linewidth=1.2)
    axes.set_ylabel("memory, MiB")
    axes.set_ylim(0, 1.3 * max(values, default=1))
    if (slope := memory_slope(record)) is not None:
        times = [one.at for one in record.samples[len(values) // 2 :]]
        seconds = times[-1] - times[0]
        rise, low, high = (part * seconds for part in (slope.rise, slope.low, slope.high))
        text = f"last half: {rise:+.2f} MiB ({low:+.2f} .. {high:+.2f})"
        axes.axvspan(times[0] / 60, times[-1] / 60, color="#ddf4ff", zorder=0)
        axes.text(times[0] / 60, 1.08 * max(values), f" {text}", color=_INK)
    _grid(axes)


def _held(axes: Axes, record: Record) -> None:
    for what, label, colour in (("threads", "threads", "#8250df"), ("fds", "files", "#bf8700")):
        values = [getattr(sample.held, what) for sample in record.samples]
        axes.plot(_times(record), values, color=colour, linewidth=1.2, label=label)
        if record.calm:
            calm = sorted(getattr(held, what) for held in record.calm)[len(record.calm) // 2]
            axes.axhline(calm, color=colour, linewidth=0.8, linestyle=(0, (2, 3)))
    most = max((max(one.held.threads, one.held.fds) for one in record.samples), default=1)
    axes.set_ylim(0, 1.45 * most)
    axes.set_ylabel("threads,\nopen files")
    axes.legend(frameon=False, ncols=2, loc="upper left")
    _grid(axes)


def _ages(axes: Axes, record: Record) -> None:
    known = [sample for sample in record.samples if sample.age_p99 is not None]
    times = [sample.at / 60 for sample in known]
    for values, label, colour in (
        ([1e3 * (sample.age_p99 or 0) for sample in known], "p99", "#bc4c00"),
        ([1e3 * (sample.age_p50 or 0) for sample in known], "median", "#0969da"),
    ):
        axes.plot(times, values, color=colour, linewidth=1.2, label=label)
    budget = 1e3 * record.budget
    axes.axhline(budget, color="#cf222e", linewidth=0.8, linestyle=(0, (2, 3)), label="budget")
    axes.set_yscale("log")
    axes.set_ylim(1, 30 * budget)
    axes.set_ylabel("age of healthy\nframes, ms")
    axes.legend(frameon=False, ncols=3, loc="upper left")
    _grid(axes)


def _grid(axes: Axes) -> None:
    axes.grid(axis="y", color="#eaeef2", linewidth=0.8)
    axes.set_axisbelow(True)
