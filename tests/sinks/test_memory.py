"""A bounded buffer that counts what it forgets."""

from __future__ import annotations

import pytest

from streamkit.errors import ConfigError
from streamkit.sinks import InMemoryBufferSink, Sink
from tests.sinks.making import frame, result


def test_single_predictions_come_out_as_lists_oldest_first() -> None:
    sink = InMemoryBufferSink.init(queue_size=4)
    first, second = frame(1), frame(2)

    assert sink.empty()
    sink.on_prediction({"a": 1}, first)
    sink.on_prediction({"a": 2}, second)

    assert not sink.empty()
    assert sink.consume_prediction() == ([{"a": 1}], [first])
    assert sink.consume_prediction() == ([{"a": 2}], [second])
    with pytest.raises(IndexError):
        sink.consume_prediction()


def test_lists_stay_lists_with_their_gaps() -> None:
    sink = InMemoryBufferSink.init(queue_size=1)
    shown = frame(1)

    sink.on_prediction([{"a": 1}, None], [shown, None])

    assert sink.consume_prediction() == ([{"a": 1}, None], [shown, None])


def test_the_oldest_is_forgotten_and_counted() -> None:
    sink = InMemoryBufferSink(2)

    for number in range(5):
        sink.write(result(number))
    sink.close()
    sink.close()

    assert sink.dropped == 3
    assert [sink.consume_prediction()[1][0].frame_id for _ in range(2)] == [3, 4]  # type: ignore[union-attr]


def test_it_is_a_sink_that_needs_room() -> None:
    assert isinstance(InMemoryBufferSink(), Sink)
    with pytest.raises(ConfigError, match="at least 1"):
        InMemoryBufferSink.init(0)
