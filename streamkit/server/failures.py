"""From errors to answers: a status, a text for people, a stable code, never a secret."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Final

from streamkit.errors import (
    ClosedError,
    ConfigError,
    InferenceError,
    ModelAccessError,
    ModelArtefactError,
    ModelCacheError,
    ModelErrorCode,
    ModelNotFoundError,
    ModelUnavailableError,
    StreamkitError,
    StreamOperationNotAllowedError,
)

_ACCESS: Final = {
    ModelErrorCode.KEY_MISSING: 400,
    ModelErrorCode.KEY_REFUSED: 401,
    ModelErrorCode.PAYMENT_REQUIRED: 402,
    ModelErrorCode.FORBIDDEN: 403,
    ModelErrorCode.USAGE_PAUSED: 423,
}
_UNAVAILABLE: Final = {
    ModelErrorCode.UNREACHABLE: 503,
    ModelErrorCode.OFFLINE: 503,
    ModelErrorCode.TIMEOUT: 504,
}
_KINDS: Final[tuple[tuple[type[StreamkitError], int], ...]] = (
    (ConfigError, 400),
    (ModelNotFoundError, 404),
    (ModelCacheError, 503),
    (ModelArtefactError, 500),
    (InferenceError, 500),
    (StreamOperationNotAllowedError, 409),
    (ClosedError, 503),
)
_PATH: Final = re.compile(r"(?<![\w:/.~-])~?/(?:[^\s/'\",;:()]+/)+")
"""All but the last part of a path: where things lie on the server is nobody's business."""
BUSY: Final = 1
"""Seconds after which a client may try again, where nothing else is known."""


class HttpError(StreamkitError):
    """A request that is answered with a status of its own."""

    def __init__(
        self, status: int, message: str, code: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers or {}


def busy(text: str) -> HttpError:
    """There is no room now; there may be in a second."""
    return HttpError(503, text, "SERVER_BUSY", {"Retry-After": "1"})


class PictureError(HttpError):
    """A picture in a request that cannot be had or is none."""

    def __init__(self, cause: str, status: int = 400) -> None:
        super().__init__(status, f"Could not load input image. Cause: {cause}", "PICTURE_INVALID")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client is told."""

    status: int
    message: str
    code: str
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, str]:
        """``message`` as in the neighbour; ``code`` is stable, for programs."""
        return {"message": self.message, "code": self.code}


def answer_to(error: StreamkitError) -> Answer:
    """How ``error`` is told."""
    if isinstance(error, HttpError):
        return Answer(error.status, str(error), error.code, error.headers)
    status, headers = _status(error), {}
    if status == 503:
        wait = getattr(error, "retry_after", None) or BUSY
        headers = {"Retry-After": str(math.ceil(wait))}
    return Answer(status, told(error), str(error.code), headers)


def told(error: StreamkitError) -> str:
    """The text of an error, for those who are not on this machine."""
    return _PATH.sub(".../", str(error))


def _status(error: StreamkitError) -> int:
    if isinstance(error, ModelAccessError):
        return _ACCESS.get(ModelErrorCode(error.code), 401)
    if isinstance(error, ModelUnavailableError):
        return _UNAVAILABLE.get(ModelErrorCode(error.code), 502)
    return next((status for kind, status in _KINDS if isinstance(error, kind)), 500)


INTERNAL: Final = Answer(500, "Internal error.", "INTERNAL_ERROR")
"""What nobody foresaw; its text stays in the log."""
