"""An examination on a terminal: a line per step as it comes, then what to write."""

from __future__ import annotations

from contextlib import nullcontext

from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax
from rich.text import Text

from streamkit.doctor import advice
from streamkit.doctor.examine import Examination
from streamkit.doctor.findings import Finding, Verdict
from streamkit.terminal import paper

_MARKS = {
    Verdict.GOOD: ("✓", "green"),
    Verdict.WARNING: ("!", "yellow"),
    Verdict.FAILED: ("✗", "bold red"),
    Verdict.SKIPPED: ("-", "dim"),
}
_STEP = 16
_WIDE = 120  # columns where there is no terminal to ask


def show(examination: Examination) -> None:
    """Examine, and print each finding as it comes."""
    console = paper(_WIDE, highlight=False)
    console.print(Text(examination.name, style="bold"))
    waiting = console.status("examining") if console.is_terminal else nullcontext()
    with waiting:
        for finding in examination.steps():
            _print(console, finding)
    _conclude(console, examination)


def _print(console: Console, finding: Finding) -> None:
    mark, style = _MARKS[finding.verdict]
    line = Text.assemble((f" {mark} ", style), (f"{finding.step:<{_STEP}} ", "bold"), finding.text)
    line.append(f" [{finding.code}]" if finding.code else "", style="dim")
    console.print(line, soft_wrap=True)
    if finding.advice:
        console.print(Text(f"{'':<{_STEP + 4}}→ {finding.advice}", style="cyan"), soft_wrap=True)


def _conclude(console: Console, examination: Examination) -> None:
    entry = examination.recommendation
    if entry is None:
        return
    console.print(Text("\nFor a pipeline document:", style="bold"))
    text = advice.written(entry)
    if console.is_terminal:
        console.print(Panel(Syntax(text.rstrip(), "yaml", background_color="default")))
    else:
        console.print(text, markup=False, end="")
    if examination.incomplete:
        console.print("The address holds a secret that is not shown: put it back.")
