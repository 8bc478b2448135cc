"""A receiver may hang wherever it likes: a stop cuts it off, and an attempt ends in its time."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpcore
import pytest

from streamkit.errors import DeliveryFailedError
from streamkit.outbox.line import Lines
from streamkit.outbox.posting import Poster, Target
from streamkit.outbox.reach import Reach
from streamkit.web import retry_after
from tests.fakes import until
from tests.outbox.receiver import receiver

PLACES = ["connect", "handshake", "answer"]


@pytest.fixture
def urls() -> Iterator[dict[str, str]]:
    """Where each of ``PLACES`` takes for ever: nobody accepts, and the first is full."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = silent.getsockname()[1]
        yield {
            "connect": f"http://127.0.0.1:{full.getsockname()[1]}/x",
            "handshake": f"https://127.0.0.1:{port}/x",
            "answer": f"http://127.0.0.1:{port}/x",
        }


@pytest.mark.parametrize("place", PLACES)
def test_a_stop_cuts_it_off(urls: dict[str, str], place: str) -> None:
    poster = Poster(Target(urls[place]), reach=Reach(True), timeout=30.0)
    errors: list[DeliveryFailedError] = []

    def post() -> None:
        try:
            poster.post(b"{}", {})
        except DeliveryFailedError as error:
            errors.append(error)

    thread = threading.Thread(target=post)
    thread.start()
    until(lambda: bool(poster._lines._open))
    began = time.monotonic()
    poster.close()
    thread.join(20)
    assert not thread.is_alive()
    assert time.monotonic() - began < 5
    assert len(errors) == 1
    with pytest.raises(DeliveryFailedError):
        poster.post(b"{}", {})


def test_a_stop_while_tls_takes_a_connection_over_leaves_nothing_open() -> None:
    lines = Lines(Reach(True))
    lines.deadline = time.monotonic() + 10

    class Context(ssl.SSLContext):
        def wrap_socket(self, *given: Any, **more: Any) -> ssl.SSLSocket:
            taken_over = super().wrap_socket(*given, **more)
            lines.cut()
            return taken_over

    with socket.create_server(("127.0.0.1", 0)) as server:
        line = lines.connect_tcp("127.0.0.1", server.getsockname()[1])
        there, _ = server.accept()
        with there:
            with pytest.raises(httpcore.ConnectError):
                line.start_tls(Context(ssl.PROTOCOL_TLS_CLIENT), "127.0.0.1")
            there.settimeout(5)
            assert there.recv(1) == b""
    assert not lines._open


def test_a_stop_at_the_end_of_an_answer_leaves_nothing_open() -> None:
    class Lock:
        """Somebody closes just before it is free."""

        def __init__(self) -> None:
            self._lock = threading.Lock()

        def acquire(self, blocking: bool) -> bool:
            return self._lock.acquire(blocking)

        def __enter__(self) -> None:
            self._lock.acquire()

        def __exit__(self, *_: object) -> None:
            poster.close()
            self._lock.release()

    with receiver() as there:
        poster = Poster(Target(there.url), reach=Reach(True))
        poster._busy = Lock()  # type: ignore[assignment]
        poster.post(b"{}", {})
        assert not poster._lines._open


@pytest.mark.parametrize("place", PLACES)
def test_an_attempt_ends_in_its_time(urls: dict[str, str], place: str) -> None:
    poster = Poster(Target(urls[place]), reach=Reach(True), timeout=0.2)
    with pytest.raises(DeliveryFailedError, match=r"no answer within 0\.2 s"):
        poster.post(b"{}", {})
    poster.close()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        (" 120 ", 120.0),
        ("Sun, 22 Nov 2026 10:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("٣", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_goes_by_the_clock_of_who_says_it(
    value: str | None, seconds: float | None
) -> None:
    assert retry_after(value, "Sun, 22 Nov 2026 10:00:00 GMT") == seconds
