"""One reader thread's stay with its source, seen from outside: is it stuck, and may it go on?"""

from __future__ import annotations

import threading
import time
from typing import Self

from streamkit.errors import ClosedError
from streamkit.sources.base import Source


class Attempt:
    """Is entered (``with``) around every call into the source.

    Whoever watches may give it up while it sits in such a call, and only then; it learns that
    when the call returns at last, by ``ClosedError``, before it can do anything else. So the one
    who gave it up can go on in its place, and never two of them at once.
    """

    def __init__(self) -> None:
        self.source: Source | None = None
        self.instead_of_live = False
        """It takes over from one that was live; all that is known until its source is open."""
        self.ended = threading.Event()
        """Set when its thread is done with the source."""
        self.given_up = False
        self.seen = False
        """A picture has come since ``anew``."""
        self._lock = threading.Lock()
        self._inside: float | None = None

    @property
    def live(self) -> bool:
        """It is known to read something live, and so not to wait without limit."""
        return self.instead_of_live if self.source is None else self.source.live

    def anew(self) -> None:
        """The source is about to be opened (again)."""
        self.seen = False

    def __enter__(self) -> Self:
        with self._lock:
            self._inside = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside = None
            if self.given_up:
                raise ClosedError("given up")

    def overdue(self, now: float, first: float | None, later: float | None) -> float | None:
        """The limit that was passed: seconds inside one call, ``first`` until a picture has come,
        ``later`` from then on (``None``: without limit)."""
        limit, inside = later if self.seen else first, self._inside
        if limit is None or inside is None or now - inside < limit:
            return None
        return limit

    def excuse(self, seconds: float) -> None:
        """For so long up to now nothing could go on, for want of nothing but time."""
        with self._lock:
            if self._inside is not None:
                self._inside = min(self._inside + seconds, time.monotonic())

    def give_up(self, since: float) -> bool:
        """Whether it sits in one and the same call since before ``since``; given up if so."""
        with self._lock:
            if self.given_up or self._inside is None or self._inside > since:
                return False
            self.given_up = True
            return True
