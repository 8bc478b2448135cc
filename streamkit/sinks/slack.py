"""Posts events to a chat: the incoming webhooks of Slack, Mattermost and Discord."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import orjson

from streamkit.credentials import KINDS
from streamkit.errors import ConfigError
from streamkit.outbox.base import Message
from streamkit.outbox.options import OutboxGiven
from streamkit.outbox.posting import Poster, Target
from streamkit.outbox.reach import Reach
from streamkit.sinks.networked import Networked
from streamkit.sinks.placeholders import Placeholders
from streamkit.sinks.secure import tls_context

Style: TypeAlias = Literal["slack", "mattermost", "discord"]

TEXT: Final = "*${event.kind}* at *${event.key}*: ${event.data}"
_ROOM: Final[Mapping[Style, int]] = {"slack": 3000, "mattermost": 16_383, "discord": 2000}
"""Characters of a text: of a block of Slack's, a post of Mattermost's, a message of Discord's."""
_MARKS: Final = re.compile(r"([\\*_~`|#\[\]()>-])")


class SlackDestination:
    """One channel."""

    batch = 1

    def __init__(self, poster: Poster, text: Placeholders, style: Style) -> None:
        self._poster, self._text, self._style = poster, text, style

    def send(self, messages: Sequence[Message]) -> None:
        """One POST each."""
        for message in messages:
            body = orjson.dumps(self._payload(message))
            self._poster.post(body, {"Content-Type": "application/json"})

    def _payload(self, message: Message) -> dict[str, Any]:
        event = orjson.loads(message.body)
        text = self._text.text(event, _ESCAPES[self._style])[: _ROOM[self._style]]
        about = _ESCAPES[self._style](f"{message.stream}, {event['at']}")
        return _PAYLOADS[self._style](text, about)

    def close(self) -> None:
        """End it; a ``send`` under way fails at once."""
        self._poster.close()


class SlackSink(Networked):
    """One message per event in a channel. The address is a secret and is shown nowhere."""

    def __init__(  # noqa: PLR0913 - the options
        self,
        url: str,
        *,
        style: Style = "slack",
        text: str = TEXT,
        allow_private: bool = False,
        allow: Sequence[str] = (),
        ca_file: str | Path | None = None,
        timeout: float = 10.0,
        name: str | None = None,
        kinds: Sequence[str] = (),
        outbox: OutboxGiven = None,
    ) -> None:
        """``url`` says where the address is kept: ``env:SLACK_URL``, ``file:PATH``. ``style``:
        whose JSON is sent. ``text`` has places like ``${event.key}``; what they stand for is
        escaped. The rest as for ``webhook``.

        Raises ``ConfigError``; ``OutboxError`` where there is no outbox to be had.
        """
        if url.partition(":")[0] not in KINDS:
            raise ConfigError("url: a chat's address is a secret; keep it, and say env:NAME")
        target = Target(url, secret=True)
        context = tls_context(ca_file, None, None)
        reach = Reach.of(allow_private, allow)
        poster = Poster(target, reach=reach, timeout=timeout, context=context)
        super().__init__(
            SlackDestination(poster, Placeholders(text, "text"), style),
            name=name or f"{style} {target}",
            same=(url, style, text, allow_private, tuple(allow), ca_file, timeout),
            kinds=kinds,
            outbox=outbox,
        )


def _for_slack(value: str) -> str:
    """No mention and no link can be made of it (Slack, "Formatting text: Escaping text")."""
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _for_markdown(value: str) -> str:
    return _MARKS.sub(r"\\\1", value).replace("@", "@\u200b").replace("<", "&lt;")


def _slack(text: str, about: str) -> dict[str, Any]:
    return {
        "text": text,
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": text}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": about}]},
        ],
    }


def _mattermost(text: str, about: str) -> dict[str, Any]:
    return {"text": f"{text}\n_{about}_"}


def _discord(text: str, about: str) -> dict[str, Any]:
    return {
        "content": text,
        "embeds": [{"footer": {"text": about}}],
        "allowed_mentions": {"parse": []},
    }


_ESCAPES: Final[Mapping[Style, Callable[[str], str]]] = {
    "slack": _for_slack,
    "mattermost": _for_markdown,
    "discord": _for_markdown,
}
_PAYLOADS: Final[Mapping[Style, Callable[[str, str], dict[str, Any]]]] = {
    "slack": _slack,
    "mattermost": _mattermost,
    "discord": _discord,
}
