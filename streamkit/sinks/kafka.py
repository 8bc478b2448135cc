"""Produces events to Kafka: one partition per stream, idempotent, acknowledged by all replicas."""

from __future__ import annotations

import functools
import logging
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from streamkit.credentials import redacted, resolved
from streamkit.errors import ConfigError, DeliveryFailedError, DeliveryRefusedError, SinkError
from streamkit.outbox.base import Message
from streamkit.outbox.options import OutboxGiven
from streamkit.sinks.networked import Networked
from streamkit.sinks.template import Template

try:
    from confluent_kafka import KafkaError, KafkaException, Producer
except ImportError:
    raise ImportError("it needs a package: pip install 'streamkit[kafka]'") from None

log = logging.getLogger(__name__)

Mechanism: TypeAlias = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

_NO_TOPIC: Final = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_TOPIC: Final = 249
_FOREVER: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_RECORD,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError._INVALID_ARG,
    }
)
"""Errors after which no attempt will do better."""
_SLICE: Final = 0.05
"""Seconds after which a waiting ``send`` looks whether it was closed."""


class KafkaDestination:
    """One cluster. The library's threads talk to it; after a failure a new producer is made, so
    that nothing that was given up is sent late."""

    batch = 500

    def __init__(self, brokers: str, topic: Template, login: Login, timeout: float) -> None:
        self._brokers, self._topic, self._login, self._timeout = brokers, topic, login, timeout
        self._producer: Producer | None = None
        self._closed = threading.Event()
        self._sending = threading.Lock()
        self._trouble = ""
        """What the library told last of its connections."""

    def send(self, messages: Sequence[Message]) -> None:
        """Produce them; returns when all in-sync replicas have all of them."""
        said: list[KafkaError | bool | None] = [None] * len(messages)
        with self._sending:
            try:
                self._exchange(messages, said)
                self._judge(said)
            except SinkError:  # one message too long can be the end of a producer, too
                self._drop()
                raise

    def close(self) -> None:
        """A ``send`` under way ends within moments, and lets go of the producer itself."""
        self._closed.set()
        if self._sending.acquire(timeout=4 * _SLICE):
            self._drop()
            self._sending.release()

    def _exchange(self, messages: Sequence[Message], said: list[KafkaError | bool | None]) -> None:
        """``said`` of each: ``True`` if it was taken, else the error, or nothing."""
        producer = self._ready()
        for number, message in enumerate(messages):
            try:
                self._produce(producer, message, functools.partial(_note, said, number))
            except KafkaException as error:
                said[number] = error.args[0]
                break
        until = time.monotonic() + self._timeout + 1.0  # the library gives up before
        while len(producer) and time.monotonic() < until and not self._closed.is_set():
            producer.poll(_SLICE)

    def _produce(self, producer: Producer, message: Message, report: Any) -> None:
        headers: list[tuple[str, str | bytes | None]] = [
            ("idempotency-key", message.id.encode()),
            ("kind", message.kind.encode(errors="replace")),
            ("at", message.at.isoformat().encode()),
            ("content-type", b"application/json"),
        ]
        topic = self._topic.fill(message, _legal)[:_LONGEST_TOPIC]
        key = message.stream.encode(errors="replace")
        producer.produce(topic, message.body, key, on_delivery=report, headers=headers)

    def _judge(self, said: Sequence[KafkaError | bool | None]) -> None:
        """Nothing where all were taken."""
        for number, one in enumerate(said):
            if one is True:
                continue
            if isinstance(one, KafkaError) and one.code() in _FOREVER:
                text = f"kafka {self._brokers}: {self._clean(one.str())}"
                raise DeliveryRefusedError(text, delivered=number)
            raise DeliveryFailedError(f"kafka {self._brokers}: {self._why(one)}", delivered=number)

    def _why(self, said: KafkaError | bool | None) -> str:
        if self._closed.is_set():
            return "closed"
        own = said.str() if isinstance(said, KafkaError) else "no acknowledgement in time"
        return self._clean(": ".join(filter(None, (own, self._trouble))))

    def _clean(self, text: str) -> str:
        return redacted(text, self._login.secrets)

    def _ready(self) -> Producer:
        if self._closed.is_set():
            raise DeliveryFailedError(f"kafka {self._brokers}: closed")
        if self._producer is None:
            self._trouble = ""
            options = {
                "bootstrap.servers": self._brokers,
                "enable.idempotence": True,
                # What fails is not overtaken by what comes behind it.
                "enable.gapless.guarantee": True,
                "message.timeout.ms": round(self._timeout * 1000),
                "partitioner": "murmur2_random",  # as Java clients place keys
                "client.id": "streamkit",
                "error_cb": self._told,
                **self._login.options(),
            }
            try:
                self._producer = Producer(options, logger=_quiet())
            except KafkaException as error:
                text = self._clean(error.args[0].str())
                raise DeliveryFailedError(f"kafka {self._brokers}: {text}") from None
        return self._producer

    def _told(self, error: KafkaError) -> None:
        self._trouble = error.str()

    def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(0)


