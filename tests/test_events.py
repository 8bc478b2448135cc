"""Events have ids that only rise, one wire form, and a schema that receivers can check it by."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamkit
from streamkit import InferencePipeline, get_model
from streamkit.errors import ConfigError
from streamkit.events import Event, Evidence, Phase, new_id, ulids
from streamkit.frame import Clock
from streamkit.predictions import Detections, Result
from streamkit.stages import open_stage
from streamkit.stages.seen import Witness
from streamkit.wire import EventWire, checked_event, event_schema
from tests.stages.making import SAMPLES, seen

AT = datetime(2026, 3, 29, 0, 59, 30, 250_000, tzinfo=UTC)


def event(**more: object) -> Event:
    return Event("zone.enter", 0, "door", AT, 7, **more)  # type: ignore[arg-type]


def test_ids_rise_through_all_threads_of_a_process() -> None:
    made: list[list[str]] = [[] for _ in range(4)]

    def make(into: list[str]) -> None:
        into += [new_id() for _ in range(2000)]

    threads = [threading.Thread(target=make, args=(into,)) for into in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(ids == sorted(ids) for ids in made)
    assert len({each for ids in made for each in ids}) == 8000
    assert all(len(each) == 26 for ids in made for each in ids)


@given(st.lists(st.integers(0, 2**33), min_size=1))
def test_ids_rise_however_the_clock_is_set(seconds: list[int]) -> None:
    clock = iter([second * 10**9 for second in seconds])
    make = ulids(lambda: next(clock))
    ids = [make() for _ in seconds]
    assert ids == sorted(set(ids))


def test_the_wire_form_is_what_its_schema_says() -> None:
    evidence = Evidence("crop", "/e/1.jpg", "object", 10, "ab"), Evidence("clip", None, error="no")
    told = event(evidence=evidence, data={"class": "car"}).dict()
    assert told["at"] == "2026-03-29T00:59:30.250000Z"
    assert checked_event(json.loads(orjson.dumps(told))) == told
    schema = event_schema()
    assert list(told) == list(EventWire.__annotations__) == schema["required"]
    assert schema["properties"]["at"]["description"] == "RFC 3339, UTC, microseconds."
    assert "additionalProperties" not in schema, "keys may be added within a version"
    assert checked_event({**told, "new": 1})["id"] == told["id"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("phase", "begin"), ("frame_id", "7"), ("version", 2), ("id", None), ("evidence", [{}])],
)
def test_what_is_no_event_is_refused_with_the_key(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key):
        checked_event({**event().dict(), key: value})
    with pytest.raises(ConfigError, match="not an event"):
        checked_event([])


@given(st.datetimes(timezones=st.just(timezone(timedelta(hours=5, minutes=30)))))
def test_times_on_the_wire_are_utc_and_exact(at: datetime) -> None:
    told = Event("line.in", 0, "gate", at.astimezone(UTC), 1).dict()["at"]
    assert datetime.fromisoformat(told) == at


def test_deliveries_of_one_happening_are_told_apart() -> None:
    happening = new_id()
    phases: list[Phase] = ["start", "update", "update", "end"]
    events = [event(id=happening, phase=p, sequence=n) for n, p in enumerate(phases, 1)]
    assert len({each.idempotency_key for each in events}) == 4
    assert events[0].idempotency_key == f"{happening}.start"


def test_an_event_says_which_frame_clock_stream_and_model_it_is_from() -> None:
    result = seen(2.5, (7, 2, 100, 200), number=31, source_id=4, clock=Clock.RTCP, uncertainty=0.02)
    result.source = "entrance"
    found = Witness(result, "gate").event("line.in", 7, {"class": "car"})
    assert (found.stream, found.source, found.frame_id, found.tracker_id) == (4, "entrance", 31, 7)
    assert (found.at, found.clock, found.uncertainty) == (result.frame.timestamp, "rtcp", 0.02)
    assert found.phase == "instant"
    assert found.model is None
    assert found.sequence is None


def test_event_and_evidence_are_public() -> None:
    assert streamkit.Event is Event
    assert streamkit.Evidence is Evidence


def test_an_event_names_the_model_that_answered_for_its_frame() -> None:
    model, heard = SAMPLES / "models" / "street" / "1", list[Event]()

    class Ears:
        takes_events = True

        def write(self, result: Result) -> None:
            heard.extend(result.events)

        def close(self) -> None:
            pass

    pipeline = InferencePipeline.init(
        [str(SAMPLES / "street.jpg")],
        str(model),
        stages=[lambda: open_stage("window", {"seconds": 1})],
        sinks=[Ears()],
        stream={"name": "street"},
    )
    pipeline.start()
    pipeline.join()
    (event,) = heard
    assert event.data["partial"] is True
    assert event.data["max"] > 5
    assert event.model == str(model)
    assert (event.source, event.sequence) == ("street", 1)
    with get_model(model) as loaded:
        (found,) = loaded.infer(np.zeros((360, 640, 3), np.uint8))
    assert isinstance(found, Detections)
    assert found.model_id == str(model)
