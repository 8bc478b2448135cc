"""Addresses that others name and we call: resolved once, checked, and connected to as checked."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from streamkit.errors import StreamkitError

if TYPE_CHECKING:
    import httpx

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve: TypeAlias = Callable[[str, int], Sequence[str]]
"""A host and a port to addresses, as text."""

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_NEVER: Final = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "168.63.129.16", "3fff::/20")))
"""Of the Internet by its tables, or by those of older Pythons: protocol assignments, what tells a
machine of Azure about itself, documentation."""
_LAST_PORT: Final = 65535
_PORTS: Final = {"http": 80, "https": 443}


class AddressRefusedError(StreamkitError):
    """A URL that is not called, whoever asks for it; its text names host and reason, no more."""

    code = "ADDRESS_REFUSED"


@dataclass(frozen=True, slots=True)
class Policy:
    """Where to one may connect."""

    schemes: tuple[str, ...] = ("https",)
    private: bool = False
    """Also this machine, its networks, and what only looks like an address on the Internet."""
    allowed: tuple[str, ...] = ()
    """Hosts (and what is below them); all where empty."""
    blocked: tuple[str, ...] = ()
    """Hosts (and what is below them) that are never called."""

    def check(self, url: httpx.URL) -> None:
        """Raise ``AddressRefusedError`` for what need not even be resolved."""
        host = url.host.rstrip(".").lower()
        if url.scheme not in self.schemes:
            known = " or ".join(self.schemes)
            raise AddressRefusedError(f"a URL that begins with {known}:// is needed")
        if not host:
            raise AddressRefusedError("the URL names no host")
        if url.port is not None and not 0 < url.port <= _LAST_PORT:
            raise AddressRefusedError(f"{host}: there is no port {url.port}")
        if url.userinfo:
            raise AddressRefusedError(f"{host}: no user and password in a URL")
        if _among(host, self.blocked) or (self.allowed and not _among(host, self.allowed)):
            raise AddressRefusedError(f"{host} is not one of the hosts that may be called")

    def chosen(self, host: str, found: Sequence[str]) -> str:
        """The address to connect to. One that may not be called among them condemns the name: who
        answers differently the next time gains nothing."""
        addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
        if not addresses:
            raise AddressRefusedError(f"{host} has no address")
        if not self.private and not all(map(public, addresses)):
            raise AddressRefusedError(f"{host} is not on the public Internet")
        return str(addresses[0])


def public(address: Address) -> bool:
    """Whether it is one of the Internet at large, also where an IPv4 address is wrapped in it."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if address.teredo is not None:
            return False
        if inner is not None:
            return public(inner)
        if address.is_site_local or address.is_reserved:  # IPv4 written in the old way, too
            return False
    if any(address in network for network in _NEVER):
        return False
    return address.is_global and not address.is_multicast


def _among(host: str, names: Sequence[str]) -> bool:
    return any(host == name or host.endswith(f".{name}") for name in map(str.lower, names))


def resolved(host: str, port: int) -> Sequence[str]:
    """Every address of ``host``. Raises ``OSError``."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def pinned_transport(policy: Policy, resolve: Resolve = resolved) -> httpx.AsyncBaseTransport:
    """A transport whose every request, each redirect too, is checked and goes to the very address
    that was; name and certificate stay those of the host. No proxy is used.

    Raises ``AddressRefusedError``, and ``httpx.ConnectError`` where a name is not known.
    """
    import anyio.to_thread
    import httpx

    class Pinned(httpx.AsyncBaseTransport):
        def __init__(self) -> None:
            self._inner = httpx.AsyncHTTPTransport(verify="https" in policy.schemes)

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            url = request.url
            policy.check(url)
            try:
                place = url.host, url.port or _PORTS[url.scheme]
                found = await anyio.to_thread.run_sync(resolve, *place, abandon_on_cancel=True)
            except (OSError, UnicodeError) as error:
                raise httpx.ConnectError(f"{url.host} cannot be resolved") from error
            address = policy.chosen(url.host, found)
            extensions: dict[str, Any] = {**request.extensions, "sni_hostname": url.host}
            sent = httpx.Request(
                request.method,
                url.copy_with(host=address),
                headers=request.headers.raw,  # Host is the name
                stream=request.stream,
                extensions=extensions,
            )
            return await self._inner.handle_async_request(sent)

        async def aclose(self) -> None:
            await self._inner.aclose()

    return Pinned()
