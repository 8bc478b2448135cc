"""Events over MQTT, to a real Mosquitto that is restarted, killed, and asks for passwords."""

from __future__ import annotations

import json
import logging
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jinja2
import pytest

from streamkit.errors import ConfigError, DeliveryFailedError, DeliveryRefusedError
from streamkit.outbox.base import Destination
from streamkit.sinks.mqtt import MqttDestination, MqttSink, Publishing, _level
from streamkit.sinks.mqtt_connection import Broker
from streamkit.sinks.secure import tls_context
from streamkit.sinks.template import Template
from tests.fakes import until
from tests.needs import needs_program
from tests.sinks.brokers import PLAIN, Listener, free_port, listening, mosquitto
from tests.sinks.happenings import event, message, seen
from tests.sources.certificates import self_signed

STATUS = "streamkit/tester/status"


def outbox(folder: Path) -> dict[str, Any]:
    return {"path": str(folder / "outbox.sqlite"), "first_wait": 0.05, "longest_wait": 0.2}


@contextmanager
def destination(
    port: int, topic: str = "t/{stream}/{kind}", *, discovery: str | None = None, **more: Any
) -> Iterator[MqttDestination]:
    retain = more.pop("retain", False)
    broker = Broker("127.0.0.1", port, "tester", STATUS, **{"timeout": 3.0, **more})
    made = MqttDestination(broker, Publishing(Template(topic, "topic"), retain, discovery))
    try:
        yield made
    finally:
        made.close()
        until(lambda: "paho-mqtt-client-tester" not in {t.name for t in threading.enumerate()}, 5)


def numbers(listener: Listener, topic: str) -> list[int]:
    return [json.loads(m.payload)["frame_id"] for m in listener.heard if m.topic == topic]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_an_event_arrives_as_it_is_with_its_key(tmp_path: Path, version: Any) -> None:
    happened = event(1, source="yard/+#%")
    with mosquitto(tmp_path / "mqtt") as broker, listening(broker.port, "t/#") as listener:
        with destination(broker.port, version=version) as to:
            to.send([message(happened)])
            (heard,) = listener.wait_for(1)
        assert heard.topic == "t/yard%2F%2B%23%25/line.in"
        assert json.loads(heard.payload) == happened.dict()
        assert heard.qos == 1
        assert not heard.retain
        if version == "5":
            properties = dict(heard.properties.UserProperty)  # type: ignore[union-attr]
            assert properties["idempotency-key"] == happened.idempotency_key
            assert heard.properties.ContentType == "application/json"  # type: ignore[union-attr]


def test_every_value_is_one_level_of_a_topic_and_different_ones_stay_apart() -> None:
    awkward = ["a/b", "a%2Fb", "+", "#", "$SYS", "", "a\0b", "a b", "Tür", "\ud800", "50%", "$"]
    levels = [_level(text) for text in awkward]
    assert len(set(levels)) == len(awkward)
    for level in levels:
        assert level
        assert not set(level) & set("/+#\0")
        assert not level.startswith("$")
        level.encode()


def test_the_status_is_online_then_offline_and_the_broker_tells_it_of_the_dead(
    tmp_path: Path,
) -> None:
    with mosquitto(tmp_path / "mqtt") as broker:
        with destination(broker.port) as to, listening(broker.port, STATUS) as listener:
            to.send([message(event(1))])
            listener.wait_until_heard(STATUS, b"online")
            to.close()
            listener.wait_until_heard(STATUS, b"offline")
        with listening(broker.port, STATUS) as late:
            (retained,) = late.wait_for(1)
            assert (retained.payload, retained.retain) == (b"offline", True)
        with destination(broker.port) as to, listening(broker.port, STATUS) as listener:
            to.send([message(event(1))])
            listener.wait_until_heard(STATUS, b"online")
            connection = to._connection
            assert connection is not None
            connection._cut()  # as when a cable is pulled: nobody says good-bye
            listener.wait_until_heard(STATUS, b"offline")


def test_it_is_there_again_by_itself_while_there_is_nothing_to_send(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "mqtt") as broker, destination(broker.port) as to:
        to.send([message(event(1))])
        broker.stop("kill")
        broker.start()
        with listening(broker.port, STATUS) as listener:
            listener.wait_until_heard(STATUS, b"online")


def test_what_comes_late_hears_the_last_of_each_topic_where_it_is_retained(
    tmp_path: Path,
) -> None:
    with mosquitto(tmp_path / "mqtt") as broker:
        with destination(broker.port, retain=True) as to:
            to.send([message(event(n)) for n in (1, 2)])
        with listening(broker.port, "t/#") as late:
            late.wait_for(1)
            assert numbers(late, "t/entrance/line.in") == [2]


def test_a_broker_that_wants_few_at_a_time_gets_few(tmp_path: Path) -> None:
    config = PLAIN.replace("max_inflight_messages 0", "max_inflight_messages 3")
    with mosquitto(tmp_path / "mqtt", config) as broker, listening(broker.port, "t/#") as listener:
        with destination(broker.port) as to:
            to.send([message(event(number)) for number in range(50)])
            assert to._connection is not None
            assert to._connection._window == 2
        listener.wait_for(50)
        assert numbers(listener, "t/entrance/line.in") == list(range(50))


