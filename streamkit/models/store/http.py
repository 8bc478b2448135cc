"""Asking a server over HTTP: queries kept out of logs, errors made ours, failures tried again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import tenacity

from streamkit.errors import (
    ConfigError,
    ModelAccessError,
    ModelArtefactError,
    ModelErrorCode,
    ModelNotFoundError,
    ModelUnavailableError,
)
from streamkit.web import bare, reason_of, retry_after

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

REPLY_LIMIT: Final = 16 << 20
"""Bytes of a JSON reply; one with a thousand classes has less than a hundredth."""

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_REDIRECTS: Final = 5


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, and how often to try again."""

    tries: int = 4
    timeout: float = 30.0
    """Seconds to connect, and between two pieces of a body."""
    first_wait: float = 0.5
    """Seconds; doubles from there, with jitter."""
    longest_wait: float = 20.0


class Http:
    """Requests to one party: its name for people, and whether plain HTTP is allowed there."""

    def __init__(
        self, party: str, *, allow_http: bool = False, patience: Patience | None = None
    ) -> None:
        self.party = party
        self.patience = patience or Patience()
        self._allow_http = allow_http

    def json(self, url: str, query: Mapping[str, str]) -> dict[str, Any]:
        """The JSON object at ``url``. Raises as ``stream``, and for what is none."""
        return self.persist(lambda: self._json(url, query))

    def small_file(self, url: str, sha256: str) -> bytes:
        """The small file at ``url``. Raises as ``stream``, and ``ModelArtefactError``."""
        data = self.persist(lambda: self._body(url, {}))
        if (found := hashlib.sha256(data).hexdigest()) != sha256:
            text = f"{self.party}: {bare(url)} has the sha256 {found} instead of {sha256}"
            raise ModelArtefactError(text, ModelErrorCode.HASH_MISMATCH)
        return data

    def _body(self, url: str, query: Mapping[str, str]) -> bytes:
        body = b""
        with self.stream(url, query) as response:
            for piece in response.iter_bytes():
                body += piece
                if len(body) > REPLY_LIMIT:
                    raise self._malformed(f"more than {REPLY_LIMIT} bytes")
        return body

    def _json(self, url: str, query: Mapping[str, str]) -> dict[str, Any]:
        try:
            reply = json.loads(self._body(url, query))
        except (ValueError, RecursionError):
            raise self._malformed("no JSON") from None
        if not isinstance(reply, dict):
            raise self._malformed("no JSON object")
        return reply

    def _malformed(self, what: str) -> ModelUnavailableError:
        return ModelUnavailableError(f"{self.party} answered {what}", ModelErrorCode.MALFORMED)

    @contextmanager
    def stream(
        self,
        url: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        also: int | None = None,
    ) -> Iterator[httpx.Response]:
        """One GET, redirects followed; the body is read inside ``with``; status ``also`` is fine.

        Raises ``ModelAccessError``, ``ModelNotFoundError`` and ``ModelUnavailableError``, none of
        which names the query, where keys and signatures are.
        """
        import httpx

        from streamkit.models.store.transport import Quiet

        address = httpx.URL(url)
        if query:
            address = address.copy_merge_params(dict(query))
        try:
            with httpx.Client(transport=Quiet(), timeout=self.patience.timeout) as client:
                response = self._follow(client, address, dict(headers or {}), also)
                try:
                    yield response
                finally:
                    response.close()
        except httpx.TimeoutException:
            text = f"{self.party} did not answer within {self.patience.timeout:g} s"
            raise ModelUnavailableError(text, ModelErrorCode.TIMEOUT) from None
        except httpx.RemoteProtocolError:
            text = f"{self.party} broke off in the middle of its answer"
            raise ModelUnavailableError(text, ModelErrorCode.TRUNCATED) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            text = f"{self.party} at {bare(str(address))} cannot be reached: {reason_of(error)}"
            raise ModelUnavailableError(text, ModelErrorCode.UNREACHABLE) from None

    def _follow(
        self, client: httpx.Client, address: httpx.URL, headers: dict[str, str], also: int | None
    ) -> httpx.Response:
        for _ in range(_REDIRECTS):
            self._check_scheme(address)
            request = client.build_request("GET", address.copy_with(query=None), headers=headers)
            request.extensions["query"] = address.query
            response = client.send(request, stream=True)
            if response.is_success or response.status_code == also:
                return response
            location = response.headers.get("location")
            response.close()
            if not response.is_redirect or not location:
                raise self._refusal(response)
            address = address.join(location)
        raise self._malformed(f"more than {_REDIRECTS} redirections")

    def _check_scheme(self, address: httpx.URL) -> None:
        plain = address.scheme == "http" and (self._allow_http or address.host in _LOOPBACK)
        if address.scheme != "https" and not plain:
            where = bare(str(address))
            raise ConfigError(f"{self.party}: {where} is not https, so it could be tampered with")

    def _refusal(self, response: httpx.Response) -> Exception:
        status = response.status_code
        if status in _REFUSALS:
            code, text = _REFUSALS[status]
            return ModelAccessError(f"{self.party} {text}", code)
        if status in (404, 410):
            return ModelNotFoundError(f"{self.party} does not know it (HTTP {status})")
        text = f"{self.party} failed: HTTP {status}"
        if status in (408, 425, 429) or status >= 500:
            after = retry_after(response.headers.get("retry-after"))
            return ModelUnavailableError(text, ModelErrorCode.FAILED, retry_after=after)
        return ModelUnavailableError(text, ModelErrorCode.MALFORMED)

    def persist(self, work: Callable[[], T]) -> T:
        """``work``, tried again while it raises what may pass: no answer, 429, 5xx, half an answer.

        Waits as long as the server says (``Retry-After``), else exponentially with jitter.
        """
        patience = self.patience
        backoff = tenacity.wait_random_exponential(patience.first_wait, patience.longest_wait)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            after = getattr(error, "retry_after", None)
            return backoff(state) if after is None else min(after, 2 * patience.longest_wait)

        return tenacity.Retrying(
            stop=tenacity.stop_after_attempt(patience.tries),
            wait=wait,
            retry=tenacity.retry_if_exception(_may_pass),
            reraise=True,
        )(work)


_REFUSALS: Final[Mapping[int, tuple[ModelErrorCode, str]]] = {
    401: (
        ModelErrorCode.KEY_REFUSED,
        "refuses the API key (HTTP 401): give the key of the workspace that owns the model, as "
        "api_key=, in ROBOFLOW_API_KEY, or in a file named by STREAMKIT_API_KEY_FILE",
    ),
    402: (ModelErrorCode.PAYMENT_REQUIRED, "wants the workspace's plan to be paid (HTTP 402)"),
    403: (ModelErrorCode.FORBIDDEN, "does not let this API key use the model (HTTP 403)"),
    423: (ModelErrorCode.USAGE_PAUSED, "has paused the workspace's usage (HTTP 423)"),
}


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, ModelUnavailableError) and error.code != ModelErrorCode.MALFORMED
