"""One connection to an MQTT broker: made, kept alive, told of, and ended without waiting long."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from streamkit.credentials import resolved
from streamkit.errors import DeliveryFailedError, DeliveryRefusedError
from streamkit.sinks.secure import unreachable

try:
    from paho.mqtt.client import Client, DisconnectFlags, MQTTv5, MQTTv311
    from paho.mqtt.enums import CallbackAPIVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode
except ImportError:
    raise ImportError("it needs a package: pip install 'streamkit[mqtt]'") from None

Version: TypeAlias = Literal["5", "3.1.1"]

_KEEP_ALIVE: Final = 20
"""Seconds. After 1.5 times that a broker takes a client for gone, and tells its last will."""
_SESSION: Final = 3600
"""Seconds for which the broker keeps what it knows of a client that is away."""
_WINDOW: Final = 20
"""The most messages that the library has waiting for their acknowledgement. It does not ask whether
the broker wants fewer, and one that gets more hangs up."""
_FAREWELL: Final = 0.3
"""Seconds for each step of saying good-bye."""
_RETRIES: Final = (1, 30)
"""Seconds between attempts to be there again while there is nothing to send: least, most."""
_FOREVER: Final = {
    0x90,  # topic name invalid
    0x95,  # packet too large
    0x99,  # payload format invalid
    0x9A,  # retain not supported
    0x87,  # not authorized, for this topic
}
"""Reasons for which a broker will never take this message (MQTT 5.0, 2.4)."""
_TAKEN_OVER: Final = 0x8E
"""Another client has come with the same id."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Whom to connect to, and as whom."""

    host: str
    port: int
    client_id: str
    status_topic: str
    version: Version = "5"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    """Or where it is kept: ``env:NAME``; looked up at each connection."""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    timeout: float = 10.0

    def __str__(self) -> str:
        return f"mqtt{'s' if self.tls else ''}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Publication:
    """What is published at QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False
    user: tuple[tuple[str, str], ...] = ()
    """User properties, where the protocol has them."""


class _TidySocket(ssl.SSLSocket):
    """The library forgets about a socket whose handshake fails."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _at_once(_client: Client, _data: Any, connection: Any) -> None:
    """Small packets do not wait for each other."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Connection:
    """Connected, or on its way to be so again by itself; of one use.

    While there is nothing to send it is kept alive by the library's loop, on a thread, so that the
    status at the broker is true. The first connection is made by who calls ``open``.
    """

    def __init__(self, broker: Broker) -> None:
        """Nothing is connected yet. Raises ``ConfigError`` where there is no such secret."""
        self._broker = broker
        self._changed = threading.Condition()
        self._acknowledged: dict[int, ReasonCode] = {}
        self._connected = self._closed = False
        self._losses = 0
        self._reason: ReasonCode | None = None
        """Why the broker let go, or did not let in."""
        self._largest: int | None = None
        self._window = 0
        """The most to wait for at a time; 0: the library sees to it."""
        self._client = self._made(broker)
        self._loop: threading.Thread | None = None

    def open(self) -> None:
        """Connect. Raises ``DeliveryFailedError`` where that cannot be, and says why."""
        broker = self._broker
        try:
            self._client.connect(
                broker.host, broker.port, _KEEP_ALIVE, **self._session(broker.version)
            )
        except (OSError, ValueError) as error:  # ValueError: no proper name of a host
            raise DeliveryFailedError(f"{broker}: {unreachable(error)}") from error
        self._client.loop_start()
        # Its own loop_stop() waits without limit, and trips over a loop that has just ended.
        self._loop = self._client._thread
        self._await_welcome()

    @property
    def connected(self) -> bool:
        """Whether the broker has it now."""
        return self._connected and self._loop is not None and self._loop.is_alive()

    def publish(self, publications: Sequence[Publication]) -> None:
        """Return once the broker has acknowledged all of them.

        Raises ``DeliveryFailedError``, after which the connection is of no more use, and
        ``DeliveryRefusedError``, each with the number acknowledged from the first on.
        """
        done = 0
        while done < len(publications):
            window = publications[done : done + (self._window or len(publications))]
            codes, refusal = self._exchange(window)
            self._judge(codes, done)
            done += len(codes)
            if refusal is not None:
                raise DeliveryRefusedError(str(refusal), delivered=done) from refusal

    def close(self) -> None:
        """Say good-bye where somebody listens, and end; does not wait for a network that hangs."""
        with self._changed:
            already, self._closed = self._closed, True
            self._changed.notify_all()
        if not already:
            self._end()

    def _end(self) -> None:
        self._closed = True
        self._client.drop_out_messages()
        if self._connected:
            self._client.publish(self._broker.status_topic, b"offline", qos=0, retain=True)
        self._client.disconnect()
        if not self._ended(_FAREWELL):
            self._cut()
            self._ended(_FAREWELL)

    # -- what it is made of ------------------------------------------------------------------

    def _made(self, broker: Broker) -> Client:
        five = broker.version == "5"
        client = Client(
            CallbackAPIVersion.VERSION2,
            broker.client_id,
            protocol=MQTTv5 if five else MQTTv311,
            clean_session=None if five else False,
        )
        client.connect_timeout = min(broker.timeout, 5.0)
        client.reconnect_delay_set(*_RETRIES)
        client.will_set(broker.status_topic, b"offline", qos=1, retain=True)
        if broker.username is not None:
            password = None if broker.password is None else resolved(broker.password)
            client.username_pw_set(broker.username, password)
        if broker.tls is not None:
            broker.tls.sslsocket_class = _TidySocket
            client.tls_set_context(broker.tls)
        client.on_socket_open = _at_once
        client.on_connect = self._welcomed
        client.on_disconnect = self._lost
        client.on_publish = self._acknowledge
        return client

    def _session(self, version: Version) -> dict[str, Any]:
        if version != "5":
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION
        return {"clean_start": False, "properties": properties}

    def _await_welcome(self) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._connected or self._losses or self._closed or self._reason is not None,
                self._broker.timeout,
            )
            if self._connected and not self._closed:
                return
            why = self._unwelcome()
        self._end()
        raise DeliveryFailedError(f"{self._broker}: {why}")

    def _unwelcome(self) -> str:
        if self._reason is not None:
            return str(self._reason)
        if self._closed:
            return "closed"
        return "connection closed at the log-in" if self._losses else "no answer to the log-in"

    def _ended(self, seconds: float) -> bool:
        if self._loop is not None:
            self._loop.join(seconds)
        return self._loop is None or not self._loop.is_alive()

    def _cut(self) -> None:
        """End a connection whose other side hangs."""
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # below TLS

    # -- on the loop's thread ----------------------------------------------------------------

    def _welcomed(
        self, client: Client, _data: Any, _flags: Any, reason: ReasonCode, given: Properties | None
    ) -> None:
        with self._changed:
            self._reason = reason if reason.is_failure else None
            self._largest = getattr(given, "MaximumPacketSize", None)
            least = getattr(given, "ReceiveMaximum", _WINDOW)
            # One less: the status may be on its way.
            self._window = 0 if least >= _WINDOW else max(1, least - 1)
            self._connected = not reason.is_failure and not self._closed
            self._changed.notify_all()
        if self._connected:
            client.publish(self._broker.status_topic, b"online", qos=1, retain=True)
        elif self._closed:
            client.disconnect()

    def _lost(
        self, client: Client, _data: Any, flags: DisconnectFlags, reason: ReasonCode, _given: Any
    ) -> None:
        with self._changed:
            self._connected = False
            self._losses += 1
            if flags.is_disconnect_packet_from_server:
                self._reason = reason
            self._changed.notify_all()
        if flags.is_disconnect_packet_from_server and reason.value == _TAKEN_OVER:
            client.disconnect()  # two of one name would push each other out for ever

    def _acknowledge(
        self, _client: Client, _data: Any, number: int, reason: ReasonCode, _given: Any
    ) -> None:
        with self._changed:
            self._acknowledged[number] = reason
            self._changed.notify_all()

    # -- publishing --------------------------------------------------------------------------

    def _offer(self, publication: Publication) -> int:
        """Hand it to the library; the number of its acknowledgement."""
        size = len(publication.payload) + len(publication.topic.encode()) + 256
        if self._largest is not None and size > self._largest:
            text = f"{self._broker} takes at most {self._largest} bytes, this has {size}"
            raise DeliveryRefusedError(text)
        try:
            return self._client.publish(
                publication.topic,
                publication.payload,
                qos=1,
                retain=publication.retain,
                properties=self._properties(publication),
            ).mid
        except ValueError as error:  # a topic that is none, or a payload that is too long
            raise DeliveryRefusedError(f"{self._broker}: {error}") from error

    def _properties(self, publication: Publication) -> Properties | None:
        if self._broker.version != "5":
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.PayloadFormatIndicator = 1
        properties.ContentType = "application/json"
        for pair in publication.user:
            properties.UserProperty = pair
        return properties

    def _offered(
        self, window: Sequence[Publication]
    ) -> tuple[list[int], DeliveryRefusedError | None]:
        """Their numbers, up to one that can never be taken, and why that cannot."""
        ids: list[int] = []
        try:
            for publication in window:
                ids.append(self._offer(publication))
        except DeliveryRefusedError as error:
            return ids, error
        return ids, None

    def _exchange(
        self, window: Sequence[Publication]
    ) -> tuple[list[ReasonCode | None], DeliveryRefusedError | None]:
        """What the broker says to each, ``None`` being nothing; as for ``_offered``."""
        with self._changed:
            self._acknowledged.clear()
            losses = self._losses
        ids, refusal = self._offered(window)
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or self._losses != losses or self._all(ids),
                self._broker.timeout,
            )
            return [self._acknowledged.get(number) for number in ids], refusal

    def _all(self, ids: Sequence[int]) -> bool:
        return all(number in self._acknowledged for number in ids)

    def _judge(self, codes: Sequence[ReasonCode | None], first: int) -> None:
        """Nothing where all were taken; ``first`` is the number of the first."""
        for number, code in enumerate(codes, first):
            if code is None:
                raise DeliveryFailedError(self._missing(), delivered=number)
            if code.is_failure and code.value in _FOREVER:
                raise DeliveryRefusedError(f"{self._broker}: refused: {code}", delivered=number)
            if code.is_failure:
                raise DeliveryFailedError(f"{self._broker}: {code}", delivered=number)

    def _missing(self) -> str:
        if self._closed:
            return f"{self._broker}: closed"
        if self._connected:
            return f"{self._broker}: no acknowledgement within {self._broker.timeout:g} s"
        return f"{self._broker}: connection lost" + (f": {self._reason}" if self._reason else "")
