"""Variables in a document: ``${NAME}``, ``${NAME:-default}``; ``$${`` for the characters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from streamkit.errors import ConfigError

_HOLE: Final = re.compile(r"\$\$\{|\$\{(?P<inside>[^{}]*)\}|\$\{")
_VARIABLE: Final = re.compile(r"(?P<name>[A-Za-z_]\w*)(?::-(?P<default>.*))?", re.ASCII | re.DOTALL)
_REFERENCE: Final = re.compile(r"(env|file|keyring):.+", re.DOTALL)
"""What stands for a secret, and is looked up where it is used."""
_FIELD: Final = re.compile(r"\w+(\.\w+)+", re.ASCII)
"""A place in a sink's template, like ``${event.kind}``: filled for each event."""
_PAIR: Final = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<value>.*)", re.ASCII | re.DOTALL)


@dataclass(frozen=True)
class Variables:
    """What documents may ask for: ``given`` by who runs them, then the ``environment``."""

    given: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, given: Mapping[str, str] | None = None) -> Variables:
        """Those of this process, with ``given`` ones on top."""
        from streamkit.settings import whole_environment

        return cls(given or {}, whole_environment({}))

    def fill(self, text: str) -> str:
        """``text`` with its variables replaced, once: what they hold is taken as it is. Raises
        ``ConfigError``, which names the variable."""
        return _HOLE.sub(lambda hole: self._value(hole, plain=True), text)

    def fill_address(self, text: str) -> str:
        """The same for the address of a source: what the environment has may be a password, so it
        stays a reference, which is looked up at each connection."""
        hole = _HOLE.fullmatch(text.strip())
        if "://" not in text and hole is None:
            return self.fill(text)
        if hole is not None and "://" not in (whole := self.fill(text.strip())):
            return whole
        return _HOLE.sub(lambda hole: self._value(hole, plain=False), text)

    def _value(self, hole: re.Match[str], *, plain: bool) -> str:
        if hole[0] == "$${":
            return "${" if plain else "%24%7B"
        inside = hole["inside"] or ""
        if _REFERENCE.fullmatch(inside) or _FIELD.fullmatch(inside):
            return hole[0]
        found = _VARIABLE.fullmatch(inside)
        if found is None:
            raise ConfigError(
                f"{hole[0]!r} is no variable: write ${{NAME}}, ${{NAME:-default}}, or $${{ for the "
                "characters themselves"
            )
        return self._of(found["name"], found["default"], plain=plain)

    def _of(self, name: str, default: str | None, *, plain: bool) -> str:
        if name not in self.given and name in self.environment:
            return self.environment[name] if plain else f"${{{name}}}"
        value = self.given.get(name, default)
        if value is None:
            raise ConfigError(
                f"the variable {name} is not set: set it in the environment, give it with "
                f"--set {name}=..., or write ${{{name}:-default}}"
            )
        return value if plain else value.replace("${", "%24%7B")


def pairs(texts: list[str] | None) -> dict[str, str]:
    """``NAME=value`` of a command line, as a mapping. Raises ``ConfigError``."""
    found = [(text, _PAIR.fullmatch(text)) for text in texts or []]
    wrong = [text.partition("=")[0] for text, pair in found if pair is None]
    if wrong:
        raise ConfigError(f"--set {wrong[0]}: write NAME=value, as in --set CAMERA=192.168.1.20")
    return {pair["name"]: pair["value"] for _, pair in found if pair is not None}
