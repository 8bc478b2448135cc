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
        self._direct: httpx.HTTPTransport | None = None
        self._proxied: httpx.HTTPTransport | None = None

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
        if proxy is None or urllib.request.proxy_bypass(url.host):
            self._direct = self._direct or httpx.HTTPTransport()
            return self._direct
        self._proxied = self._proxied or httpx.HTTPTransport(proxy=proxy)
        return self._proxied

    def close(self) -> None:
        """End the connections."""
        for transport in (self._direct, self._proxied):
            if transport is not None:
                transport.close()
