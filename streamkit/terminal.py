"""Where commands print: as wide as the terminal, or as a table wants where there is none to ask."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def paper(width: int, *, markup: bool = True, highlight: bool = True) -> Console:
    """Standard output; ``width`` columns in a pipe."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width, markup=markup, highlight=highlight)
