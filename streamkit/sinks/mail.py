"""Sends events as e-mail, with the pictures that show them; several that wait in one letter."""

from __future__ import annotations

import base64
import hashlib
import logging
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from itertools import chain, groupby, takewhile
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from streamkit.credentials import redacted, resolved
from streamkit.errors import ConfigError, DeliveryFailedError, DeliveryRefusedError
from streamkit.events import Event
from streamkit.outbox.base import Message
from streamkit.outbox.options import OutboxGiven
from streamkit.predictions import Result
from streamkit.sinks.embedding import embedded
from streamkit.sinks.networked import Networked, encoded, message_of
from streamkit.sinks.placeholders import Placeholders
from streamkit.sinks.secure import tls_context, unreachable
from streamkit.sinks.template import event_of

log = logging.getLogger(__name__)

Security: TypeAlias = Literal["starttls", "tls", "none"]
_Refused: TypeAlias = dict[str, tuple[int, bytes]]
_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
_IMAGES: Final = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp"}
_SUBJECT: Final = "${event.source}: ${event.kind} ${event.key}"
_FOREVER: Final = 500
"""Codes from here on are (RFC 5321, 4.2.1)."""
_ATTEMPTS: Final = 30
"""How often a recipient is tried who is refused for now, while others have their letter: about a
quarter of an hour with the outbox's usual waits."""
_REMEMBERED: Final = 10_000
_BODY: Final = "${event.at}  ${event.source}: ${event.kind} ${event.key}\n${event.data}"


@dataclass(frozen=True, slots=True)
class Server:
    """Who takes letters, and as whom they are handed in."""

    host: str
    port: int
    security: Security = "starttls"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    """Or where it is kept: ``env:NAME``; looked up at each connection."""
    ca_file: str | Path | None = None
    timeout: float = 20.0

    def __str__(self) -> str:
        return f"smtp {self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Letters:
    """What letters look like."""

    sender: str
    recipients: tuple[str, ...]
    subject: Placeholders
    body: Placeholders
    attach_bytes: int = 8 << 20

    def letter(self, messages: Sequence[Message]) -> EmailMessage:
        """One about all of ``messages``, the same for the same ones."""
        letter = EmailMessage()
        events = [event_of(message) for message in messages]
        more = f" (+{len(messages) - 1})" if len(messages) > 1 else ""
        subject = _sayable(self.subject.text(events[0]))
        letter["Subject"] = " ".join(subject.split()) + more
        letter["From"], letter["To"] = self.sender, ", ".join(self.recipients)
        letter["Date"] = format_datetime(datetime.now(UTC))
        letter["Message-ID"] = _identity(messages, self.sender)
        letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday is told to us
        text = "\n\n".join(self.body.text(event) for event in events)
        letter.set_content(_sayable(text) + "\n")
        room = self.attach_bytes
        for picture in chain.from_iterable(map(_pictures, events)):
            if 0 < len(picture.data) <= room:
                room -= len(picture.data)
                _attach(letter, picture)
        return letter


class _Line(smtplib.SMTP):
    """Makes itself known before it connects, so that somebody else can hang up."""

    def __init__(self, known: Callable[[smtplib.SMTP], None], *args: Any, **options: Any) -> None:
        self._known = known
        super().__init__(*args, **options)

    def connect(self, *args: Any, **options: Any) -> tuple[int, bytes]:
        """As the library does it."""
        self._known(self)
        return super().connect(*args, **options)


class _TlsLine(_Line, smtplib.SMTP_SSL):
    """The same over TLS from the start."""


@dataclass(frozen=True, slots=True)
class _Left:
    """Who has not got a message yet, where others have, and since which attempt."""

    to: tuple[str, ...]
    since: int


