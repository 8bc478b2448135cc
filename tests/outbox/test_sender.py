"""The sender: order, retries, dead letters; one stream's trouble is not another's."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from streamkit.errors import (
    ConfigError,
    DeliveryFailedError,
    DeliveryRefusedError,
    OutboxError,
    OutboxErrorCode,
)
from streamkit.outbox.archive import Selection, messages, replay
from streamkit.outbox.base import Message
from streamkit.outbox.opened import Outboxes
from streamkit.outbox.sender import Sender, backoff
from streamkit.outbox.store import Entry, State, Store
from tests.fakes import until
from tests.outbox.making import Recorder, Settable, joined, message, options, several


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "box.sqlite"


def refused(*_: object) -> DeliveryRefusedError:
    return DeliveryRefusedError("HTTP 404")


def failed(*_: object) -> DeliveryFailedError:
    return DeliveryFailedError("HTTP 503")


def ids(count: int, stream: str = "entrance") -> list[str]:
    return [each.id for each in several(count, stream)]


def test_what_fails_is_sent_again_with_the_same_id_in_order(path: Path) -> None:
    there = Recorder()
    there.faults["entrance-1.instant"].extend([failed(), failed(), ValueError("a bug")])
    with joined(path, there) as seat:
        seat.put(several(3))
        there.await_sent(3)
        assert there.ids() == ids(3)
        second = [tried for tried in there.tried if tried[0] == "entrance-1.instant"]
        assert [attempt for _, attempt in second] == [1, 2, 3, 4]
        until(lambda: seat.stats()["waiting"] == 0)
        assert seat.stats()["retried"] == 3


def test_a_failing_message_holds_back_its_own_stream_only(path: Path) -> None:
    there = Recorder()
    there.always = lambda each: failed() if each.id == "entrance-1.instant" else None
    with joined(path, there) as seat:
        seat.put([m for n in range(4) for m in (message(n), message(n, "exit"))])
        there.await_sent(5)
        until(lambda: len(there.tried) > 12)
        assert there.ids("exit") == ids(4, "exit")
        assert there.ids("entrance") == ids(1)
        assert seat.stats()["reason"] == "HTTP 503"
        there.always = lambda _: None
        there.await_sent(8)
        assert there.ids("entrance") == ids(4)


def test_a_failing_destination_holds_back_no_other(path: Path) -> None:
    boxes, good, bad = Outboxes(), Recorder(), Recorder()
    bad.always = failed
    with joined(path, good, name="good", boxes=boxes) as fine:
        with joined(path, bad, name="bad", boxes=boxes) as broken:
            for each in several(20):
                broken.put([each])
                fine.put([each])
            good.await_sent(20)
        assert good.ids() == ids(20)
        assert bad.sent == []


def test_what_is_refused_is_a_dead_letter_and_the_next_goes_on(path: Path) -> None:
    there = Recorder()
    there.faults["entrance-1.instant"].append(refused())
    with joined(path, there) as seat:
        seat.put(several(3))
        there.await_sent(2)
        until(lambda: seat.stats()["waiting"] == 0)
    store = Store(path)
    (dead,) = messages(store, Selection((State.DEAD,)), 9)
    assert (dead["id"], dead["reason"]) == ("entrance-1.instant", "HTTP 404")
    assert replay(store, Selection((State.DEAD,))) == 1
    store.close()
    again = Recorder()
    with joined(path, again):
        again.await_sent(1)
    assert again.ids() == ["entrance-1.instant"]


def test_of_a_batch_that_is_refused_only_the_guilty_one_dies(path: Path) -> None:
    there = Recorder(batch=10, linger=0.2)
    there.always = lambda each: refused() if each.id == "entrance-3.instant" else None
    with joined(path, there) as seat:
        seat.put(several(6))
        there.await_sent(5)
        until(lambda: seat.stats()["waiting"] == 0)
        assert seat.stats()["dead"] == 1
    assert there.sizes == [6, 1, 1, 1, 1, 1, 1]
    assert there.ids() == [each for each in ids(6) if each != "entrance-3.instant"]


def test_after_a_refused_batch_none_overtakes_an_earlier_one_of_its_stream(path: Path) -> None:
    """However long the message of another stream takes in between."""
    there, clock = Recorder(batch=3), Settable()
    there.faults["entrance-0.instant"].extend([refused(), failed()])

    def slow(each: Message) -> None:
        clock.ahead += 60.0 * (each.stream == "exit")

    there.always = slow
    with joined(path, there, clock=clock.clock) as seat:
        seat.put([message(0), message(0, "exit"), message(1)])
        there.await_sent(3)
    assert there.sizes[0] == 3
    assert there.ids() == ["exit-0.instant", *ids(2)]


def test_nor_where_another_destination_is_used_meanwhile(path: Path) -> None:
    old, new, store = Recorder(batch=2), Recorder(), Store(path)
    old.faults["entrance-0.instant"].append(refused())
    sender = Sender(store, "there", old, options(path))

    def replaced(_: Message) -> DeliveryFailedError:
        sender.use(new, options(path))
        return failed()

    old.always = replaced
    store.put("there", several(2), options(path))
    sender.start()
    new.await_sent(2)
    sender.stop()
    store.close()
    assert new.ids() == ids(2)


def test_of_a_batch_that_is_refused_what_was_taken_before_is_not_sent_again(path: Path) -> None:
    there = Recorder(batch=10)
    too_large = DeliveryRefusedError("too large", delivered=3)
    there.faults["entrance-3.instant"].extend([too_large, refused()])
    with joined(path, there) as seat:
        seat.put(several(6))
        until(lambda: seat.stats()["waiting"] == 0)
        assert (seat.stats()["sent"], seat.stats()["dead"]) == (5, 1)
    assert there.sizes == [6, 1, 1, 1]
    assert there.ids() == ids(6)[4:]


def test_of_a_batch_that_broke_off_the_rest_is_sent_again(path: Path) -> None:
    there = Recorder(batch=10, linger=0.2)
    there.faults["entrance-4.instant"].append(DeliveryFailedError("cut", delivered=4))
    with joined(path, there) as seat:
        seat.put(several(6))
        there.await_sent(2)
        until(lambda: seat.stats()["waiting"] == 0)
        assert seat.stats()["sent"] == 6
    assert there.ids() == ids(6)[4:]


def test_a_batch_waits_for_company_but_not_for_long(path: Path) -> None:
    there = Recorder(batch=4, linger=0.3)
    with joined(path, there) as seat:
        for each in several(9):
            seat.put([each])
        began = time.monotonic()
        there.await_sent(9)
    assert there.sizes == [4, 4, 1]
    assert time.monotonic() - began > 0.1


def test_retry_after_is_honoured_by_the_whole_destination(path: Path) -> None:
    there = Recorder()
    there.faults["entrance-0.instant"].append(DeliveryFailedError("HTTP 429", retry_after=0.7))
    with joined(path, there) as seat:
        seat.put([message(0)])
        there.await_tries(1)
        began = time.monotonic()
        seat.put([message(0, "exit")])
        there.await_sent(2)
        assert time.monotonic() - began > 0.5
    assert there.ids() == ["entrance-0.instant", "exit-0.instant"]


def test_after_keep_for_it_is_a_dead_letter_with_the_last_reason(path: Path) -> None:
    there, clock = Recorder(), Settable()
    there.always = failed
    with joined(path, there, clock=clock.clock, keep_for=60.0) as seat:
        seat.put(several(2))
        there.await_tries(4)
        assert seat.stats()["dead"] == 0
        clock.ahead += 61.0
        until(lambda: seat.stats()["dead"] == 2)
    store = Store(path)
    reasons = {row["reason"] for row in messages(store, Selection((State.DEAD,)), 9)}
    store.close()
    assert reasons == {"not delivered in time; last: HTTP 503"}


def test_waits_double_up_to_the_longest_with_full_jitter(path: Path) -> None:
    chosen = options(path, first_wait=0.5, longest_wait=6.0)
    most = [backoff(failures, chosen, lambda: 1.0) for failures in (1, 2, 3, 4, 5, 6, 9_999)]
    assert most == [0.5, 1.0, 2.0, 4.0, 6.0, 6.0, 6.0]
    assert backoff(6, chosen, lambda: 0.0) == 0.0
    assert len({backoff(6, chosen) for _ in range(10)}) == 10


def test_a_stop_waits_for_no_receiver_and_what_is_unsent_goes_on(path: Path) -> None:
    stuck = Recorder()
    stuck.gate.clear()
    with joined(path, stuck) as seat:
        seat.put(several(3))
        stuck.await_tries(1)
        began = time.monotonic()
    assert time.monotonic() - began < 4.0
    there = Recorder()
    with joined(path, there):
        there.await_sent(3)
    assert there.ids() == ids(3)
    assert there.tried[0] == ("entrance-0.instant", 1), "what was cancelled was no attempt"


def test_attempts_are_counted_through_restarts(path: Path) -> None:
    there = Recorder()
    there.always = failed
    with joined(path, there) as seat:
        seat.put(several(1))
        there.await_tries(3)
        until(lambda: seat.stats()["retried"] >= 3)
    again = Recorder()
    with joined(path, again):
        again.await_sent(1)
    assert again.sent[0].attempt > 3


def test_the_end_of_a_run_waits_until_all_is_sent(path: Path) -> None:
    there = Recorder()
    there.faults["entrance-3.instant"].append(failed())
    with joined(path, there) as seat:
        seat.put(several(20))
        seat.drain()
        assert there.ids() == ids(20)


def test_but_not_when_hurried(path: Path) -> None:
    there = Recorder()
    there.gate.clear()
    with joined(path, there) as seat:
        seat.put(several(1))
        seat.hurry()
        began = time.monotonic()
        seat.drain()
        assert time.monotonic() - began < 4.0


def test_a_full_queue_drops_the_oldest_and_tells(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = Recorder()
    there.always = failed
    with caplog.at_level(logging.WARNING), joined(path, there, max_messages=3) as seat:
        for each in several(10):
            seat.put([each])
        stats = seat.stats()
        assert (stats["waiting"], stats["dropped"], stats["put"]) == (3, 7, 10)
    assert "OUTBOX_FULL: there: full" in caplog.text


def test_a_full_queue_refuses(path: Path) -> None:
    there = Recorder()
    there.gate.clear()
    with joined(path, there, max_messages=3, on_full="refuse") as seat:
        with pytest.raises(OutboxError, match="3 wait") as caught:
            seat.put(several(5))
        assert caught.value.code is OutboxErrorCode.FULL
        assert (seat.stats()["waiting"], seat.stats()["refused"]) == (3, 1)


def test_a_full_queue_blocks_until_there_is_room(path: Path) -> None:
    there = Recorder()
    there.gate.clear()
    with joined(path, there, max_messages=2, on_full="block") as seat:
        seat.put(several(2))
        putting = threading.Thread(target=seat.put, args=(several(3, first=2),))
        putting.start()
        there.await_tries(1)
        assert putting.is_alive()
        assert seat.stats()["put"] == 2
        there.gate.set()
        putting.join(20)
        there.await_sent(5)
        assert there.ids() == ids(5)


def test_and_lets_go_of_a_run_that_is_stopped(path: Path) -> None:
    there = Recorder()
    there.gate.clear()
    with joined(path, there, max_messages=1, on_full="block") as seat:
        seat.put(several(1))
        seat.hurry()
        with pytest.raises(OutboxError):
            seat.put(several(1, first=1))


def test_what_can_never_fit_is_refused_by_every_policy(path: Path) -> None:
    for policy in ("drop_oldest", "refuse", "block"):
        with joined(path, Recorder(), name=policy, max_bytes=100, on_full=policy) as seat:
            with pytest.raises(OutboxError, match="max_bytes=100") as caught:
                seat.put([message(1, size=200)])
            assert caught.value.code is OutboxErrorCode.TOO_LARGE


def test_sinks_that_mean_the_same_receiver_share_a_queue(path: Path) -> None:
    boxes, first, second = Outboxes(), Recorder(), Recorder()
    with joined(path, first, boxes=boxes) as one:
        with joined(path, second, boxes=boxes) as two:
            one.put([message(0)])
            two.put([message(1)])
            first.await_sent(2)
        assert second.closed.is_set()
        one.put([message(2)])
        first.await_sent(3)
    assert first.ids() == ids(3)
    assert second.tried == []


def test_the_one_whose_way_it_was_leaves_and_another_goes_on(path: Path) -> None:
    boxes, first, second = Outboxes(), Recorder(), Recorder()
    one = boxes.join(first, "there", options(path))
    with joined(path, second, boxes=boxes) as two:
        one.put([message(0)])
        first.await_sent(1)
        one.close()
        two.put([message(1)])
        second.await_sent(1)
    assert (first.ids(), second.ids()) == ([message(0).id], [message(1).id])


def test_one_name_for_two_receivers_is_an_error(path: Path) -> None:
    boxes = Outboxes()
    seat = boxes.join(Recorder(), "there", options(path), same=("here", 1))
    with pytest.raises(ConfigError, match="give each sink a name"):
        boxes.join(Recorder(), "there", options(path), same=("elsewhere", 1))
    with pytest.raises(ConfigError, match="durable"):
        boxes.join(Recorder(), "other", options(path, durable=False))
    seat.close()
    seat.close()


@pytest.mark.parametrize("stuck", [False, True])
def test_the_same_receiver_in_another_manner_takes_over_and_back(path: Path, stuck: bool) -> None:
    """The options of a sink change while it runs; or do not, where something else was wrong."""
    boxes, old, new = Outboxes(), Recorder(), Recorder()
    seat = boxes.join(old, "there", options(path), same=("here", 1))
    seat.put([message(0)])
    old.await_sent(1)
    if stuck:
        old.gate.clear()
        seat.put([message(1)])
        old.await_tries(2)
    after = boxes.join(new, "there", options(path, keep_for=9.0), same=("here", 2))
    if stuck:
        seat.close()
        new.await_sent(1)
        assert new.tried == [(message(1).id, 1)], "what was cancelled was no attempt"
        after.close()
    else:
        after.put([message(1)])
        new.await_sent(1)
        after.close()
        seat.put([message(2)])
        old.await_sent(2)
        seat.close()
    assert new.ids() == [message(1).id]


def test_ten_thousand_wait_and_the_newest_stream_is_served_at_once(path: Path) -> None:
    there = Recorder()
    there.always = lambda each: failed() if each.stream == "stuck" else None
    with joined(path, there, first_wait=30.0, longest_wait=30.0, durable=False) as seat:
        seat.put(several(10_000, "stuck"))
        there.await_tries(1)
        seat.put(several(1))
        there.await_sent(1, timeout=5)


def test_no_message_is_sent_once_its_destination_is_closed(path: Path) -> None:
    there = Recorder()
    with joined(path, there) as seat:
        seat.put(several(1))
        there.await_sent(1)
    tried = len(there.tried)
    seat.put([message(7)])
    assert len(there.tried) == tried
    again: list[Message] = []
    store = Store(path)
    again += [each.message for each in store.next("there", 9)]
    store.close()
    assert [each.id for each in again] == ["entrance-7.instant"]


class Asked(Store):
    """Another destination is to be used while the disk looks for what is next."""

    sender: Sender
    new: Recorder

    def next(self, *given: Any, **more: Any) -> list[Entry]:
        found = super().next(*given, **more)
        if len(found) > 1:
            self.sender.use(self.new, options(self.path))
        return found


def test_a_destination_gets_no_more_at_a_time_than_it_takes(path: Path) -> None:
    old, new, store = Recorder(batch=10), Recorder(), Asked(path)
    store.put("there", several(10), options(path))
    store.sender, store.new = Sender(store, "there", old, options(path)), new
    store.sender.start()
    until(lambda: store.waiting("there")[0] == 0)
    store.sender.stop()
    store.close()
    assert (old.ids(), new.sizes) == (ids(10), [])


def test_the_sender_knows_of_a_stop_before_its_destination_is_closed(path: Path) -> None:
    """What fails by that was cancelled, and no attempt."""
    told: list[bool] = []

    class Watched(Recorder):
        def close(self) -> None:
            told.append(seat._queue._sender._stopping)
            super().close()

    seat = Outboxes().join(Watched(), "there", options(path))
    seat.close()
    assert told == [True]


def test_an_outbox_that_takes_long_to_open_holds_up_no_other(path: Path) -> None:
    boxes, contended = Outboxes(), path.with_name("contended.sqlite")
    other = boxes.join(Recorder(), "there", options(path))
    opened = threading.Event()

    def opens() -> None:
        seat = boxes.join(Recorder(), "there", options(contended))
        opened.set()
        seat.close()

    thread = threading.Thread(target=opens)
    with FileLock(f"{contended}.lock"):
        thread.start()
        until(lambda: contended in boxes._locks and boxes._locks[contended].locked())
        other.close()
        assert not opened.is_set()
    thread.join(20)
    assert opened.is_set()
