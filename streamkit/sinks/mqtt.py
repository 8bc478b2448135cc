"""Publishes events to an MQTT broker, at QoS 1: what the broker acknowledged counts as sent."""

from __future__ import annotations

import logging
import platform
import re
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamkit.credentials import resolved
from streamkit.errors import ConfigError, DeliveryFailedError, DeliveryRefusedError
from streamkit.events import Throttle
from streamkit.outbox.base import Message
from streamkit.outbox.options import OutboxGiven, OutboxOptions
from streamkit.sinks.home_assistant import Entity, announcement
from streamkit.sinks.mqtt_connection import Broker, Connection, Publication, Version
from streamkit.sinks.networked import Networked
from streamkit.sinks.secure import tls_context
from streamkit.sinks.template import Template, values_of

log = logging.getLogger(__name__)

_TELL: Final = 30.0
"""Seconds between two log lines about announcements that are refused."""
_UNSAFE: Final = re.compile(r"[%/+#\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]|^\$")
"""What would split a topic, match others, or is not allowed in one (MQTT 5.0, 1.5.4 and 4.7)."""


@dataclass(frozen=True, slots=True)
class Publishing:
    """What is published, and where."""

    topic: Template
    retain: bool = False
    discovery_prefix: str | None = None
    """Where Home Assistant looks for devices; ``None``: nothing is announced."""


class MqttDestination:
    """One broker, over one connection that is kept while there is nothing to send."""

    batch = 100

    def __init__(self, broker: Broker, publishing: Publishing) -> None:
        self._broker, self._publishing = broker, publishing
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._closed = False
        self._announced: set[str] = set()
        self._throttle = Throttle(_TELL)

    def send(self, messages: Sequence[Message]) -> None:
        """Publish them in order; returns when the broker has acknowledged all of them."""
        try:
            connection = self._connected()
            if self._publishing.discovery_prefix is not None:
                self._announce(connection, messages)
            connection.publish([self._publication(message) for message in messages])
        except DeliveryFailedError:
            self._drop()  # with what the library has not got rid of, and would send late
            raise

    def close(self) -> None:
        """Say good-bye; a ``send`` under way ends with an error."""
        with self._lock:
            self._closed = True
        self._drop()

    def _connected(self) -> Connection:
        if self._connection is not None and self._connection.connected:
            return self._connection
        self._drop()
        connection = Connection(self._broker)
        with self._lock:
            if self._closed:
                raise DeliveryFailedError(f"{self._broker}: closed")
            self._connection, self._announced = connection, set()
        connection.open()
        return connection

    def _drop(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _publication(self, message: Message) -> Publication:
        user = (("idempotency-key", message.id), ("attempt", str(message.attempt)))
        return Publication(self._topic(message), message.body, self._publishing.retain, user)

    def _topic(self, message: Message) -> str:
        return self._publishing.topic.fill(message, _level)

    def _announce(self, connection: Connection, messages: Sequence[Message]) -> None:
        """Tell Home Assistant of topics that it has not heard of through this connection."""
        new = {self._topic(message): message for message in messages}
        new = {topic: message for topic, message in new.items() if topic not in self._announced}
        for topic, message in new.items():  # one by one: none of them counts as a message
            try:
                connection.publish([self._announcement(topic, message)])
            except DeliveryRefusedError as error:
                if count := self._throttle.tick():
                    log.warning("%d topics are not announced, last %s: %s", count, topic, error)
            self._announced.add(topic)

    def _announcement(self, topic: str, message: Message) -> Publication:
        name = message.kind
        if "key" in self._publishing.topic.fields:
            name = f"{name} {values_of(message)['key']}"
        entity = Entity(name, topic, message.stream)
        prefix, broker = self._publishing.discovery_prefix or "", self._broker
        place, payload = announcement(prefix, broker.client_id, broker.status_topic, entity)
        return Publication(place, payload, retain=True)


class MqttSink(Networked):
    """One message per event, in the wire form of all sinks, through the outbox.

    The session is kept by the broker; ``streamkit/{client}/status`` is ``online`` or ``offline``,
    retained, and the last will.
    """

    def __init__(  # noqa: PLR0913 - the options
        self,
        host: str,
        *,
        port: int | None = None,
        topic: str = "streamkit/{stream}/{kind}",
        retain: bool = False,
        version: Version = "5",
        username: str | None = None,
        password: str | None = None,
        tls: bool = False,
        ca_file: str | Path | None = None,
        cert_file: str | Path | None = None,
        key_file: str | Path | None = None,
        client: str | None = None,
        discovery: bool = False,
        discovery_prefix: str = "homeassistant",
        timeout: float = 10.0,
        name: str | None = None,
        kinds: Sequence[str] = (),
        outbox: OutboxGiven = None,
    ) -> None:
        """``port``: 1883, with ``tls`` 8883. ``topic`` takes ``{stream}``, ``{kind}``, ``{key}``,
        ``{phase}`` and ``{client}``; what would split it is percent-encoded. ``password`` or where
        it is kept (``env:NAME``). ``client`` is this side's name at the broker, of nobody else's;
        made of the machine's and the sink's name unless given. ``discovery`` announces an event
        entity per topic to Home Assistant. ``timeout``: seconds for a connection, and for an
        acknowledgement.

        Raises ``ConfigError``; ``OutboxError`` where there is no outbox to be had.
        """
        _check(username, password, timeout)
        tls = tls or ca_file is not None or cert_file is not None
        number = port or (8883 if tls else 1883)
        name = name or f"mqtt {host}:{number} {topic}"
        client = client or _client(name, outbox)
        template = _topic_template(topic, client, discovery=discovery)
        context = tls_context(ca_file, cert_file, key_file) if tls else None
        status = f"streamkit/{_level(client)}/status"
        broker = Broker(host, number, client, status, version, username, password, context, timeout)
        publishing = Publishing(template, retain, discovery_prefix if discovery else None)
        same = (host, number, topic, retain, version, username, password, client, discovery)
        destination = MqttDestination(broker, publishing)
        super().__init__(destination, name=name, same=same, kinds=kinds, outbox=outbox)


def _client(name: str, outbox: OutboxGiven) -> str:
    """Of this sink at every start, and of no other: whose queue it is, only one process sends."""
    queue = f"{OutboxOptions.of(outbox).file} {name}"
    return f"streamkit-{platform.node()}-{zlib.crc32(queue.encode()):08x}"


def _check(username: str | None, password: str | None, timeout: float) -> None:
    if password is not None and username is None:
        raise ConfigError("password belongs to a username: give both")
    if password is not None:
        resolved(password)  # what is not there is told now
    if not timeout > 0:
        raise ConfigError(f"timeout={timeout}: give seconds above 0")


def _level(value: str) -> str:
    """A value as one level of a topic, different for different values."""
    text = _UNSAFE.sub(
        lambda found: "".join(f"%{b:02X}" for b in found[0].encode("utf-8", "surrogatepass")), value
    )
    return text or "_"


def _topic_template(topic: str, client: str, *, discovery: bool) -> Template:
    template = Template(topic, "topic", {"client": client})
    if not topic or topic.startswith(("/", "$")) or set(topic) & {"+", "#", "\0"}:
        raise ConfigError(f"topic={topic!r}: give a topic to publish to: without + and #, no $, /")
    if discovery and "id" in template.fields:
        raise ConfigError(f"topic={topic!r}: discovery makes an entity per topic: not with id")
    return template