class MailDestination:
    """One server; a connection for each letter."""

    def __init__(self, server: Server, letters: Letters, batch: int, linger: float) -> None:
        """``linger``: seconds for which a letter may wait for more, up to ``batch`` events."""
        self.batch, self.linger = batch, linger
        self._server, self._letters = server, letters
        self._lock = threading.Lock()
        self._connection: smtplib.SMTP | None = None
        self._line: socket.socket | None = None
        """What TLS is spoken over, or is going to be."""
        self._left: dict[str, _Left] = {}
        """By message."""
        self._closed = False
        self._secrets: tuple[str, ...] = ()

    def send(self, messages: Sequence[Message]) -> None:
        """Hand in one letter; returns when the server has accepted it.

        Who is refused for now gets it later, and alone; what the others have not got by then is a
        letter of its own.
        """
        for to, together in groupby(messages, self._missing):
            if to:
                self._hand_in(list(together), to)
        done = list(takewhile(lambda message: not self._missing(message), messages))
        for message in done:
            self._left.pop(message.id, None)
        if len(done) < len(messages):
            who = ", ".join(self._missing(messages[len(done)]))
            text = f"{self._server}: not for all: refused for now for {who}"
            raise DeliveryFailedError(text, delivered=len(done))

    def _missing(self, message: Message) -> tuple[str, ...]:
        """Who is to get it, and has not."""
        left = self._left.get(message.id)
        return self._letters.recipients if left is None else left.to

    def _hand_in(self, messages: Sequence[Message], to: tuple[str, ...]) -> None:
        refused = self._sent(self._letters.letter(messages), to)
        again = tuple(each for each, (code, _) in refused.items() if code < _FOREVER)
        never = refused.keys() - set(again)
        for message in messages:
            left = self._left.get(message.id, _Left(again, message.attempt))
            if message.attempt - left.since < _ATTEMPTS:
                self._left[message.id] = _Left(again, left.since)
            else:
                self._left[message.id] = _Left((), left.since)
                never |= set(again)
        if never:
            log.warning("%s: not for all: refused for %s", self._server, ", ".join(sorted(never)))
        while len(self._left) > _REMEMBERED:  # of messages that were given up meanwhile
            del self._left[next(iter(self._left))]

    def _sent(self, letter: EmailMessage, to: tuple[str, ...]) -> _Refused:
        """Who did not get it, and why, where somebody has got it, now or earlier."""
        try:
            connection = self._connected()
            try:
                return connection.send_message(letter, self._letters.sender, to)
            finally:
                with suppress(OSError, smtplib.SMTPException):  # it was taken, or not, before
                    connection.quit()
                connection.close()
        except smtplib.SMTPRecipientsRefused as error:
            if to == self._letters.recipients or not error.recipients.keys() >= set(to):
                raise self._judged(error) from None  # nobody has it, or some were not even asked
            return error.recipients
        except smtplib.SMTPException as error:
            raise self._judged(error) from None
        except (OSError, ValueError) as error:
            why = "closed" if self._closed else unreachable(error)
            raise DeliveryFailedError(f"{self._server}: {why}") from None
        finally:
            self._connection = self._line = None

    def close(self) -> None:
        """A ``send`` under way ends, once it has a connection at once."""
        with self._lock:
            self._closed = True
            connection, secure = self._connection, self._line
        for line in (connection.sock if connection is not None else None, secure):
            if line is not None:
                with suppress(OSError):
                    socket.socket.shutdown(line, socket.SHUT_RDWR)  # below TLS

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        context = None if server.security == "none" else self._tls()
        at, timeout = (server.host, server.port), server.timeout
        connection: smtplib.SMTP
        if server.security == "tls":
            connection = _TlsLine(self._keep, *at, timeout=timeout, context=context)
        else:
            connection = _Line(self._keep, *at, timeout=timeout)
        try:
            if server.security == "starttls":
                connection.starttls(context=context)
            self._log_in(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _tls(self) -> ssl.SSLContext:
        """The library knows a line only after its handshake."""
        keep_line = self._keep_line

        class Line(ssl.SSLSocket):
            def do_handshake(self, block: bool = False) -> None:
                keep_line(self)
                super().do_handshake(block)

        context = tls_context(self._server.ca_file, None, None)
        context.sslsocket_class = Line
        return context

    def _keep_line(self, line: socket.socket) -> None:
        with self._lock:
            self._line = line
            if self._closed:
                raise OSError("closed")

    def _keep(self, connection: smtplib.SMTP) -> None:
        with self._lock:
            self._connection = connection
            if self._closed:
                raise OSError("closed")

    def _log_in(self, connection: smtplib.SMTP) -> None:
        server = self._server
        if server.username is not None and server.password is not None:
            password = resolved(server.password)
            self._secrets = (password,)
            connection.login(server.username, password)

    def _judged(self, error: smtplib.SMTPException) -> DeliveryFailedError | DeliveryRefusedError:
        """For ever, unless it is about the log-in, or for now."""
        if self._closed:
            return DeliveryFailedError(f"{self._server}: closed")
        codes, said = _said(error)
        text = f"{self._server}: {redacted(said, self._secrets)}"
        about_us = isinstance(
            error,
            smtplib.SMTPAuthenticationError | smtplib.SMTPConnectError | smtplib.SMTPHeloError,
        )
        if codes and min(codes) >= _FOREVER and not about_us:
            return DeliveryRefusedError(text)
        return DeliveryFailedError(text)


class MailSink(Networked):
    """A letter per event, or one about all that wait, through the outbox."""

    def __init__(  # noqa: PLR0913 - the options
        self,
        host: str,
        *,
        to: str | Sequence[str],
        sender: str,
        port: int | None = None,
        security: Security = "starttls",
        username: str | None = None,
        password: str | None = None,
        ca_file: str | Path | None = None,
        subject: str = _SUBJECT,
        body: str = _BODY,
        evidence: Literal["snapshot"] | None = "snapshot",
        attach_bytes: int = 8 << 20,
        digest: float = 0.0,
        most: int = 50,
        timeout: float = 20.0,
        name: str | None = None,
        kinds: Sequence[str] = (),
        outbox: OutboxGiven = None,
    ) -> None:
        """``security``: ``starttls`` (port 587), ``tls`` (465) or ``none`` (25). ``password`` or
        where it is kept (``env:NAME``). ``subject`` and ``body`` take ``${event.kind}`` and so on;
        ``body`` is repeated for each event. ``evidence``: its picture, and crops if there are any,
        are attached, up to ``attach_bytes``. ``digest``: seconds for which a letter waits for more
        events, up to ``most``; those that wait anyway share one. ``timeout``: seconds for each
        answer of the server.

        Raises ``ConfigError``; ``OutboxError`` where there is no outbox to be had.
        """
        people = (to,) if isinstance(to, str) else tuple(to)
        if digest < 0 or most < 1 or attach_bytes < 0 or not timeout > 0:
            raise ConfigError("digest and attach_bytes: from 0; most: from 1; timeout: above 0")
        number = port or _PORTS[security]
        server = Server(host, number, security, username, password, ca_file, timeout)
        _check(server, sender, people)
        texts = (Placeholders(subject, "subject"), Placeholders(body, "body"))
        letters = Letters(sender, people, *texts, attach_bytes if evidence else 0)
        same = (server, password, sender, people, subject, body, letters.attach_bytes, digest, most)
        self._evidence = evidence
        name = name or f"mail {', '.join(people)} by {host}:{number}"
        self._destination = MailDestination(server, letters, most, digest)
        super().__init__(self._destination, name=name, same=same, kinds=kinds, outbox=outbox)

    def message(self, event: Event, result: Result) -> Message:
        """With its picture, where that was asked for: later it may be gone."""
        if self._evidence is None:
            return super().message(event, result)
        wire = {**event.dict(), "embedded": [embedded(event, result)]}
        return message_of(event, result, encoded(wire))

    def drain(self) -> None:
        """Nothing more comes: a letter waits for nothing any more."""
        self._destination.linger = 0.0
        super().drain()


def _check(server: Server, sender: str, recipients: Sequence[str]) -> None:
    wrong = [each for each in (sender, *recipients) if "@" not in each or "\n" in each]
    if not recipients or wrong:
        raise ConfigError(f"to, sender: {', '.join(map(repr, wrong)) or 'nobody'}: give addresses")
    if (server.username is None) != (server.password is None):
        raise ConfigError("username and password belong together: give both")
    if server.password is not None:
        resolved(server.password)  # what is not there is told now
    if server.security != "none":
        tls_context(server.ca_file, None, None)
    elif server.password is not None:
        raise ConfigError("security: none would send the password in clear: tls or starttls")


def _identity(messages: Sequence[Message], sender: str) -> str:
    """The same for every attempt to send the same events: mailboxes sort out what comes twice."""
    joined = "\n".join(message.id for message in messages)
    domain = sender.rpartition("@")[2].strip(" >") or "localhost"
    return f"<{hashlib.sha256(joined.encode()).hexdigest()[:32]}@{domain}>"


def _sayable(text: str) -> str:
    """Without what UTF-8 has no bytes for."""
    return text.encode(errors="replace").decode()


@dataclass(frozen=True, slots=True)
class _Picture:
    name: str
    kind: str
    data: bytes


def _pictures(event: Mapping[str, Any]) -> Iterator[_Picture]:
    """The picture that came with the event, then its crops that are still there."""
    for number, each in enumerate(event.get("embedded", ()), 1):
        kind = str(each["media_type"]).rpartition("/")[2]
        name = f"{event.get('id', 'event')}-{number}.{kind.replace('jpeg', 'jpg')}"
        yield _Picture(name, kind, base64.b64decode(each["data"]))
    for each in event.get("evidence", ()):
        path = Path(each.get("path") or "")
        if each.get("kind") == "crop" and path.suffix.lower() in _IMAGES:
            with suppress(OSError):  # the recorder may have removed it
                yield _Picture(path.name, _IMAGES[path.suffix.lower()], path.read_bytes())


def _attach(letter: EmailMessage, picture: _Picture) -> None:
    letter.add_attachment(picture.data, "image", picture.kind, filename=picture.name)


def _said(error: smtplib.SMTPException) -> tuple[list[int], str]:
    """The codes a server answered with, and its words."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        answers = list(error.recipients.values())
        return [code for code, _ in answers], f"refuses the recipients: {_words(answers[0][1])}"
    if isinstance(error, smtplib.SMTPResponseException):
        return [error.smtp_code], f"{error.smtp_code} {_words(error.smtp_error)}"
    return [], str(error)


def _words(text: bytes | str) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else text
