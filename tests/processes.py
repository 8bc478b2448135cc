"""Processes that tests start: none outlives its test, however the test ends."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def process(command: Sequence[Any], **more: Any) -> Iterator[subprocess.Popen[str]]:
    """``Popen`` with text at its pipes. What still runs at the end of the block is killed, with
    what it has started; ``Popen`` itself would wait for it, for ever."""
    with subprocess.Popen(
        [str(each) for each in command], text=True, start_new_session=True, **more
    ) as started:
        try:
            yield started
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
