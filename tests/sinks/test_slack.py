"""Chats: the JSON each of them wants, nothing that an event says can ring a bell, no address."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streamkit.errors import ConfigError
from streamkit.events import Event
from streamkit.predictions import Result
from streamkit.sinks import SlackSink
from streamkit.sinks.slack import Style
from tests.fakes import until
from tests.outbox.receiver import Receiver, receiver, status
from tests.sinks.making import START, result

AT = "2026-03-29T00:59:59.900000Z"


def seen(key: str = "door") -> Result:
    made = result(1)
    made.events = (Event("line.in", 0, key, START, 1, source="entrance", data={"class": "car"}),)
    return made


def sink(there: Receiver, folder: Path, **more: Any) -> Any:
    kept = folder / "url"
    kept.write_text(f"{there.url}/T00/B00/geheim")
    kept.chmod(0o600)
    where = {"path": str(folder / "box.sqlite"), "first_wait": 0.001, "longest_wait": 0.01}
    return closing(SlackSink(f"file:{kept}", allow_private=True, outbox=where, **more))


def test_slack_gets_text_and_blocks(tmp_path: Path) -> None:
    with receiver() as there, sink(there, tmp_path) as chat:
        chat.write(seen())
        there.await_taken(1)
    text = '*line.in* at *door*: {"class":"car"}'
    assert there.taken[0].path == "/hook/T00/B00/geheim"
    assert there.taken[0].json == {
        "text": text,
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": text}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": f"entrance, {AT}"}]},
        ],
    }


def test_mattermost_gets_text(tmp_path: Path) -> None:
    text = "${event.kind} at ${event.key}"
    with receiver() as there, sink(there, tmp_path, style="mattermost", text=text) as chat:
        chat.write(seen())
        there.await_taken(1)
    said = there.taken[0].json["text"]
    assert said.splitlines()[0] == "line.in at door"
    assert "entrance" in said


def test_discord_gets_content_and_mentions_nobody(tmp_path: Path) -> None:
    with receiver() as there, sink(there, tmp_path, style="discord") as chat:
        there.faults.append(status(429, retry_after="0.3"))
        chat.write(seen())
        there.await_taken(1)
    assert there.taken[0].json["allowed_mentions"] == {"parse": []}
    assert "line.in" in there.taken[0].json["content"]


@pytest.mark.parametrize("style", ["slack", "mattermost", "discord"])
def test_what_an_event_says_is_text_and_no_markup(tmp_path: Path, style: Style) -> None:
    evil = "<!channel> @everyone <https://x.example|click> *bold*" + "x" * 30_000
    with receiver() as there, sink(there, tmp_path, style=style, text="${event.key}") as chat:
        made = seen()
        made.events = tuple(replace(event, key=evil) for event in made.events)
        chat.write(made)
        there.await_taken(1)
    said = there.taken[0].json
    text = said.get("text") or said["content"]
    assert "<!channel>" not in text
    assert "<https" not in text
    assert len(text) < 17_000
    if style != "slack":
        assert "@everyone" not in text


def test_a_text_of_one_place_is_json_and_no_markup_either(tmp_path: Path) -> None:
    with receiver() as there, sink(there, tmp_path, text="${event.data}") as chat:
        made = seen()
        evil = {"class": "<!channel>", "none": None}
        made.events = tuple(replace(event, data=evil) for event in made.events)
        chat.write(made)
        there.await_taken(1)
    assert there.taken[0].json["text"] == '{"class":"&lt;!channel&gt;","none":null}'


def test_the_address_is_shown_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with receiver() as there, sink(there, tmp_path) as chat:
        there.faults.extend([status(500), status(404)])
        chat.write(seen())
        until(lambda: chat.stats()["outbox"]["dead"] == 1)
        shown = [repr(vars(chat)), str(chat.stats()), caplog.text]
    database = (tmp_path / "box.sqlite").read_bytes()
    for text in [*shown, caplog.text, database.decode(errors="replace")]:
        assert "geheim" not in text


def test_an_address_in_plain_is_refused_without_showing_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="say env:NAME") as caught:
        SlackSink("https://hooks.slack.example/geheim", outbox=tmp_path / "b")
    assert "geheim" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"no place \$\{event.when\}"):
        SlackSink("literal:https://hooks.example/x", text="${event.when}", outbox=tmp_path / "b")
