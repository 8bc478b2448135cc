"""Which addresses receivers may have, and that a connection goes to a checked one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from streamkit.errors import ConfigError, DeliveryFailedError
from streamkit.outbox.posting import Poster, Target
from streamkit.outbox.reach import Reach
from tests.outbox.receiver import receiver

INSIDE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd00::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1",
]  # fmt: skip
NEVER = [
    "169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1",
    "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:7f00:1::",
]  # fmt: skip
OUTSIDE = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"]


def check(reach: Reach, *addresses: str) -> list[str]:
    known = Reach(reach.allow_private, reach.hosts, reach.networks, lambda _host, _port: addresses)
    return known.addresses("name.example", 443)


@pytest.mark.parametrize("address", OUTSIDE)
def test_the_internet_may_be_reached(address: str) -> None:
    assert check(Reach(), address) == [address]


@pytest.mark.parametrize("address", [*INSIDE, *NEVER])
def test_nothing_else_may(address: str) -> None:
    with pytest.raises(ConfigError, match="not on the public Internet"):
        check(Reach(), address)
    with pytest.raises(ConfigError):
        check(Reach(), OUTSIDE[0], address)


@pytest.mark.parametrize("address", INSIDE)
def test_private_networks_may_if_that_is_said(address: str) -> None:
    assert check(Reach(allow_private=True), address) == [address]


@pytest.mark.parametrize("address", NEVER)
def test_but_not_where_clouds_keep_their_secrets(address: str) -> None:
    with pytest.raises(ConfigError):
        check(Reach(allow_private=True), address)


def test_hosts_and_networks_may_be_named() -> None:
    assert check(Reach.of(False, ["10.1.0.0/16"]), "10.1.2.3") == ["10.1.2.3"]
    assert check(Reach.of(False, ["NAME.example"]), "10.9.2.3") == ["10.9.2.3"]
    with pytest.raises(ConfigError):
        check(Reach.of(False, ["10.1.0.0/16", "other.example"]), "10.9.2.3")
    for wrong in ("10.1.0.0/33", "http://x", ""):
        with pytest.raises(ConfigError, match="no host, address or network"):
            Reach.of(False, [wrong])
    with pytest.raises(ConfigError, match="list"):
        Reach.of(False, "10.1.0.0/16")


def test_a_literal_address_is_refused_before_anything_runs() -> None:
    for url in ("http://127.0.0.1/x", "https://[::1]:8443/x", "http://169.254.169.254/latest"):
        with pytest.raises(ConfigError, match="allow_private"):
            Poster(Target(url), reach=Reach())


def test_the_connection_goes_to_the_very_address_that_was_checked() -> None:
    """A name that answers differently the second time gains nothing: there is no second time."""
    asked: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    with receiver() as there:
        reach = Reach(False, (), Reach.of(False, ["127.0.0.1"]).networks, resolve)
        poster = Poster(Target(f"http://hook.example:{there.port}/x"), reach=reach)
        poster.post(b"{}", {})
        poster.post(b"{}", {})
        assert asked == ["hook.example"]
        assert there.came[0].headers["host"] == f"hook.example:{there.port}"
        there.down()
        there.up()
        with pytest.raises(DeliveryFailedError, match="not on the public Internet"):
            poster.post(b"{}", {})
        poster.close()


def test_the_next_address_is_tried_where_the_first_does_not_answer() -> None:
    with receiver() as there, socket.socket() as nobody:
        nobody.bind(("127.0.0.3", there.port))
        reach = Reach(True, (), (), lambda _host, _port: ["127.0.0.3", "127.0.0.1"])
        poster = Poster(Target(f"http://hook.example:{there.port}/x"), reach=reach)
        poster.post(b"{}", {})
        poster.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host/x", "https:// or http://"),
        ("https://", "name a host"),
        ("https://user:geheim@host/x", "use headers"),
        ("https://host:99999/geheim", "not a URL"),
        ("env:NO_SUCH_URL", "NO_SUCH_URL is not set"),
    ],
)
def test_an_address_that_is_none_is_told_without_showing_it(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Poster(Target(url), reach=Reach())
    assert "geheim" not in str(caught.value)


def test_targets_show_no_secrets(tmp_path: Path) -> None:
    kept = tmp_path / "url"
    kept.write_text("https://hooks.example/geheim\n")
    kept.chmod(0o600)
    assert str(Target("https://host/path?token=geheim")) == "https://host/path"
    assert str(Target("https://host/geheim", secret=True)) == "https://host/..."
    assert str(Target(f"file:{kept}")) == f"file:{kept}"
    assert "geheim" not in repr(Target("https://host/geheim"))
