from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.errors import ConfigError
from streamkit.sources.reference import parse

NASTY = "p@ss:w/or?d#1% &äß"


@pytest.mark.parametrize(
    ("text", "user", "password", "host", "rest"),
    [
        ("rtsp://cam/live", None, None, "cam", "/live"),
        ("rtsp://cam:8554/live?a=b", None, None, "cam", "/live?a=b"),
        ("rtsp://me:secret@cam:554/x", "me", "secret", "cam", "/x"),
        ("rtsp://me@cam/x", "me", None, "cam", "/x"),
        ("rtsp://me:@cam/x", "me", "", "cam", "/x"),
        ("rtsp://me:p%40ss%2F@cam/x", "me", "p@ss/", "cam", "/x"),
        ("rtsp://me:p@ss@cam/x", "me", "p@ss", "cam", "/x"),
        ("rtsp://me:a:b@cam/x", "me", "a:b", "cam", "/x"),
        ("rtsp://me:50% off@cam/x", "me", "50% off", "cam", "/x"),
        ("rtsp://me:a/b?c#d@cam/x", "me", "a/b?c#d", "cam", "/x"),
        ("rtsp://me:p&q ü@cam/x@2", "me", "p&q ü", "cam", "/x@2"),
        ("rtsp://[fe80::1]:554/x", None, None, "[fe80::1]", "/x"),
        ("rtsp://me:x@[::1]/x", "me", "x", "[::1]", "/x"),
        ("udp://@239.0.0.1:1234", None, None, "239.0.0.1", ""),
    ],
)
def test_addresses_come_apart(
    text: str, user: str | None, password: str | None, host: str, rest: str
) -> None:
    address = parse(text)
    assert (address.username, address.password) == (user, password)
    assert (address.host, address.rest) == (host, rest)


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://me:SECRET@cam/live",
        "rtsp://me:SEC@RET@cam/live",
        "rtsp://me:SEC/RET@cam/live",
        "rtsp://me:1/SECRET@cam/live",
        "rtsp://me:SECRET@cam/live?password=SECRET",
        "rtsp://cam/user=admin&password=SECRET&channel=1",
        "rtsp://cam/live?token=SECRET#SECRET",
    ],
)
def test_what_is_printed_holds_no_secret(text: str) -> None:
    address = parse(text)
    for shown in (address.printable, str(address), repr(address)):
        assert "SECRET" not in shown
        assert "RET@" not in shown


def test_what_is_printed_still_names_the_camera() -> None:
    assert parse("rtsp://me:x@cam:554/live").printable == "rtsp://***@cam:554/live"
    assert parse("rtsp://cam/live").printable == "rtsp://cam/live"


@given(user=st.text(min_size=1), password=st.text())
def test_credentials_given_apart_survive_the_way_to_ffmpeg(user: str, password: str) -> None:
    try:
        url = parse("rtsp://cam:554/live", user, password).url
    except UnicodeEncodeError:
        return  # half a surrogate pair is no text
    again = parse(url)
    assert (again.username, again.password, again.host) == (user, password, "cam")
    assert url.isascii()


def test_given_credentials_win() -> None:
    address = parse("rtsp://a:b@cam/", username="c", password=NASTY)
    assert (address.username, address.password) == ("c", NASTY)


@pytest.mark.parametrize("text", ["cam/live", "rtsp:/cam", "rtsp://me:a b/c", ""])
def test_what_is_no_address_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert "me:a" not in str(caught.value)


def test_request_targets_are_plain_ascii() -> None:
    assert parse("http://cam/a b/ü?x=1 2#part").request_target == "/a%20b/%C3%BC?x=1%202"
    assert parse("http://cam").request_target == "/"
