"""What to think of a soak: does anything grow, is everybody back, is every frame accounted for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamkit.bench.soak_record import Record

Floats = npt.NDArray[np.float64]

_DRAWS: Final = 400
_FEWEST: Final = 12
"""Samples that it takes to tell a slope."""
_PAGE: Final = 0.25
"""MiB: growth over the half that no measure of memory can tell from none."""


class Verdict(NamedTuple):
    """One thing that was to be so."""

    name: str
    passed: bool
    said: str


@dataclass(frozen=True, slots=True)
class Slope:
    """A robust straight line: rise per second, its 95 % interval, scatter about the line."""

    rise: float
    low: float
    high: float
    scatter: float

    @classmethod
    def of(cls, times: Sequence[float], values: Sequence[float], seed: int = 0) -> Slope:
        """Theil-Sen (the median of the slopes of all pairs); the interval by a bootstrap of blocks
        of residuals, since neighbours in time resemble each other. The scatter is the median
        absolute residual, scaled to a standard deviation."""
        x, y = np.asarray(times, float), np.asarray(values, float)
        rise = _theil_sen(x, y)
        line = rise * x + np.median(y - rise * x)
        rests = y - line
        random = np.random.default_rng(seed)
        block = max(1, round(2 * len(x) ** (1 / 3)))
        drawn = [_theil_sen(x, line + _blocks(rests, block, random)) for _ in range(_DRAWS)]
        low, high = np.quantile(drawn, [0.025, 0.975])
        scatter = 1.4826 * float(np.median(abs(rests)))
        return cls(rise, float(low), float(high), scatter)


def _theil_sen(x: Floats, y: Floats) -> float:
    i, j = np.triu_indices(len(x), 1)
    return float(np.median((y[j] - y[i]) / (x[j] - x[i])))


def _blocks(rests: Floats, block: int, random: np.random.Generator) -> Floats:
    """As many residuals, in blocks from anywhere."""
    count = -(-len(rests) // block)
    starts = random.integers(0, len(rests) - block + 1, count)
    return np.concatenate([rests[start : start + block] for start in starts])[: len(rests)]


def judge(record: Record) -> list[Verdict]:
    """Every verdict, the failed ones among them."""
    return [
        _memory(record),
        _held(record, "threads"),
        _held(record, "fds"),
        _back(record),
        _neighbours(record),
        _fresh(record),
        _accounts(record),
        _faults(record),
    ]


def memory_slope(record: Record) -> Slope | None:
    """Of the last half, in MiB per second; ``None`` where it is too short to tell."""
    half = record.samples[len(record.samples) // 2 :]
    if len(half) < _FEWEST:
        return None
    return Slope.of([one.at for one in half], [one.held.rss for one in half], record.seed)


def _memory(record: Record) -> Verdict:
    """The slope of the last half is noise: its interval holds 0, or all that it rose in that time
    is less than single samples scatter."""
    found = memory_slope(record)
    if found is None:
        return Verdict("memory", False, f"{len(record.samples)} samples are too few to tell")
    half = record.samples[len(record.samples) // 2 :]
    seconds = half[-1].at - half[0].at
    grew = found.rise * seconds
    passed = found.low <= 0 or grew <= max(found.scatter, _PAGE)
    return Verdict(
        "memory",
        passed,
        f"{median(one.held.rss for one in half):.0f} MiB; last half {grew:+.2f} MiB "
        f"({found.low * seconds:+.2f} .. {found.high * seconds:+.2f}), "
        f"samples scatter by {found.scatter:.2f}",
    )


def _held(record: Record, what: str) -> Verdict:
    """As many as before the first fault, when all is calm again."""
    name = "file descriptors" if what == "fds" else what
    before, after = (
        [getattr(held, what) for held in calm] for calm in (record.calm, record.calm_again)
    )
    if not before or not after:
        return Verdict(name, record.interrupted, "was interrupted: not compared")
    most = max((getattr(one.held, what) for one in record.samples), default=0)
    said = f"{median(before):g} before the faults, {median(after):g} after, at most {most}"
    return Verdict(name, median(after) <= median(before), said)


def _back(record: Record) -> Verdict:
    stuck = [name for name in record.names if name not in record.back]
    if stuck:
        return Verdict("recovery", False, f"not back: {', '.join(stuck)}")
    slowest = max(record.back, key=lambda name: record.back[name])
    said = (
        f"all {len(record.names)} deliver again; the last, {slowest}, {record.back[slowest]:.1f} s"
    )
    return Verdict("recovery", True, f"{said} after the faults were cleared")


def _neighbours(record: Record) -> Verdict:
    touched = [
        f"{record.names[one['source_id']]}: {one['event']} {one['code'] or ''}".strip()
        for one in record.events
        if one["source_id"] in record.healthy
    ]
    lost = sum(record.streams[n]["outages"] for n in record.healthy)
    if touched or lost:
        return Verdict("neighbours", False, f"{lost} outages of healthy streams; {touched[:3]}")
    frames = sum(record.streams[n]["captured"] for n in record.healthy)
    return Verdict("neighbours", True, f"no event on healthy streams in {frames} frames")


def _fresh(record: Record) -> Verdict:
    worst = max(record.ages)
    told = ", ".join(f"{1e3 * age:.0f}" for age in record.ages)
    said = f"p99 of healthy streams {told} ms; the budget is {1e3 * record.budget:.0f} ms"
    return Verdict("age", worst <= record.budget, said)


def _accounts(record: Record) -> Verdict:
    """Every stream's own account, and whether those who listened and received count the same."""
    pairs = list(zip(record.names, record.streams, record.seen, strict=True))
    wrong = [f"{name}: {why}" for name, stream, seen in pairs if (why := _wrong(stream, seen))]
    received = sum(seen.get("delivered", 0) for seen in record.seen)
    if sum(stream["delivered"] for stream in record.streams) != received + record.unwritten:
        wrong.append(f"{received} received and {record.unwritten} not written")
    captured = sum(stream["captured"] for stream in record.streams)
    delivered = sum(stream["delivered"] for stream in record.streams)
    said = f"{captured} captured = {delivered} delivered + {captured - delivered} dropped"
    return Verdict("accounts", not wrong, "; ".join(wrong) or said)


def _wrong(stream: dict[str, Any], seen: dict[str, int]) -> str:
    dropped = sum(stream["dropped"].values())
    if stream["in_flight"] or stream["captured"] != stream["delivered"] + dropped:
        return f"{stream['captured']} are not {stream['delivered']} + {dropped}"
    if seen.get("delivered", 0) > stream["delivered"]:
        return f"{stream['delivered']} delivered, {seen.get('delivered', 0)} received"
    if seen.get("out of order", 0):
        return f"{seen['out of order']} frames out of order"
    # What a shared connection had no time to hand over is counted, and not told one by one.
    missed = stream["captured"] - seen.get("FRAME_CAPTURED", 0)
    if missed < 0 or missed != dropped - seen.get("FRAME_DROPPED", 0):
        return f"updates tell of {seen}"
    return ""


def _faults(record: Record) -> Verdict:
    """That the test was one."""
    count = sum(map(len, record.faults))
    kinds = len({span.what for spans in record.faults for span in spans})
    said = record.trouble or f"{count} faults of {kinds} kinds, seed {record.seed}"
    return Verdict("faults", record.trouble is None and count > 0, said)
