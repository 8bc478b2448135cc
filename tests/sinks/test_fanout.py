"""Every sink has its turn; no error is lost."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from streamkit.errors import ConfigError
from streamkit.predictions import Result
from streamkit.sinks import CallbackSink, InMemoryBufferSink, multi_sink
from tests.sinks.making import frame, result


def test_all_sinks_get_the_same_arguments_in_order() -> None:
    calls: list[tuple[str, Any, Any]] = []
    sinks = [lambda p, f, name=name: calls.append((name, p, f)) for name in "ab"]
    shown = frame(1)

    partial(multi_sink, sinks=sinks)({"x": 1}, shown)

    assert calls == [("a", {"x": 1}, shown), ("b", {"x": 1}, shown)]


def test_a_failing_sink_keeps_nobody_from_theirs_and_is_told_with_the_others() -> None:
    def broken(*_: Any) -> None:
        raise OSError("disk full")

    kept = InMemoryBufferSink(4)
    with pytest.raises(ExceptionGroup, match="2 of 3 sinks failed") as caught:
        multi_sink({}, [frame(1)], sinks=[broken, kept.on_prediction, partial(broken)])

    assert not kept.empty()
    assert [type(error) for error in caught.value.exceptions] == [OSError, OSError]
    assert "broken: OSError('disk full')" in str(caught.value)


def test_a_callback_gets_results() -> None:
    seen: list[Result] = []
    sink = CallbackSink(seen.append)
    one = result(1)

    sink.write(one)
    sink.close()
    sink.close()

    assert seen == [one]


def test_a_document_names_its_callback() -> None:
    CallbackSink("streamkit.sinks.record:record").write(result(1))

    with pytest.raises(ConfigError):
        CallbackSink("streamkit.sinks.record:nothing")
