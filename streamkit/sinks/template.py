"""Names with places in braces for what an event says: ``streamkit/{stream}/{kind}``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any, Final

import orjson

from streamkit.errors import ConfigError
from streamkit.outbox.base import Message

FIELDS: Final = ("stream", "kind", "key", "phase", "id")
"""Of an event: the name of its stream, what happened, where, in which phase, its own id."""


class Template:
    """The name of a place that messages go to; braces that are meant are doubled."""

    def __init__(self, text: str, option: str, more: Mapping[str, str] | None = None) -> None:
        """``more``: further fields, whose values are known by now. ``option`` is named in errors.

        Raises ``ConfigError`` for a field that does not exist, naming those that do.
        """
        self.text, self._more = text, dict(more or {})
        known = (*FIELDS, *self._more)
        try:
            parts = list(Formatter().parse(text))
        except ValueError as error:
            raise ConfigError(f"{option}={text!r}: {error}") from None
        for _, field, form, conversion in parts:
            if field is not None and (field not in known or form or conversion):
                wrong = "{" + field + "}"
                listed = ", ".join(known)
                raise ConfigError(f"{option}={text!r}: {wrong} is no field; known: {listed}")
        self._parts = [(plain, field) for plain, field, _, _ in parts]

    @property
    def fields(self) -> set[str]:
        """Those that are used."""
        return {field for _, field in self._parts if field is not None}

    def fill(self, message: Message, escape: Callable[[str], str] = str) -> str:
        """The name for one message; ``escape`` makes a value fit to stand in it."""
        values = {**self._more, **values_of(message)}
        return "".join(
            plain + (escape(values[field]) if field is not None else "")
            for plain, field in self._parts
        )


def event_of(message: Message) -> dict[str, Any]:
    """The event in its wire form; nothing where the body is not one."""
    try:
        found = orjson.loads(message.body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def values_of(message: Message) -> dict[str, str]:
    """What the fields stand for."""
    event = event_of(message)
    return {
        "stream": message.stream,
        "kind": message.kind,
        "key": str(event.get("key", "")),
        "phase": str(event.get("phase", "instant")),
        "id": str(event.get("id", message.id)),
    }
