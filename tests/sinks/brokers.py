"""A real Mosquitto on loopback, that can be killed and started again, and somebody who listens."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.fakes import until
from tests.needs import needs_program

PLAIN = """
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
max_inflight_messages 0
log_type all
"""


class Mosquitto:
    """One broker with a port of its own, started and stopped at will."""

    def __init__(self, folder: Path, config: str = PLAIN) -> None:
        program = needs_program("mosquitto")
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.log = folder / "log"
        # Started by root it becomes a user who may not see the folders of tests.
        config = "user root\n" + config.format(port=self.port, folder=folder)
        (folder / "conf").write_text(config)
        self._command = [program, "-c", str(folder / "conf")]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it takes connections."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        until(self._listens)

    def stop(self, how: str = "terminate") -> None:
        """``kill``: as when the power goes."""
        process, self._process = self._process, None
        if process is not None:
            getattr(process, how)()
            process.wait()

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def mosquitto(folder: Path, config: str = PLAIN) -> Iterator[Mosquitto]:
    """One that runs."""
    broker = Mosquitto(folder, config)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


class Listener:
    """Subscribes at QoS 1, in a session that the broker keeps while either side is away."""

    def __init__(self, port: int, topic: str = "#") -> None:
        self.heard: list[MQTTMessage] = []
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._topic = topic
        self._client = Client(CallbackAPIVersion.VERSION2, "listener", protocol=MQTTv5)
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._hear
        self._client.reconnect_delay_set(1, 1)
        kept = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        kept.SessionExpiryInterval = 600
        self._client.connect("127.0.0.1", port, clean_start=False, properties=kept)
        self._client.loop_start()
        assert self._ready.wait(10)

    def _subscribe(self, client: Client, *_: Any) -> None:
        client.subscribe(self._topic, qos=1)

    def _hear(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        with self._changed:
            self.heard.append(message)
            self._changed.notify_all()

    def wait_for(self, count: int, timeout: float = 20.0) -> list[MQTTMessage]:
        """Until so many have come."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.heard) >= count, timeout), (
                f"{len(self.heard)} of {count} came"
            )
            return list(self.heard)

    def wait_until_heard(self, topic: str, payload: bytes) -> None:
        """Until this has come."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: any((m.topic, m.payload) == (topic, payload) for m in self.heard), 20
            ), [(m.topic, m.payload) for m in self.heard]

    def close(self) -> None:
        """Hear no more."""
        self._client.loop_stop()
        self._client.disconnect()


@contextmanager
def listening(port: int, topic: str = "#") -> Iterator[Listener]:
    """Somebody who hears everything, or one topic."""
    listener = Listener(port, topic)
    try:
        yield listener
    finally:
        listener.close()


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