def test_what_was_taken_before_one_that_is_refused_is_told(tmp_path: Path) -> None:
    sizes = (1, 1, 20_000, 1)
    config = PLAIN + "max_packet_size 5000\n"
    with (
        mosquitto(tmp_path / "mqtt", config) as broker,
        listening(broker.port, "t/#") as listener,
        destination(broker.port) as to,
    ):
        with pytest.raises(DeliveryRefusedError, match="takes at most 5000") as told:
            to.send([message(event(n, data={"x": "x" * size})) for n, size in enumerate(sizes)])
        assert told.value.delivered == 2
        to.send([message(event(3))])
        listener.wait_for(3)
        assert numbers(listener, "t/entrance/line.in") == [0, 1, 3]


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_a_broker_restarted_in_the_middle_loses_nothing_and_keeps_the_order(
    tmp_path: Path, how: str
) -> None:
    """What it acknowledged stands in its log; what the listener's session kept is heard, too,
    where it could write that down before it ended."""
    with mosquitto(tmp_path / "mqtt") as broker, listening(broker.port, "t/#") as listener:
        sink = MqttSink(
            "127.0.0.1", port=broker.port, topic="t/{stream}/{key}", outbox=outbox(tmp_path)
        )
        for number in range(300):
            sink.write(seen(event(number, source=f"cam{number % 3}", key=str(number))))
            if number in (100, 200):
                broker.stop(how)
            if number in (130, 230):
                broker.start()
        until(lambda: sink.stats()["outbox"]["waiting"] == 0, 30)
        sink.close()
        if how == "terminate":
            until(lambda: len({m.topic for m in listener.heard}) == 300)
    taken = re.findall(r"Received PUBLISH from streamkit-\S+ .*'t/(cam\d)/(\d+)'",
                       broker.log.read_text())  # fmt: skip
    for source in range(3):
        order = [int(number) for stream, number in taken if stream == f"cam{source}"]
        firsts = list(dict.fromkeys(order))
        assert firsts == list(range(source, 300, 3))


PASSWORDS = """
listener {port} 127.0.0.1
allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/acl
max_packet_size 4000
"""


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_wrong_password_is_said_and_waited_out_and_never_shown(
    tmp_path: Path, version: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mqtt"
    folder.mkdir()
    needs_program("mosquitto")
    program = needs_program("mosquitto_passwd")
    subprocess.run([program, "-c", "-b", folder / "passwords", "me", "s3cret-word"], check=True)
    (folder / "passwords").chmod(0o644)
    (folder / "acl").write_text("user me\ntopic readwrite t/#\ntopic readwrite streamkit/#\n")
    login = {"username": "me", "version": version}
    with mosquitto(folder, PASSWORDS) as broker:
        with destination(broker.port, password="wrong-word", **login) as to:
            with pytest.raises(
                DeliveryFailedError, match=r"(?i)not authori[sz]ed|bad user"
            ) as told:
                to.send([message(event(1))])
            assert "wrong-word" not in repr(told.value)
        monkeypatch.setenv("MQTT_PASSWORD", "s3cret-word")
        with destination(broker.port, password="env:MQTT_PASSWORD", **login) as to:
            to.send([message(event(1))])
            assert "s3cret" not in repr(to._broker)
            if version == "5":
                with pytest.raises(DeliveryRefusedError, match=r"takes at most|too large"):
                    to.send([message(event(1, data={"long": "x" * 5000}))])
                to.send([message(event(2))])
        if version == "5":
            with (
                destination(broker.port, "secret/{kind}", password="s3cret-word", **login) as to,
                pytest.raises(DeliveryRefusedError, match="Not authorized"),
            ):
                to.send([message(event(1))])


def test_tls_is_verified(tmp_path: Path) -> None:
    folder, ours = tmp_path / "mqtt", self_signed(tmp_path / "ours")
    other = self_signed(tmp_path / "other")
    config = PLAIN + f"certfile {ours.file}\nkeyfile {ours.file}\n"
    with mosquitto(folder, config) as broker:
        with destination(broker.port, tls=tls_context(ours.authority, None, None)) as to:
            to.send([message(event(1))])
        for context in (tls_context(other.authority, None, None), tls_context(None, None, None)):
            with (
                destination(broker.port, tls=context) as to,
                pytest.raises(DeliveryFailedError, match=r"mqtts://.* certificate is not believed"),
            ):
                to.send([message(event(1))])
        with destination(broker.port) as to, pytest.raises(DeliveryFailedError, match="log-in"):
            to.send([message(event(1))])  # no TLS where TLS is spoken


def test_nobody_there_and_somebody_who_says_nothing_are_told_in_time() -> None:
    with (
        destination(free_port()) as to,
        pytest.raises(DeliveryFailedError, match="Connection refused"),
    ):
        to.send([message(event(1))])
    nowhere = Broker("no-such-host.invalid", 1883, "tester", STATUS)
    to = MqttDestination(nowhere, Publishing(Template("t", "topic")))
    with pytest.raises(DeliveryFailedError, match=r"mqtt://no-such-host.invalid:1883: "):
        to.send([message(event(1))])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with (
            destination(port, timeout=0.3) as to,
            pytest.raises(DeliveryFailedError, match="no answer to the log-in"),
        ):
            to.send([message(event(1))])


def test_closing_ends_a_log_in_that_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with destination(silent.getsockname()[1], timeout=60) as to:
            failed: list[Exception] = []
            thread = threading.Thread(target=lambda: failed.append(_failure(to)))
            thread.start()
            line = silent.accept()[0]
            line.recv(1)
            to.close()
            thread.join(5)
            line.close()
        assert "closed" in str(failed[0])


def test_closing_ends_a_send_that_waits(tmp_path: Path) -> None:
    """Nobody acknowledges: the broker is stopped in its tracks, and runs on when all is over."""
    with mosquitto(tmp_path / "mqtt") as broker, destination(broker.port, timeout=60) as to:
        to.send([message(event(1))])
        assert isinstance(to, Destination)
        process = broker._process
        assert process is not None
        process.send_signal(19)  # SIGSTOP
        failed: list[Exception] = []
        thread = threading.Thread(target=lambda: failed.append(_failure(to)))
        thread.start()
        until(lambda: to._connection is not None and bool(to._connection._client._out_messages))
        began = time.monotonic()
        to.close()
        thread.join(5)
        took = time.monotonic() - began
        process.send_signal(18)  # SIGCONT
        assert took < 3
        assert "closed" in str(failed[0])
        with pytest.raises(DeliveryFailedError, match="closed"):
            to.send([message(event(3))])


def _failure(to: MqttDestination) -> Exception:
    try:
        to.send([message(event(2))])
    except DeliveryFailedError as error:
        return error
    raise AssertionError("it was sent")


def test_two_of_one_name_do_not_push_each_other_out_for_ever(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path / "mqtt") as broker,
        destination(broker.port) as one,
        destination(broker.port) as two,
    ):
        one.send([message(event(1))])
        two.send([message(event(2))])
        until(lambda: one._connection is not None and not one._connection.connected)
        assert two._connection is not None
        assert two._connection.connected
        two.close()
        one.send([message(event(3))])
        one.close()


