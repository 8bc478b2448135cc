"""What a sink is: it writes results until it is closed. The pipeline has the threads and queues."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from streamkit.predictions import Result


@runtime_checkable
class Sink(Protocol):
    """Where results go. Called from one thread at a time; no threads, queues or retries in here.

    Optional attributes: ``main_thread`` (bool), it wants to be called by the thread that started
    the pipeline; ``closed`` (bool), it was closed by somebody else and the run is to end.
    ``capacity`` (int) says how many results of each live stream may wait
    while ``write`` is busy before the oldest is dropped and counted; 1 where it is absent, so
    that a slow sink always gets the freshest. Finite streams wait and lose nothing.
    ``forget(source_id)`` is called, like ``write``, when a source was removed and its state here
    may go.
    """

    def write(self, result: Result) -> None:
        """Take one result. May be slow: nobody waits for it. May raise: it is told and counted."""
        ...

    def close(self) -> None:
        """Flush and let go. Called once all results were written; must be safe to call twice."""
        ...
