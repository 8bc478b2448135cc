from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from streamkit.errors import SourceError, StreamErrorCode
from streamkit.frame import Clock
from streamkit.sources import open_source
from streamkit.sources.numbered import encode_number
from tests.clips import numbers, pixels


def three() -> Iterator[Any]:
    yield from (encode_number(number) for number in range(3))


class Producer:
    """The neighbour's duck type, as existing scripts write it."""

    def __init__(self, length: int = 3) -> None:
        self.left, self.number = length, -1
        self.released = self.interrupted = 0
        self.wishes: dict[str, float] = {}

    def isOpened(self) -> bool:  # noqa: N802 - their name
        return True

    def initialize_source_properties(self, properties: dict[str, float]) -> None:
        self.wishes = properties

    def discover_source_properties(self) -> Any:
        return SimpleNamespace(width=320, height=240, total_frames=3, is_file=True, fps=12.0)

    def grab(self) -> bool:
        self.number += 1
        self.left -= 1
        return self.left >= 0

    def retrieve(self) -> tuple[bool, Any]:
        return True, encode_number(self.number)

    def release(self) -> None:
        self.released += 1

    def interrupt(self) -> None:
        self.interrupted += 1


def test_a_generator_an_iterable_and_a_callable_give_their_pictures() -> None:
    for reference in (three(), list(three()), three, lambda: list(three())):
        source = open_source(reference)
        assert not source.live
        assert numbers(source.read()) == [0, 1, 2]


def test_a_callable_is_called_again_at_every_reading() -> None:
    source = open_source(three)
    assert numbers(source.read()) == numbers(source.read()) == [0, 1, 2]
    assert source.reference == "three"


def test_a_producer_is_read_and_released() -> None:
    made: list[Producer] = []

    def make() -> Producer:
        made.append(Producer())
        return made[-1]

    source = open_source(make, properties={"frame_width": 320.0})
    assert numbers(source.read()) == [0, 1, 2]
    assert made[0].released == 1
    assert made[0].wishes == {"frame_width": 320.0}
    assert source.properties is not None
    assert source.properties.fps == 12.0


def test_a_producers_own_interrupt_is_called() -> None:
    producer = Producer(100)
    source = open_source(producer)
    captures = source.read()
    next(captures)
    source.interrupt()
    assert list(captures) == []
    assert (producer.interrupted, producer.released) == (1, 1)


def test_items_may_bring_their_time_and_be_grey() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    grey = np.full((8, 9), 50, np.uint8)
    timed, plain = list(open_source([(grey, moment), grey]).read())
    assert (timed.timestamp, timed.clock) == (moment, Clock.PTS)
    assert plain.clock is Clock.ARRIVAL
    assert pixels(timed.picture).shape == (8, 9, 3)


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ("picture.png", "a str"),
        (None, "a NoneType"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\)"),
    ],
)
def test_a_wrong_item_is_named(item: Any, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        list(open_source([item]).read())


def test_what_the_code_behind_it_raises_is_the_cause() -> None:
    def broken() -> Iterator[Any]:
        yield encode_number(0)
        raise KeyError("lens cap")

    captures = open_source(broken).read()
    next(captures)
    with pytest.raises(SourceError, match="lens cap") as caught:
        next(captures)
    assert isinstance(caught.value.__cause__, KeyError)


def test_the_end_of_a_live_one_is_its_loss() -> None:
    source = open_source(three, live=True)
    assert source.live
    captures = source.read()
    assert len([next(captures) for _ in range(3)]) == 3
    with pytest.raises(SourceError) as caught:
        next(captures)
    assert caught.value.code is StreamErrorCode.LOST


def test_closing_a_reading_closes_the_generator() -> None:
    closed: list[bool] = []

    def watched() -> Iterator[Any]:
        try:
            yield from three()
        finally:
            closed.append(True)

    captures = open_source(watched).read()
    next(captures)
    captures.close()
    assert closed == [True]