def test_home_assistant_is_told_of_each_topic_once_and_understands_its_events(
    tmp_path: Path,
) -> None:
    happened = event(1, source="yard", phase="start")
    with mosquitto(tmp_path / "mqtt") as broker, listening(broker.port, "ha/#") as listener:
        with destination(broker.port, "t/{stream}/{kind}", discovery="ha") as to:
            to.send([message(happened), message(event(2)), message(event(3))])
            to.send([message(event(4))])
        first, second = listener.wait_for(2)
    assert first.topic.startswith("ha/event/")
    assert first.topic.endswith("/config")
    assert first.topic != second.topic
    assert not re.search(r"[^A-Za-z0-9_/-]", first.topic)
    told = json.loads(first.payload)
    assert told["state_topic"] == "t/yard/line.in"
    assert told["availability_topic"] == STATUS
    assert told["device"]["name"] == "yard"
    state = jinja2.Environment().from_string(told["value_template"])
    seen_there = json.loads(state.render(value_json=happened.dict()))
    assert seen_there["event_type"] in told["event_types"]
    assert seen_there["kind"] == "line.in"


def test_an_announcement_that_is_refused_costs_no_event(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "mqtt"
    folder.mkdir()
    (folder / "acl").write_text("topic readwrite t/#\ntopic readwrite streamkit/#\n")
    config = PLAIN + "acl_file {folder}/acl\n"
    with mosquitto(folder, config) as broker, listening(broker.port, "t/#") as listener:
        with destination(broker.port, discovery="ha") as to, caplog.at_level(logging.WARNING):
            to.send([message(event(1)), message(event(2))])
        listener.wait_for(2)
        assert numbers(listener, "t/entrance/line.in") == [1, 2]
    assert "1 topics are not announced, last t/entrance/line.in" in caplog.text


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"topic": "t/#"}, "without"),
        ({"topic": ""}, "give a topic"),
        ({"topic": "$SYS/{kind}"}, "give a topic"),
        ({"topic": "t/{steam}"}, r"\{steam\} is no field; known: stream"),
        ({"topic": "t/{stream.__class__}"}, "is no field"),
        ({"topic": "t/{stream"}, "topic="),
        ({"topic": "t/{id}", "discovery": True}, "not with id"),
        ({"password": "x"}, "username"),
        ({"username": "me", "password": "env:NOT_SET_AT_ALL"}, "NOT_SET_AT_ALL is not set"),
        ({"timeout": 0}, "timeout=0"),
        ({"version": "4"}, "version"),
        ({"ca_file": "/nowhere.pem"}, "No such file"),
        ({"key_file": "/nowhere.pem", "tls": True}, "cert_file"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, Any], match: str) -> None:
    from streamkit.sinks import open_sink

    with pytest.raises(ConfigError, match=match):
        open_sink("mqtt", {"host": "127.0.0.1", "outbox": outbox(tmp_path), **options})
