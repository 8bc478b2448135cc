"""The form in which events leave this process, and its JSON schema, for who receives them."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, cast

from typing_extensions import TypedDict

from streamkit.errors import ConfigError


class EvidenceWire(TypedDict):
    """A file that shows what an event tells."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # type: ignore[misc]  # noqa: RUF012 - pydantic reads it

    kind: Literal["snapshot", "crop", "clip"]
    path: str | None
    """On the machine that raised the event; null where nothing could be written."""
    what: str
    size: int | None
    """Bytes; null for a clip that is still being written."""
    sha256: str | None
    error: str | None
    """Why nothing could be written."""


class EventWire(TypedDict):
    """What ``Event.dict()`` gives, and every sink that takes events writes or sends."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # type: ignore[misc]  # noqa: RUF012 - pydantic reads it

    version: Literal[1]
    """Keys may be added within a version: receivers pass over those they do not know."""
    id: str
    """ULID; start, update and end of one happening share it."""
    phase: Literal["instant", "start", "update", "end"]
    kind: str
    stream: int | None
    source: str
    sequence: int | None
    """Of the events of this stream, from 1, without gaps; begins again with the process."""
    key: str
    at: str
    """RFC 3339, UTC, microseconds."""
    clock: Literal["rtcp", "pts", "arrival"] | None
    uncertainty: float | None
    """Seconds."""
    frame_id: int
    model: str | None
    tracker_id: int | None
    data: dict[str, Any]
    evidence: list[EvidenceWire]


@cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(EventWire)


def event_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of ``EventWire``; keys that it does not name are allowed."""
    schema: dict[str, Any] = _adapter().json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Event"}


def checked_event(received: object) -> EventWire:
    """``received``, if it is an event: a dict, as JSON came. Raises ``ConfigError``, naming what is
    wrong with which key."""
    from pydantic import ValidationError

    try:
        _adapter().validate_python(received, strict=True)
    except ValidationError as error:
        told = [f"{'.'.join(map(str, e['loc'])) or 'event'}: {e['msg']}" for e in error.errors()]
        raise ConfigError(f"not an event: {'; '.join(told)}") from None
    return cast("EventWire", received)
