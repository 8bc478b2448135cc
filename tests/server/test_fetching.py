"""Pictures by address: from where they may come, and how little a stranger can make us do."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from streamkit.outbound import AddressRefusedError, Policy
from streamkit.server.failures import PictureError
from streamkit.server.fetching import Fetcher

JPEG = (Path(__file__).resolve().parents[2] / "samples" / "street.jpg").read_bytes()
PRIVATE = Policy(("https", "http"), private=True)


class _Web(BaseHTTPRequestHandler):
    """``/picture``, ``/to?<url>``, ``/slow``, ``/endless``, ``/hops/<n>``; counts its visitors."""

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["host"]))  # type: ignore[attr-defined]
        path, _, query = self.path.partition("?")
        if path == "/to":
            self._redirect(query)
        elif path.startswith("/hops/"):
            left = int(path.rpartition("/")[2])
            self._redirect(f"/hops/{left - 1}" if left > 1 else "/picture")
        elif path in ("/endless", "/dripping"):
            self._endless(path == "/endless")
        else:
            self.send_response(200 if path == "/picture" else 404)
            self.send_header("Content-Length", str(len(JPEG)))
            self.end_headers()
            self.wfile.write(JPEG)

    def _redirect(self, where: str) -> None:
        self.send_response(302)
        self.send_header("Location", where)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _endless(self, begun: bool) -> None:
        if begun:
            self.send_response(200)
            self.end_headers()
        else:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Header: ")
        try:
            while True:
                self.wfile.write(b"x")
                time.sleep(0.05)
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def web() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Web)
    server.daemon_threads = True
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def address(web: ThreadingHTTPServer, path: str, host: str = "127.0.0.1") -> str:
    return f"http://{host}:{web.server_address[1]}{path}"


def fetcher(policy: Policy = PRIVATE, **more: object) -> Fetcher:
    limits = {"most": 1 << 20, "seconds": 5.0, **more}
    return Fetcher(policy, **limits)  # type: ignore[arg-type]


def names(table: dict[str, Sequence[str]]) -> Callable[[str, int], Sequence[str]]:
    """A resolver that knows only these."""

    def resolve(host: str, _port: int) -> Sequence[str]:
        if host not in table:
            raise socket.gaierror(f"{host} is not known")
        return table[host]

    return resolve


def test_a_picture_is_fetched(web: ThreadingHTTPServer) -> None:
    assert fetcher().fetch(address(web, "/picture")) == JPEG


def test_it_goes_to_the_very_address_that_was_checked(web: ThreadingHTTPServer) -> None:
    answers = iter((["127.0.0.1"], ["192.0.2.1"]))
    told = fetcher(resolve=lambda *_: next(answers)).fetch(
        address(web, "/picture", "pictures.test")
    )
    assert told == JPEG
    assert web.asked[0][1].startswith("pictures.test")  # type: ignore[attr-defined]
    assert next(answers) == ["192.0.2.1"]  # nobody asked a second time


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "2130706433", "0177.0.0.1", "0x7f.1", "127.1", "localhost", "0.0.0.0",
        "[::1]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
        "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200",
        "[fd00:ec2::254]", "[fe80::1]", "224.0.0.1", "[ff02::1]", "255.255.255.255",
        "192.0.0.9", "168.63.129.16", "[3fff::1]",
    ],
)  # fmt: skip
def test_private_addresses_are_refused_however_they_are_written(host: str) -> None:
    with pytest.raises(PictureError, match=r"not on the public Internet|cannot be fetched"):
        fetcher(Policy(("http",))).fetch(f"http://{host}/picture")


def test_one_private_address_condemns_a_name() -> None:
    resolve = names({"two-faced.test": ["93.184.216.34", "127.0.0.1"]})
    with pytest.raises(PictureError, match="not on the public Internet"):
        fetcher(Policy(("http",)), resolve=resolve).fetch("http://two-faced.test/picture")


def test_a_redirect_is_checked_like_the_first_address(web: ThreadingHTTPServer) -> None:
    policy = Policy(("http", "https"), private=True, blocked=("inside.test",))
    resolve = names({"outside.test": ["127.0.0.1"], "inside.test": ["127.0.0.1"]})
    inside = address(web, "/picture", "inside.test")
    for target in (inside, "file:///etc/passwd", "gopher://inside.test/"):
        with pytest.raises(PictureError):
            fetcher(policy, resolve=resolve).fetch(address(web, f"/to?{target}", "outside.test"))
    assert all(host.startswith("outside.test") for _, host in web.asked)  # type: ignore[attr-defined]


def test_three_redirects_are_followed_and_no_more(web: ThreadingHTTPServer) -> None:
    assert fetcher().fetch(address(web, "/hops/3")) == JPEG
    with pytest.raises(PictureError, match="more than 3 redirects"):
        fetcher().fetch(address(web, "/hops/4"))


def test_an_endless_and_a_large_answer_end(web: ThreadingHTTPServer) -> None:
    for path in ("/endless", "/dripping"):
        with pytest.raises(PictureError, match="not read within"):
            fetcher(seconds=0.5).fetch(address(web, path))
    with pytest.raises(PictureError, match="more than 1000 bytes") as told:
        fetcher(most=1000).fetch(address(web, "/picture"))
    assert told.value.status == 413


def test_what_it_answers_with_is_told_without_the_address(web: ThreadingHTTPServer) -> None:
    with pytest.raises(PictureError, match="answered 404") as told:
        fetcher().fetch(address(web, "/nothing?token=secret"))
    assert "secret" not in str(told.value)
    with pytest.raises(PictureError, match="switched off"):
        Fetcher(None, most=1, seconds=1).fetch("https://example.com")


@pytest.mark.parametrize(
    ("policy", "url", "allowed"),
    [
        (Policy(), "https://example.com/a", True),
        (Policy(), "http://example.com/a", False),
        (Policy(allowed=("example.com",)), "https://cdn.example.com/a", True),
        (Policy(allowed=("example.com",)), "https://notexample.com/a", False),
        (Policy(blocked=("example.com",)), "https://CDN.Example.com./a", False),
        (Policy(), "https://user@example.com/a", False),
        (Policy(), "https:///a", False),
    ],
)
def test_lists_of_hosts(policy: Policy, url: str, allowed: bool) -> None:
    if allowed:
        policy.check(httpx.URL(url))
    else:
        with pytest.raises(AddressRefusedError):
            policy.check(httpx.URL(url))
