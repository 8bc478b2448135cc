"""JSON and text with places for what an event says: ``${event.kind}``. Nothing is evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import orjson

from streamkit import plugins
from streamkit.errors import ConfigError
from streamkit.wire import EventWire

Json: TypeAlias = Any
"""What JSON can say."""

_PLACE: Final = re.compile(r"\$(?:\$|\{([^}]*)\})")
_PATH: Final = re.compile(r"event(\.\w+)+")
_KEYS: Final = (*EventWire.__annotations__, "embedded")


class Placeholders:
    """A structure whose texts have places ``${event.<key>}``, also deeper: ``${event.data.class}``,
    ``${event.evidence.0.path}``. ``$$`` is a dollar.

    A text that is nothing but one place becomes the value itself, of its own type; what is not
    there is ``null``, in the midst of a text nothing.
    """

    def __init__(self, shape: Json, option: str) -> None:
        """Raises ``ConfigError``, naming ``option`` and the choices."""
        self._shape, self._option = shape, option
        self._walk(shape, self._checked)

    def fill(self, event: Mapping[str, Any], escape: Callable[[str], str] = str) -> Json:
        """The structure for one event; ``escape`` makes a value fit to stand in a text."""
        return self._walk(self._shape, lambda text: _filled(text, event, escape))

    def text(self, event: Mapping[str, Any], escape: Callable[[str], str] = str) -> str:
        """The same where the shape is a text, which stays one: also if it is but one place."""
        return _written(str(self._shape), event, escape)

    def _walk(self, shape: Json, change: Callable[[str], Json]) -> Json:
        if isinstance(shape, str):
            return change(shape)
        if isinstance(shape, Mapping):
            return {str(key): self._walk(value, change) for key, value in shape.items()}
        if isinstance(shape, list | tuple):
            return [self._walk(value, change) for value in shape]
        return shape

    def _checked(self, text: str) -> str:
        for found in _PLACE.finditer(text):
            path = found[1]
            if path is None:
                continue
            first = path.split(".")[1] if _PATH.fullmatch(path) else None
            if first not in _KEYS:
                meant = plugins.nearest(first or path, _KEYS)
                known = ", ".join(f"event.{key}" for key in _KEYS)
                raise ConfigError(f"{self._option}: no place ${{{path}}}{meant}; known: {known}")
        return text


def _filled(text: str, event: Mapping[str, Any], escape: Callable[[str], str]) -> Json:
    whole = _PLACE.fullmatch(text)
    if whole is not None and whole[1] is not None:
        value = _value(event, whole[1])
        return escape(value) if isinstance(value, str) else value
    return _written(text, event, escape)


def _written(text: str, event: Mapping[str, Any], escape: Callable[[str], str]) -> str:
    return _PLACE.sub(
        lambda found: "$" if found[1] is None else escape(_text(_value(event, found[1]))), text
    )


def _value(event: Mapping[str, Any], path: str) -> Json:
    value: Any = event
    for part in path.split(".")[1:]:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _text(value: Json) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
