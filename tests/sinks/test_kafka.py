"""Events to Kafka, against the mock cluster that the client library itself has."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka import Message as Record

from streamkit.errors import ConfigError, DeliveryFailedError, DeliveryRefusedError
from streamkit.outbox.base import Destination
from streamkit.sinks import KafkaSink, open_sink
from streamkit.sinks.kafka import KafkaDestination, Login
from streamkit.sinks.template import Template
from tests.fakes import until
from tests.sinks.brokers import free_port
from tests.sinks.happenings import event, message, seen

NOBODY = Login(None, None, "PLAIN", tls=False, ca_file=None)


@contextmanager
def cluster(brokers: int = 3) -> Iterator[str]:
    """Addresses of the mock brokers inside a producer that does nothing else."""
    holder = Producer({"test.mock.num.brokers": brokers, "log_level": 0})
    try:
        found = holder.list_topics(timeout=10).brokers.values()
        yield ",".join(f"{broker.host}:{broker.port}" for broker in found)
    finally:
        del holder


def destination(brokers: str, topic: str = "events", timeout: float = 10.0) -> KafkaDestination:
    return KafkaDestination(brokers, Template(topic, "topic"), NOBODY, timeout)


def records(brokers: str, count: int, topic: str = "events") -> list[Record]:
    """The first ``count`` of a topic."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test"})
    there = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in there])
    found: list[Record] = []
    end = time.monotonic() + 20
    while len(found) < count and time.monotonic() < end:
        record = consumer.poll(0.2)
        if record is not None and record.error() is None:
            found.append(record)
    consumer.close()
    return found


def value(record: Record) -> Any:
    content = record.value()
    assert content is not None
    return json.loads(content)


def test_an_event_is_a_record_keyed_by_its_stream_with_headers() -> None:
    happened = event(1, source="Tür 1")
    with cluster() as brokers:
        to = destination(brokers)
        assert isinstance(to, Destination)
        to.send([message(happened)])
        (record,) = records(brokers, 1)
        to.close()
    assert value(record) == happened.dict()
    assert record.key() == "Tür 1".encode()
    headers = dict(record.headers() or [])
    assert headers["idempotency-key"] == happened.idempotency_key.encode()
    assert headers["kind"] == b"line.in"
    assert headers["at"] == b"2026-03-29T01:00:00.900000+00:00"


def test_each_stream_keeps_its_order_through_the_outbox(tmp_path: Path) -> None:
    with cluster() as brokers:
        sink = KafkaSink(brokers, topic="events", outbox=tmp_path / "outbox.sqlite")
        for number in range(300):
            sink.write(seen(event(number, source=f"cam{number % 7}")))
        until(lambda: sink.stats()["outbox"]["waiting"] == 0)
        sink.close()
        found = records(brokers, 300)
    for source in range(7):
        own = [value(r) for r in found if r.key() == f"cam{source}".encode()]
        assert [each["frame_id"] for each in own] == list(range(source, 300, 7))
    partitions: dict[Any, set[Any]] = {}
    for record in found:
        partitions.setdefault(record.key(), set()).add(record.partition())
    assert all(len(each) == 1 for each in partitions.values())


def test_no_cluster_is_told_in_time() -> None:
    port = free_port()
    to = destination(f"127.0.0.1:{port}", timeout=1.0)
    with pytest.raises(DeliveryFailedError, match=f"kafka 127.0.0.1:{port}: .*timed out") as told:
        to.send([message(event(1)), message(event(2))])
    assert told.value.delivered == 0
    to.close()


def test_a_cluster_that_goes_is_told_and_the_next_gets_what_it_did_not() -> None:
    """Another one in its place: the mock has no memory, and its own addresses."""
    with cluster() as brokers:
        to = destination(brokers, timeout=2.0)
        to.send([message(event(1))])
    with pytest.raises(DeliveryFailedError):
        to.send([message(event(2))])
    with cluster() as brokers:
        to._brokers = brokers
        to.send([message(event(2)), message(event(3))])
        assert [value(r)["frame_id"] for r in records(brokers, 2)] == [2, 3]
    to.close()


def test_a_message_that_is_too_large_is_refused_and_the_next_one_goes() -> None:
    with cluster() as brokers:
        to = destination(brokers)
        long = message(event(1, data={"long": "x" * 2_000_000}))
        with pytest.raises(DeliveryRefusedError, match="too large"):
            to.send([long])
        to.send([message(event(2))])
        assert [value(r)["frame_id"] for r in records(brokers, 1)] == [2]
        to.close()


def test_what_was_taken_before_one_that_is_refused_is_told() -> None:
    with cluster() as brokers:
        to = destination(brokers)
        sizes = (1, 1, 2_000_000, 1)
        with pytest.raises(DeliveryRefusedError, match="too large") as told:
            to.send([message(event(n, data={"x": "x" * size})) for n, size in enumerate(sizes)])
        to.close()
        assert [value(r)["frame_id"] for r in records(brokers, told.value.delivered)] == [0, 1]


def test_closing_ends_a_send_that_waits() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        to = destination(f"127.0.0.1:{silent.getsockname()[1]}", timeout=60)
        failed: list[BaseException] = []

        def send() -> None:
            try:
                to.send([message(event(1))])
            except DeliveryFailedError as error:
                failed.append(error)

        thread = threading.Thread(target=send)
        thread.start()
        silent.accept()[0].close()
        began = time.monotonic()
        to.close()
        thread.join(10)
        assert time.monotonic() - began < 3
        assert "closed" in str(failed[0])
        with pytest.raises(DeliveryFailedError, match="closed"):
            to.send([message(event(2))])


def test_a_password_is_in_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "s3cret-word")
    login = Login("me", "env:KAFKA_PASSWORD", "SCRAM-SHA-512", tls=False, ca_file=None)
    assert login.options()["sasl.password"] == "s3cret-word"
    with cluster() as brokers:  # which knows no log-ins
        to = KafkaDestination(brokers, Template("events", "topic"), login, 1.0)
        with pytest.raises(DeliveryFailedError) as told:
            to.send([message(event(1))])
        to.close()
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"brokers": []}, "at least one"),
        ({"topic": "a/b"}, "topic='a/b'"),
        ({"topic": "{steam}"}, "is no field"),
        ({"username": "me"}, "give both"),
        ({"mechanism": "GSSAPI"}, "mechanism"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, Any], match: str) -> None:
    given = {"brokers": "127.0.0.1:9", "outbox": str(tmp_path / "outbox.sqlite"), **options}
    with pytest.raises(ConfigError, match=match):
        open_sink("kafka", given)
