"""Raises events into a webhook sink until it is killed; many such processes, one after another.

``python -m tests.outbox.raiser FOLDER URL SECRET``: each line on its standard input starts one, a
fork of this process, whose id it prints. A line ``raise`` makes one that raises events, ``send``
one that only sends what there is.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from streamkit.events import Event, new_id
from streamkit.sinks import WebhookSink
from tests.sinks.making import result

STREAMS = ("entrance", "exit", "yard")
OUTBOX = {"first_wait": 0.01, "longest_wait": 0.1}


class Journal:
    """Who was about to be put, and who was: the latter is on the disk before anything goes on."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = os.open(folder / name, os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    def note(self, stream: str, number: int, key: str, *, sync: bool) -> None:
        os.write(self._file, f"{json.dumps([stream, number, key])}\n".encode())
        if sync:
            os.fsync(self._file)


def entries(path: Path) -> list[tuple[str, int, str]]:
    """What was noted; a line that was cut off by a kill does not count."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    return [(stream, number, key) for stream, number, key in map(json.loads, lines)]


def run(folder: Path, url: str, secret: str, *, raising: bool) -> None:
    """Until killed."""
    sink = WebhookSink(
        url,
        secrets=[secret],
        allow_private=True,
        timeout=1.0,
        name="there",
        outbox={"path": str(folder / "box.sqlite"), **OUTBOX},
    )
    before = entries(folder / "about")
    number = max((number for _, number, _ in before), default=-1) + 1
    about, raised = Journal(folder, "about"), Journal(folder, "raised")
    frame = result(1)
    while raising:
        for stream in STREAMS:
            event = Event(
                "line.in", 0, "door", datetime.now(UTC), 1, source=stream, data={"n": number}
            )
            about.note(stream, number, event.idempotency_key, sync=False)
            frame.events = (event,)
            sink.write(frame)
            raised.note(stream, number, event.idempotency_key, sync=True)
        number += 1
    threading.Event().wait()


def say(text: str) -> None:
    """To who started it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    folder, url, secret = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    result(1), new_id()  # what takes its time at the first call
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(folder, url, secret, raising=line.strip() == "raise")
        say(str(child))
        os.waitpid(child, 0)
        say("gone")


if __name__ == "__main__":
    main()