class Login:
    """How to come in: TLS, a name and a password, or neither."""

    def __init__(
        self,
        username: str | None,
        password: str | None,
        mechanism: Mechanism,
        *,
        tls: bool,
        ca_file: str | Path | None,
    ) -> None:
        if (username is None) != (password is None):
            raise ConfigError("username and password belong together: give both")
        if password is not None:
            resolved(password)  # what is not there is told now
        self._username, self._password, self._mechanism = username, password, mechanism
        self._tls, self._ca_file = tls or ca_file is not None, ca_file
        self.secrets: tuple[str, ...] = ()
        """What no text may show, once it was looked up."""

    def options(self) -> dict[str, Any]:
        """In the library's terms; the password is looked up now."""
        kind = "ssl" if self._tls else "plaintext"
        options: dict[str, Any] = {"security.protocol": kind}
        if self._ca_file is not None:
            options["ssl.ca.location"] = str(self._ca_file)
        if self._username is None or self._password is None:
            return options
        password = resolved(self._password)
        self.secrets = (password,)
        return options | {
            "security.protocol": f"sasl_{kind}",
            "sasl.mechanism": self._mechanism,
            "sasl.username": self._username,
            "sasl.password": password,
        }


class KafkaSink(Networked):
    """One record per event, in the wire form of all sinks, through the outbox.

    The key is the name of the stream, so that one partition keeps its order. Headers:
    ``idempotency-key``, ``kind``, ``at``, ``content-type``.
    """

    def __init__(  # noqa: PLR0913 - the options
        self,
        brokers: str | Sequence[str],
        *,
        topic: str = "streamkit.events",
        username: str | None = None,
        password: str | None = None,
        mechanism: Mechanism = "SCRAM-SHA-512",
        tls: bool = False,
        ca_file: str | Path | None = None,
        timeout: float = 10.0,
        name: str | None = None,
        kinds: Sequence[str] = (),
        outbox: OutboxGiven = None,
    ) -> None:
        """``brokers``: ``host:port``, some to begin with. ``topic`` takes ``{stream}`` and
        ``{kind}``. ``password`` or where it is kept (``env:NAME``). ``timeout``: seconds for all
        acknowledgements of an attempt.

        Raises ``ConfigError``; ``OutboxError`` where there is no outbox to be had.
        """
        listed = brokers if isinstance(brokers, str) else ",".join(brokers)
        if not listed or not timeout > 0:
            raise ConfigError("brokers: give at least one host:port, and a timeout above 0")
        template = Template(topic, "topic")
        if not topic or len(topic) > _LONGEST_TOPIC or _NO_TOPIC.search(re.sub(r"[{}]", "", topic)):
            raise ConfigError(f"topic={topic!r}: letters, digits, '.', '_', '-', 249 at most")
        login = Login(username, password, mechanism, tls=tls, ca_file=ca_file)
        destination = KafkaDestination(listed, template, login, timeout)
        same = (listed, topic, username, password, mechanism, tls, str(ca_file))
        super().__init__(
            destination,
            name=name or f"kafka {listed} {topic}",
            same=same,
            kinds=kinds,
            outbox=outbox,
        )


def _note(
    said: list[KafkaError | bool | None], number: int, error: KafkaError | None, _message: object
) -> None:
    said[number] = True if error is None else error


def _legal(value: str) -> str:
    return _NO_TOPIC.sub("_", value)


def _quiet() -> logging.Logger:
    """The library's own words, below the level that people see: errors say what matters."""
    quiet = log.getChild("librdkafka")
    quiet.setLevel(logging.CRITICAL)
    return quiet
