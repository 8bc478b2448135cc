"""A stream's way to one consumer: which items wait, which are dropped, which need no worker."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from streamkit.errors import ClosedError
from streamkit.events import DropCause
from streamkit.freshness.demand import Lately, Takers, held
from streamkit.mailbox import Mailbox
from streamkit.policy import CARRIED, Drops, LanePolicy, OnDrop, Overflow, Share, T, tell

if TYPE_CHECKING:
    from streamkit.scheduler import Scheduler


@dataclass(slots=True, eq=False)
class Ticket(Generic[T]):
    """One item on its way through a worker, who must ``complete`` or ``fail`` it."""

    lane: Lane[T]
    item: T
    done: bool = False
    value: Any = None

    def complete(self, value: Any = None) -> None:
        """Hand the result on; the lane delivers in the order in which items were taken."""
        self.lane.finish(self, value)

    def fail(self, error: BaseException) -> None:
        """The item is lost, and with it the lane: its stream meets ``error``."""
        self.lane.close(error, discard=True, keep=True, cause=DropCause.FAILED)


@dataclass(slots=True, eq=False)
class _Waiting(Generic[T]):
    since: float
    item: T
    needed: bool
    """It is for a worker."""


class Lane(Generic[T]):
    """One stream's way to one consumer. Made by ``Scheduler.open``.

    ``put`` is called by the stream's reader; iterating the lane gives ``(item, value)`` in order,
    each of which must be followed by ``release``.
    """

    def __init__(
        self,
        scheduler: Scheduler[T],
        policy: LanePolicy,
        *,
        window: int | None,
        options: Any,
        share: Share[T],
        on_drop: OnDrop[T],
        on_take: Callable[[T], None] | None,
    ) -> None:
        self.options = options
        self.on_take = on_take
        self.adjust: Callable[[Any], None] = lambda _options: None
        """To be told when other options are wanted of the stream; set by who knows what to do."""
        self.priority, self.turn_length = share.priority, 1.0 / share.weight
        self.due = 0.0
        """When its next turn is, in the scheduler's count of turns."""
        self.served = 0
        """The number of its last turn."""
        self.number = 0
        self.policy = policy
        self._scheduler = scheduler
        self._window = math.inf if window is None else window
        self._stretch = self._widest = share.stretch
        self._wanted = share.wanted
        self._owed = False
        """A worker should have seen an item that was lost: the next one takes its place."""
        self._kept, self._credit = 1.0, 0.0
        self._on_drop = on_drop
        self._room = threading.Condition(scheduler.lock)
        self._waiting: deque[_Waiting[T]] = deque()
        self._taken: deque[Ticket[T]] = deque()
        self._results: Mailbox[tuple[T, Any]] | None = None
        if window is not None:
            self._results = Mailbox(window * share.stretch)
        self._unreleased = 0
        self.takers: Takers = tuple
        """Whom the stream gives its results, where a frame may wait until they are wanted."""
        self._began: deque[float] = deque()
        """When those went to a worker that the stream has not used yet."""
        self._runs = Lately()
        self._closed = False
        self._error: BaseException | None = None
        self._idle = False

    # -- the stream's side -------------------------------------------------------------------

    def put(self, item: T) -> None:
        """Offer an item: waits, or something is dropped, by policy. ``ClosedError`` once closed."""
        drops: Drops[T] = []
        with self._room:
            if self.policy.overflow is Overflow.WAIT:
                self._room.wait_for(lambda: self._closed or not self.full)
            if self._closed:
                raise ClosedError("lane closed")
            if self._kept < 1.0 and self.live and not self._keeps():
                drops.append((self._on_drop, item, DropCause.RATE))
            else:
                self._add(item, drops)
        tell(drops)

    def _add(self, item: T, drops: Drops[T]) -> None:
        lost = self._make_room(item)
        if lost is not None:
            drops.append((self._on_drop, lost, self.policy.cause))
        if lost is not item:
            needed = self._wanted is None or self._wanted(item) or self._owed
            self._owed = False
            self._waiting.append(_Waiting(time.monotonic(), item, needed))
            self._hand_on(drops)
            self._scheduler.changed()

    def _make_room(self, item: T) -> T | None:
        """What is lost by adding ``item``: nothing, the oldest, or ``item`` itself."""
        if not self.full:
            return None
        if self.policy.overflow is Overflow.LATEST:
            return item
        return self._lose()

    def _lose(self) -> T:
        """The oldest, which is dropped; if it was for a worker, then the next one is."""
        lost = self._waiting.popleft()
        self._owe(lost)
        return lost.item

    def _owe(self, lost: _Waiting[T]) -> None:
        if lost.needed and self._waiting:
            self._waiting[0].needed = True
        else:
            self._owed = self._owed or lost.needed

    def thin(self, kept: float) -> None:
        """From now on keep this part of what is put (0 .. 1), evenly; the rest is dropped as
        ``RATE``. A lane that never drops is left alone."""
        with self._scheduler.lock:
            self._kept = kept

    def _keeps(self) -> bool:
        self._credit += self._kept
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True

    def put_all(self, items: Iterable[T]) -> None:
        """Offer items that belong together, so that a batch finds all of them."""
        with self._scheduler.lock:
            for item in items:
                self.put(item)

    def __iter__(self) -> Iterator[tuple[T, Any]]:
        """Results in order, until closed and drained; raises what it was closed with."""
        return iter(self._mailbox)

    def get(self, timeout: float | None = None) -> tuple[T, Any]:
        """The next result. ``TimeoutError``; at the end, ``ClosedError`` or what it was closed
        with."""
        return self._mailbox.get(timeout)

    @property
    def _mailbox(self) -> Mailbox[tuple[T, Any]]:
        if self._results is None:
            raise TypeError("this lane was opened without a window: it hands nothing back")
        return self._results

    def release(self) -> None:
        """The last result has been used: one more item of this lane may be served."""
        drops: Drops[T] = []
        with self._scheduler.lock:
            self._unreleased -= 1
            if self._began:
                self._runs.add(time.monotonic() - self._began.popleft())
            self._hand_on(drops)
            self._scheduler.changed()
        tell(drops)

    def follow(self, policy: LanePolicy) -> None:
        """Keep or drop by ``policy`` from now on."""
        with self._scheduler.lock:
            self.policy = policy
            self._scheduler.changed()

    def reshare(self, share: Share[T]) -> None:
        """Another priority, weight, and choice of items, from now on."""
        with self._scheduler.lock:
            self.priority, self.turn_length = share.priority, 1.0 / share.weight
            self._wanted, self._stretch = share.wanted, min(share.stretch, self._widest)
            self._scheduler.admit(self)

    def rest(self, idle: bool) -> None:
        """While ``idle``, nobody waits for this lane to fill a batch (camera away, paused)."""
        with self._scheduler.lock:
            self._idle = idle
            self._scheduler.changed()

    def expire(self) -> None:
        """Drop what waits, as stale, unless the lane never drops: its stream was lost since."""
        with self._room:
            lost = [self._lose() for _ in range(len(self._waiting) if self.live else 0)]
        tell([(self._on_drop, item, DropCause.STALE) for item in lost])

    def close(
        self,
        error: BaseException | None = None,
        *,
        discard: bool = False,
        keep: bool = False,
        cause: DropCause = DropCause.STOPPED,
    ) -> None:
        """No more items. What waits is still served, unless ``discard``: then it is dropped, and
        so are results, unless told to ``keep`` these.

        The stream meets ``error`` after the last result.
        """
        lost: list[T] = []
        with self._room:
            self._closed = True
            self._error = self._error or error
            if discard:
                lost = self._discard(keep=keep)
            else:
                self._end_if_over()
            self._room.notify_all()
            self._scheduler.changed()
        tell([(self._on_drop, item, cause) for item in lost])

    def _discard(self, *, keep: bool) -> list[T]:
        lost = [waiting.item for waiting in self._waiting]
        if self._results is not None:  # else who has taken an item does with it what he will
            lost += [ticket.item for ticket in self._taken]
        self._waiting.clear()
        self._taken.clear()
        self._began.clear()
        if self._results is not None:
            lost += [item for item, _ in self._results.close(self._error, discard=not keep)]
        self._scheduler.forget(self)
        return lost

    def _end_if_over(self) -> None:
        if self._closed and not self._waiting and not self._taken:
            if self._results is not None:
                self._results.close(self._error)
            self._scheduler.forget(self)

    # -- the scheduler's side; its lock is held ---------------------------------------------

    @property
    def closed(self) -> bool:
        """Takes no more items."""
        return self._closed

    @property
    def live(self) -> bool:
        """Drops rather than waits."""
        return self.policy.overflow is not Overflow.WAIT

    @property
    def waiting(self) -> int:
        """How many items wait for their turn."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """No more items fit."""
        return len(self._waiting) >= self.policy.capacity

    @property
    def waiting_since(self) -> float:
        """``time.monotonic()`` when the item whose turn it is was offered."""
        return self._waiting[0].since

    @property
    def _permitted(self) -> float:
        """How many more items may be on their way to the stream. A live one is not let far behind,
        however few of its items go to a worker."""
        stretch = 1 if self._stretch == 1 or self.live else self._stretch
        return self._window * stretch - len(self._taken) - self._unreleased

    @property
    def servable(self) -> int:
        """How many items may be taken now."""
        if not self._waiting or not self._waiting[0].needed or self.held > 0:
            return 0
        return int(min(len(self._waiting), max(0, self._permitted)))

    @property
    def held(self) -> float:
        """Seconds for which what waits is better not taken: nobody would use it any earlier. Where
        only some items go to a worker, these are wanted for the others, too."""
        if not self._waiting or not self.live or self._wanted is not None:
            return 0.0
        return held(time.monotonic(), self._runs.most, self._began, self.takers())

    @property
    def expected(self) -> bool:
        """Has nothing now, but may at any moment, so a batch may care to wait for it."""
        return not (self._closed or self._idle or self._waiting) and self._permitted > 0

    def take(self, drops: Drops[T]) -> Ticket[T] | None:
        """The next item by policy; what is dropped on the way is added to ``drops``."""
        waiting = self._waiting.popleft()
        while self.policy.eager and self._waiting:
            drops.append((self._on_drop, waiting.item, self.policy.cause))
            waiting = self._waiting.popleft()
        self._room.notify()
        ticket = None
        if self._is_stale(waiting.item):
            drops.append((self._on_drop, waiting.item, DropCause.STALE))
            self._owe(waiting)
        else:
            ticket = Ticket(self, waiting.item)
            self._begin(ticket)
        self._hand_on(drops)
        self._end_if_over()
        return ticket

    def _begin(self, ticket: Ticket[T]) -> None:
        self._taken.append(ticket)
        if self._results is not None:  # else nobody says when it has been used
            self._began.append(time.monotonic())

    def _is_stale(self, item: T) -> bool:
        return self.policy.max_age is not None and item.age > self.policy.max_age

    def _hand_on(self, drops: Drops[T]) -> None:
        """Let what is for no worker pass, as far as its turn has come, and what is done."""
        while self._waiting and not self._waiting[0].needed and self._permitted > 0:
            item = self._waiting.popleft().item
            self._room.notify()
            if self._is_stale(item):
                drops.append((self._on_drop, item, DropCause.STALE))
            else:
                self._begin(Ticket(self, item, True, CARRIED))
        self._flush()
        self._end_if_over()

    def _flush(self) -> None:
        while self._taken and self._taken[0].done:
            first = self._taken.popleft()
            if self._results is not None:
                self._unreleased += 1
                self._results.put((first.item, first.value))

    def finish(self, ticket: Ticket[T], value: Any) -> None:
        """A worker is done with ``ticket``; results go on as far as they are in order."""
        drops: Drops[T] = []
        with self._scheduler.lock:
            ticket.done, ticket.value = True, value
            self._flush()
            self._hand_on(drops)
            self._scheduler.changed()
        tell(drops)
