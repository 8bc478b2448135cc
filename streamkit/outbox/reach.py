"""Which addresses a document's receivers may have: those of the Internet, and what was allowed."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from streamkit.errors import ConfigError
from streamkit.outbound import Address, Resolve, public, resolved

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Reach:
    """Every address of a name is looked at; one that is not allowed condemns the name."""

    allow_private: bool = False
    """Also this machine and its networks; not link-local ones, where clouds keep their secrets."""
    hosts: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    """Allowed whatever they are."""
    resolve: Resolve = field(default=resolved, repr=False)

    @classmethod
    def of(cls, allow_private: bool, allow: Sequence[str]) -> Reach:
        """``allow``: names of hosts, addresses, networks (``10.1.0.0/16``). Raises
        ``ConfigError``."""
        if isinstance(allow, str):
            raise ConfigError(f"allow must be a list of hosts and networks, like [{allow}]")
        hosts, networks = [], []
        for one in allow:
            try:
                networks.append(ipaddress.ip_network(one))
            except ValueError:
                if not one or "/" in one or ":" in one:
                    text = f"allow: {one!r} is no host, address or network (10.1.0.0/16)"
                    raise ConfigError(text) from None
                hosts.append(one.lower())
        return cls(allow_private, tuple(hosts), tuple(networks))

    def addresses(self, host: str, port: int) -> list[str]:
        """Where to connect to. Raises ``OSError``; ``ConfigError`` for what is not allowed."""
        found = list(dict.fromkeys(self.resolve(host, port)))
        for text in found:
            self.check(host, ipaddress.ip_address(text.partition("%")[0]))
        return found

    def check_literal(self, host: str) -> None:
        """Raise ``ConfigError`` at once where ``host`` is an address, and not an allowed one."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return
        self.check(host, address)

    def check(self, host: str, address: Address) -> None:
        """Raise ``ConfigError`` unless ``address``, of ``host``, is allowed."""
        plain = _unwrapped(address)
        if host.lower() in self.hosts or any(plain in network for network in self.networks):
            return
        if public(address) or (self.allow_private and _of_ones_own(plain)):
            return
        raise ConfigError(
            f"{host} is not on the public Internet: set allow_private, or name it in allow"
        )


def _unwrapped(address: Address) -> Address:
    inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return inner or address


def _of_ones_own(address: Address) -> bool:
    """Loopback, or a private network (RFC 1918, 4193, 6598)."""
    wrapped = isinstance(address, ipaddress.IPv6Address) and (address.teredo or address.sixtofour)
    if wrapped or address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    return address.is_loopback or not (address.is_reserved or address.is_global)
