"""Events as letters, handed in at a real SMTP server on loopback."""

from __future__ import annotations

import email
import email.policy
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from streamkit.errors import ConfigError, DeliveryFailedError, DeliveryRefusedError
from streamkit.events import Evidence
from streamkit.outbox.base import Destination
from streamkit.sinks import MailSink, open_sink
from streamkit.sinks.mail import Letters, MailDestination, Server
from streamkit.sinks.placeholders import Placeholders
from tests.fakes import until
from tests.sinks.brokers import free_port
from tests.sinks.happenings import event, message, seen
from tests.sources.certificates import Certificate, self_signed

JPEG = b"\xff\xd8\xff\xe0 a picture"


BOTH = Letters(
    "c@example.org",
    ("guard@example.org", "b@example.org"),
    Placeholders("s", "subject"),
    Placeholders("b", "body"),
)


class Post:
    """What the server does with letters."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.to: list[list[str]] = []
        self.answers: list[str] = []
        """Said instead of taking a letter, one each."""
        self.refused: dict[str, str] = {}
        """What is said to whom a letter is for."""

    async def handle_RCPT(  # noqa: N802 - the library's names
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        if self.answers:
            return self.answers.pop(0)
        assert isinstance(envelope.content, bytes)
        self.letters.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        self.to.append(list(envelope.rcpt_tos))
        return "250 taken"


@contextmanager
def office(
    certificate: Certificate | None = None, *, at_once: bool = False, **how: Any
) -> Iterator[tuple[Post, int]]:
    """An SMTP server that speaks STARTTLS, or TLS at once, with a certificate."""
    post = Post()
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.file)
        how |= {"ssl_context": context} if at_once else {"tls_context": context}
    controller = Controller(post, "127.0.0.1", free_port(), **how)
    controller.start()
    try:
        yield post, controller.port
    finally:
        controller.stop()


def letters(**more: Any) -> Letters:
    subject = Placeholders("${event.source}: ${event.kind} ${event.key}", "subject")
    told = "${event.at} ${event.source} ${event.kind} ${event.data}"
    body = Placeholders(more.pop("body", told), "body")
    return Letters("cameras@example.org", ("guard@example.org",), subject, body, **more)


def destination(port: int, like: Letters | None = None, **more: Any) -> MailDestination:
    server = Server("127.0.0.1", port, **{"security": "none", "timeout": 5.0, **more})
    return MailDestination(server, like or letters(), 50, 0.0)


def test_a_letter_tells_of_an_event_and_shows_it(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(JPEG)
    shown = (
        Evidence("crop", str(tmp_path / "1.jpg")),
        Evidence("crop", str(tmp_path / "gone.jpg")),
        Evidence("clip", str(tmp_path / "clip.mp4")),
    )
    happened = event(1, source="Tür", key="rein\nBcc: all@example.org", evidence=shown)
    with office() as (post, port):
        to = destination(port)
        assert isinstance(to, Destination)
        for _ in range(2):
            to.send([message(happened)])
        to.close()
    first, again = post.letters
    assert first["Subject"] == "Tür: line.in rein Bcc: all@example.org"
    assert first["Bcc"] is None
    assert (first["From"], first["To"]) == ("cameras@example.org", "guard@example.org")
    assert first["Message-ID"] == again["Message-ID"]
    assert first["Auto-Submitted"] == "auto-generated"
    text = first.get_body()
    assert text is not None
    assert '2026-03-29T01:00:00.900000Z Tür line.in {"number":1}' in text.get_content()
    (picture,) = first.iter_attachments()
    assert (picture.get_filename(), picture.get_content()) == ("1.jpg", JPEG)
    assert post.to == [["guard@example.org"]] * 2


def test_those_that_wait_share_a_letter_and_their_pictures_have_a_limit(tmp_path: Path) -> None:
    pictures = []
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(JPEG)
        pictures.append(Evidence("crop", str(tmp_path / f"{number}.jpg")))
    happened = [message(event(n, evidence=(pictures[n],))) for n in range(3)]
    with office() as (post, port):
        to = destination(port, letters(attach_bytes=2 * len(JPEG)))
        to.send(happened)
        to.close()
    (letter,) = post.letters
    assert letter["Subject"] == "entrance: line.in door (+2)"
    text = letter.get_body()
    assert text is not None
    assert all(f'{{"number":{n}}}' in text.get_content() for n in range(3))
    assert len(list(letter.iter_attachments())) == 2


@pytest.mark.parametrize("seconds", [1.0, 3600.0])
def test_a_digest_gathers_for_a_while_or_until_the_end(tmp_path: Path, seconds: float) -> None:
    with office() as (post, port):
        sink = MailSink(
            "127.0.0.1",
            port=port,
            security="none",
            to=["a@example.org", "b@example.org"],
            sender="Cameras <cameras@example.org>",
            digest=seconds,
            evidence="snapshot" if seconds > 60 else None,
            outbox={"path": str(tmp_path / "outbox.sqlite")},
        )
        for number in range(5):
            sink.write(seen(event(number)))
        if seconds > 60:
            sink.drain()
        until(lambda: sink.stats()["outbox"]["waiting"] == 0)
        sink.close()
    (letter,) = post.letters
    assert letter["Subject"].endswith("(+4)")
    pictures = [picture.get_content() for picture in letter.iter_attachments()]
    assert len(pictures) == (5 if seconds > 60 else 0)
    assert all(picture.startswith(b"\xff\xd8\xff") for picture in pictures)
    assert post.to == [["a@example.org", "b@example.org"]]


@pytest.mark.parametrize("at_once", [False, True])
def test_a_login_goes_over_tls_only_and_is_verified(
    tmp_path: Path, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def known(_server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: Any) -> Any:
        return AuthResult(success=data.password == b"s3cret-word", handled=False)

    monkeypatch.setenv("MAIL_PASSWORD", "s3cret-word")
    ours, other = self_signed(tmp_path / "ours"), self_signed(tmp_path / "other")
    how = {"authenticator": known, "auth_require_tls": not at_once, "auth_required": not at_once}
    security: dict[str, Any] = {"security": "tls" if at_once else "starttls", "username": "me"}
    with office(ours, at_once=at_once, **how) as (post, port):
        to = destination(port, ca_file=ours.authority, password="env:MAIL_PASSWORD", **security)
        to.send([message(event(1))])
        assert "s3cret" not in repr(to._server)
        wrong = destination(port, ca_file=ours.authority, password="wrong-word", **security)
        with pytest.raises(DeliveryFailedError, match="535") as told:
            wrong.send([message(event(1))])
        assert "wrong-word" not in str(told.value)
        stranger = destination(port, ca_file=other.authority, password="s3cret-word", **security)
        with pytest.raises(DeliveryFailedError, match="certificate is not believed"):
            stranger.send([message(event(1))])
    assert len(post.letters) == 1


def test_a_server_without_tls_gets_no_letter() -> None:
    with office() as (post, port):
        with pytest.raises(DeliveryFailedError, match="STARTTLS"):
            destination(port, security="starttls").send([message(event(1))])
        assert not post.letters


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("452 no room now", DeliveryFailedError),
        ("451 later", DeliveryFailedError),
        ("552 too large for ever", DeliveryRefusedError),
        ("554 we do not like you", DeliveryRefusedError),
    ],
)
def test_what_may_pass_is_tried_again_and_what_will_not_is_refused(
    answer: str, error: type[Exception]
) -> None:
    with office() as (post, port):
        to = destination(port)
        post.answers.append(answer)
        with pytest.raises(error, match=answer):
            to.send([message(event(1))])
        to.send([message(event(2))])
        assert len(post.letters) == 1


def test_recipients_may_be_refused_all_or_some(caplog: pytest.LogCaptureFixture) -> None:
    with office() as (post, port):
        post.refused["guard@example.org"] = "550 nobody of that name"
        with pytest.raises(DeliveryRefusedError, match="nobody of that name"):
            destination(port).send([message(event(1))])
        post.refused["guard@example.org"] = "450 greylisted, come again"
        with pytest.raises(DeliveryFailedError, match="greylisted"):
            destination(port).send([message(event(1))])
        post.refused["guard@example.org"] = "550 nobody of that name"
        with caplog.at_level(logging.WARNING):
            destination(port, BOTH).send([message(event(1))])
        assert "refused for guard@example.org" in caplog.text
        assert post.to == [["b@example.org"]]


def test_who_is_refused_for_now_gets_it_later_and_the_others_get_it_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = message(event(1)), message(event(2))
    with office() as (post, port):
        to = destination(port, BOTH)
        post.refused["guard@example.org"] = "450 greylisted, come again"
        with pytest.raises(DeliveryFailedError, match="refused for now for guard@"):
            to.send([first])
        with pytest.raises(DeliveryFailedError, match="refused for now for guard@"):
            to.send([first, second])  # nobody waits for the guard
        post.refused.clear()
        to.send([first, second])
        assert post.to == [["b@example.org"], ["b@example.org"], ["guard@example.org"]]
        assert post.letters[-1]["Subject"] == "s (+1)"

        post.refused["guard@example.org"] = "450 mailbox full"
        with pytest.raises(DeliveryFailedError, match="refused for now for guard@"):
            to.send([replace(first, attempt=1)])
        to.send([replace(first, attempt=31)])
        assert "refused for guard@example.org" in caplog.text


def test_a_file_whose_name_is_no_text_costs_no_letter(tmp_path: Path) -> None:
    with office() as (post, port):
        sink = MailSink(
            "127.0.0.1",
            port=port,
            security="none",
            to="guard@example.org",
            sender="cameras@example.org",
            outbox={"path": str(tmp_path / "outbox.sqlite")},
        )
        sink.write(seen(event(1, source="t\udcfcr.mp4")))
        until(lambda: sink.stats()["outbox"]["sent"] == 1)
        sink.close()
    assert post.letters[0]["Subject"] == "t?r.mp4: line.in door"


def test_nobody_there_is_told_and_closing_ends_a_send_that_waits() -> None:
    with pytest.raises(DeliveryFailedError, match="Connection refused"):
        destination(free_port()).send([message(event(1))])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        to = destination(silent.getsockname()[1], timeout=60)
        failed: list[Exception] = []
        thread = threading.Thread(target=lambda: failed.append(failure(to.send)))
        thread.start()
        line = silent.accept()[0]
        line.sendall(b"220 here\r\n")
        assert line.recv(100).lower().startswith(b"ehlo")
        began = time.monotonic()
        to.close()
        thread.join(5)
        assert time.monotonic() - began < 2
        assert "closed" in str(failed[0])
        with pytest.raises(DeliveryFailedError, match="closed"):
            to.send([message(event(1))])
        line.close()


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_closing_ends_a_handshake_that_nobody_answers(security: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        to = destination(silent.getsockname()[1], security=security, timeout=60)
        failed: list[Exception] = []
        thread = threading.Thread(target=lambda: failed.append(failure(to.send)))
        thread.start()
        line = silent.accept()[0]
        if security == "starttls":
            line.sendall(b"220 here\r\n")
            assert line.recv(100).lower().startswith(b"ehlo")
            line.sendall(b"250-here\r\n250 STARTTLS\r\n")
            assert line.recv(100).lower().startswith(b"starttls")
            line.sendall(b"220 go\r\n")
        assert line.recv(1) == b"\x16"  # a handshake has begun
        to.close()
        thread.join(10)
        assert "closed" in str(failed[0])
        line.close()


def failure(send: Callable[[Any], None]) -> Exception:
    try:
        send([message(event(1))])
    except DeliveryFailedError as error:
        return error
    raise AssertionError("it was sent")


def test_the_body_is_what_was_asked_for() -> None:
    with office() as (post, port):
        destination(port, letters(body="{${event.kind}} ${event.phase} ${event.data}")).send(
            [message(event(4))]
        )
    (letter,) = post.letters
    text = letter.get_body()
    assert text is not None
    kind, phase, data = text.get_content().split()
    assert (kind, phase, json.loads(data)) == ("{line.in}", "instant", {"number": 4})


def test_a_text_stays_one_where_it_is_but_one_place() -> None:
    like = replace(letters(body="${event.data}"), subject=Placeholders("${event.clock}", "subject"))
    with office() as (post, port):
        destination(port, like).send([message(event(4))])
    (letter,) = post.letters
    text = letter.get_body()
    assert text is not None
    assert (letter["Subject"], text.get_content().strip()) == ("", '{"number":4}')


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"to": []}, "nobody"),
        ({"to": "guard"}, "'guard': give addresses"),
        ({"sender": "a@b\nBcc: c@d"}, "give addresses"),
        ({"subject": "${event.kin}"}, r"subject: no place .* .did you mean 'kind'"),
        ({"username": "me"}, "give both"),
        ({"username": "me", "password": "x", "security": "none"}, "in clear"),
        ({"security": "ssl"}, "security"),
        ({"digest": -1}, "digest"),
        ({"ca_file": "/nowhere.pem"}, "No such file"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, Any], match: str) -> None:
    given = {
        "host": "127.0.0.1",
        "to": "guard@example.org",
        "sender": "cameras@example.org",
        "outbox": str(tmp_path / "outbox.sqlite"),
        **options,
    }
    with pytest.raises(ConfigError, match=match):
        open_sink("email", given)
