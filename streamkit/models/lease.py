"""The right to use a loaded model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import TypeAlias

from streamkit.models.shared import SharedModel

GiveBack: TypeAlias = Callable[[float | None], None]


class Lease:
    """The right to use a model; it stays loaded until ``release`` (or the end of ``with``)."""

    def __init__(
        self, shared: SharedModel, give_back: GiveBack, forget: Callable[[], None] | None = None
    ) -> None:
        self.shared = shared
        self._forget = forget
        self._once = [give_back]

    def release(self, until: float | None = None) -> None:
        """Give it back, once; more often does no harm.

        Waits for the model's threads if this was their last user, at most until ``until``
        (``time.monotonic()``).
        """
        for give_back in self._claimed():
            give_back(until)

    def forget(self) -> None:
        """Give it back without taking a lock: for finalizers, which run wherever a thread is."""
        if self._forget is not None:
            for _ in self._claimed():
                self._forget()

    def _claimed(self) -> list[GiveBack]:
        """For the first who asks, what is to be done; ``list.pop`` lets only one have it."""
        with contextlib.suppress(IndexError):
            return [self._once.pop()]
        return []

    def __enter__(self) -> SharedModel:
        return self.shared

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
