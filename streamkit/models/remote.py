"""A model named by a URL: ``https://host/path/model.onnx#sha256=<64 hex digits>``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from streamkit.errors import ConfigError

_FORM: Final = re.compile(r"(https?://[^\s#]+)#sha256=([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """An ``.onnx`` file, or the ``.streamkit.json`` of a folder; it may not change."""

    url: str
    sha256: str

    def __str__(self) -> str:
        """Without the query, which may be a signature."""
        return f"{self.url.partition('?')[0]}#sha256={self.sha256}"

    def __repr__(self) -> str:
        return f"RemoteFile({str(self)!r})"


def is_url(text: str) -> bool:
    """Whether ``text`` is meant as a URL."""
    return text.strip().lower().startswith(("https://", "http://"))


def parse_url(text: str) -> RemoteFile:
    """Raises ``ConfigError`` for a URL without its SHA-256."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        shown = text.partition("?")[0].partition("#")[0]
        raise ConfigError(
            f"a model's URL must end in #sha256=<64 hex digits>, so that nobody can exchange it: "
            f"{shown}; sha256sum tells the number"
        )
    return RemoteFile(found[1], found[2].lower())
