"""Pictures by address: only where the settings allow, bounded in bytes, time and redirects."""

from __future__ import annotations

import asyncio
from typing import Final

import httpx

from streamkit.outbound import AddressRefusedError, Policy, Resolve, pinned_transport, resolved
from streamkit.server.failures import PictureError
from streamkit.server.settings import ServerSettings

REDIRECTS: Final = 3


class Fetcher:
    """Gets one picture at a time; safe to use on any number of threads."""

    def __init__(
        self,
        policy: Policy | None,
        *,
        most: int,
        seconds: float,
        resolve: Resolve = resolved,
    ) -> None:
        """``policy``: ``None`` for no pictures by address at all."""
        self._policy, self._most, self._seconds, self._resolve = policy, most, seconds, resolve

    @classmethod
    def of(cls, settings: ServerSettings) -> Fetcher:
        """As the settings say."""
        policy = Policy(
            ("https", "http") if settings.allow_http_url_input else ("https",),
            settings.allow_private_url_input,
            settings.url_input_allowed,
            settings.url_input_blocked,
        )
        wanted = policy if settings.allow_url_input else None
        return cls(wanted, most=settings.max_image_bytes, seconds=settings.url_timeout)

    def fetch(self, url: str) -> bytes:
        """What is there. Raises ``PictureError``, whose text quotes neither path nor query."""
        if self._policy is None:
            raise PictureError("pictures by URL are switched off (ALLOW_URL_INPUT).")
        try:
            return asyncio.run(self._fetch(self._policy, url))
        except AddressRefusedError as error:
            raise PictureError(f"{error}.") from error
        except (TimeoutError, httpx.TimeoutException):
            raise PictureError(f"the URL was not read within {self._seconds:g} s.") from None
        except httpx.TooManyRedirects:
            raise PictureError(f"more than {REDIRECTS} redirects.") from None
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            httpx.StreamError,
            UnicodeError,  # a name that is none
        ):
            raise PictureError("the URL cannot be fetched.") from None

    async def _fetch(self, policy: Policy, url: str) -> bytes:
        """All of it within the time there is, however its bytes drip."""
        async with (
            asyncio.timeout(self._seconds),
            httpx.AsyncClient(
                transport=pinned_transport(policy, self._resolve),
                timeout=self._seconds,
                follow_redirects=True,
                max_redirects=REDIRECTS,
                trust_env=False,
            ) as client,
            client.stream("GET", url, headers={"Accept": "image/*"}) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise PictureError(f"the URL answered {response.status_code}.")
            return await self._read(response)

    async def _read(self, response: httpx.Response) -> bytes:
        parts, size = [], 0
        async for part in response.aiter_raw():
            parts.append(part)
            size += len(part)
            if size > self._most:
                raise PictureError(f"more than {self._most} bytes.", 413)
        return b"".join(parts)
