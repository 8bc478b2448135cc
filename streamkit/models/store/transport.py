"""The last step of a request: its query is added here, where nobody logs it any more.

httpx writes the URL of every request into its log, and our queries hold API keys and signatures.
"""

from __future__ import annotations

import urllib.request
from typing import Any

import httpx


class Quiet(httpx.BaseTransport):
    """Adds ``request.extensions["query"]`` to the URL; uses the proxy of the environment."""

    def __init__(self) -> None:
        self._transports: dict[tuple[str, str | None], httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, with its query."""
        extensions: dict[str, Any] = dict(request.extensions)
        query = extensions.pop("query", None)
        url = request.url.copy_with(query=query) if query else request.url
        headers = request.headers.raw
        sent = httpx.Request(
            request.method, url, headers=headers, stream=request.stream, extensions=extensions
        )
        return self._route(url).handle_request(sent)

    def _route(self, url: httpx.URL) -> httpx.HTTPTransport:
        proxy = urllib.request.getproxies().get(url.scheme)
        if proxy is not None and urllib.request.proxy_bypass(url.host):
            proxy = None
        way = url.scheme, proxy
        if way not in self._transports:
            certificates = url.scheme == "https" or proxy is not None  # reading them takes 30 ms
            self._transports[way] = httpx.HTTPTransport(verify=certificates, proxy=proxy)
        return self._transports[way]

    def close(self) -> None:
        """End the connections."""
        for transport in self._transports.values():
            transport.close()
