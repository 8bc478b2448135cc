"""A real server in a process of its own, over a folder of models."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_WHERE = re.compile(r"listening at (http://\S+?),")


@dataclass
class Served:
    """Where it is, and its process."""

    url: str
    process: subprocess.Popen[str]
    log: Path

    def logged(self) -> str:
        """What it wrote so far, of both kinds."""
        return self.log.read_text()


@contextmanager
def served(
    folder: Path,
    log: Path,
    more: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
) -> Iterator[Served]:
    """``streamkit serve`` on a free port, with the models in ``folder``; ended by Ctrl-C."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(log.parent),
        "STREAMKIT_MODEL_DIR": str(folder),
        "MODEL_CACHE_DIR": str(log.parent / "cache"),
        "STREAMKIT_STATE_DIR": str(log.parent / "state"),
        "OFFLINE_MODE": "True",
        "PORT": "0",
        "PYTHONUNBUFFERED": "1",
        **(more or {}),
    }
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamkit", "serve", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
    assert process.stdout is not None
    try:
        found = _WHERE.match(process.stdout.readline())
        assert found, log.read_text()
        yield Served(found[1], process, log)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            process.stdout.close()
