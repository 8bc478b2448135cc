"""Waits for a document to change, and lets a running pipeline go over to it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from streamkit.documents.reload import reload
from streamkit.errors import StreamkitError

if TYPE_CHECKING:
    from streamkit.pipeline import InferencePipeline
    from streamkit.spec import PipelineSpec

log = logging.getLogger(__name__)

_STEP = 0.3
"""Seconds between two looks at a file."""


class Watch:
    """A thread that reloads a document when its file changes, or when it is told to.

    A wrong document is told, and the pipeline goes on with the one before.
    """

    def __init__(
        self,
        pipeline: InferencePipeline,
        spec: PipelineSpec,
        read: Callable[[], PipelineSpec],
        tell: Callable[[str], None],
        path: Path | None = None,
    ) -> None:
        """``spec`` is what ``pipeline`` was made from, ``read`` gives it anew, ``tell`` gets a line
        for everything that was done or refused. ``path`` is looked at, first for what has changed
        since ``spec`` was read; without it only ``again`` makes it reload."""
        self._pipeline, self._spec, self._read, self._tell = pipeline, spec, read, tell
        self._path = path
        self._seen: bytes | None = None
        self._asked, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="streamkit document", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._asked.set()
        self._thread.join()

    def again(self) -> None:
        """Read the document again, soon; may be called in a signal handler."""
        self._asked.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                first = self._path is not None and self._seen is None
                asked = self._wait()
                if not self._ended.is_set():
                    self._reload(silent=first and not asked)
            except Exception as error:  # noqa: BLE001 - a thread begins here
                log.warning("the document cannot be reloaded: %r", error)
                self._ended.wait(_STEP)

    def _wait(self) -> bool:
        """Until there is a reason to read it again; whether somebody asks."""
        if self._path is None:
            self._asked.wait()
        else:
            self._wait_for_change(self._path)
        asked = self._asked.is_set()
        self._asked.clear()
        return asked

    def _wait_for_change(self, path: Path) -> None:
        """Looking is cheap, and works where a file system tells of no changes. A text counts when
        two looks in a row have seen it: who writes in place has an empty file in between."""
        latest = self._seen
        while not self._asked.wait(_STEP):
            before, latest = latest, _text(path)
            if latest == before and latest not in (self._seen, None):
                break
        self._seen = _text(path)

    def _reload(self, *, silent: bool) -> None:
        """``silent`` where there is nothing to do."""
        try:
            after = self._read()
            done = reload(self._pipeline, self._spec, after)
        except StreamkitError as error:
            self._tell(f"the document is not taken over, the one before goes on:\n{error}")
            return
        self._spec = after
        for line in done or (() if silent else ("nothing has changed",)):
            self._tell(f"document: {line}")


def _text(path: Path) -> bytes | None:
    """``None`` while there is no such file: somebody is writing it."""
    try:
        return path.read_bytes()
    except OSError:
        return None
