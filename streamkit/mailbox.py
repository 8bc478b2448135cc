"""A bounded hand-over between two threads; closing it wakes everybody who waits."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from streamkit.errors import ClosedError

T = TypeVar("T")


class Mailbox(Generic[T]):
    """First in, first out. ``put`` waits for room; iteration ends when it is closed and empty."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._error: BaseException | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Hand over, waiting for room. Raises ``ClosedError`` once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                raise ClosedError("mailbox closed")
            self._items.append(item)
            self._changed.notify_all()

    def get(self, timeout: float | None = None) -> T:
        """The oldest item. ``ClosedError`` (or what it was closed with) at the end."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._items, timeout):
                raise TimeoutError
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            raise self._error or ClosedError("mailbox closed")

    def close(self, error: BaseException | None = None, *, discard: bool = False) -> list[T]:
        """No more items; what ``discard`` threw away. ``error`` comes after the rest."""
        with self._changed:
            self._closed = True
            self._error = self._error or error
            thrown = list(self._items) if discard else []
            if discard:
                self._items.clear()
            self._changed.notify_all()
            return thrown

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                item = self.get()
            except ClosedError:
                return
            yield item
