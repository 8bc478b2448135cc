"""Webhooks against a real receiver: signed, in order, whatever it answers, and quick to stop."""

from __future__ import annotations

import base64
import io
import logging
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from streamkit.errors import ConfigError, SinkError
from streamkit.events import Event, Evidence
from streamkit.outbox import new_secret, verify
from streamkit.outbox.archive import Selection, messages
from streamkit.outbox.store import State, Store
from streamkit.predictions import Result
from streamkit.sinks import WebhookSink
from streamkit.sinks.webhook import Letter
from tests.fakes import until
from tests.outbox.receiver import cut, dawdle, drip, half, hang, receiver, slow, status
from tests.sinks.happenings import event, message
from tests.sinks.making import START, result
from tests.sources.certificates import self_signed

QUICK = {"first_wait": 0.001, "longest_wait": 0.01}


def seen(*numbers: int, kind: str = "line.in", stream: str = "entrance") -> Result:
    """A result with an event for each number."""
    made = result(1)
    made.events = tuple(
        Event(kind, 0, "door", START, 1, source=stream, data={"n": n, "class": "car"})
        for n in numbers
    )
    return made


def sink(url: str, folder: Path, *, outbox: dict[str, Any] | None = None, **more: Any) -> Any:
    where = {"path": str(folder / "box.sqlite"), **QUICK, **(outbox or {})}
    return closing(WebhookSink(url, allow_private=True, outbox=where, **more))


def dead_letters(folder: Path) -> Sequence[dict[str, Any]]:
    with closing(Store(folder / "box.sqlite")) as store:
        return messages(store, Selection((State.DEAD,)), 99)


def test_an_event_arrives_in_its_wire_form_signed_with_its_key(tmp_path: Path) -> None:
    secret = new_secret()
    with receiver([secret]) as there, sink(there.url, tmp_path, secrets=secret) as hook:
        made = seen(1)
        hook.write(made)
        there.await_taken(1)
    (came,) = there.taken
    (event,) = made.events
    assert came.json == event.dict()
    assert came.headers["content-type"] == "application/json"
    assert came.headers["idempotency-key"] == came.headers["webhook-id"] == event.idempotency_key
    assert came.headers["user-agent"].startswith("streamkit/")
    assert verify(came.body, came.headers, secret) == event.idempotency_key


def test_two_live_keys_make_two_signatures(tmp_path: Path) -> None:
    old, new = new_secret(), new_secret()
    with receiver([old]) as there, sink(there.url, tmp_path, secrets=[new, old]) as hook:
        hook.write(seen(1))
        there.await_taken(1)
    assert len(there.taken[0].headers["webhook-signature"].split(" ")) == 2
    verify(there.taken[0].body, there.taken[0].headers, new)


def test_whatever_passes_is_sent_again_until_it_is_taken(tmp_path: Path) -> None:
    faults = [status(500), status(503), status(408), status(425), status(429, retry_after="0")]
    faults += [cut, half, status(302, location="http://127.0.0.1:1/")]
    with receiver() as there, sink(there.url, tmp_path) as hook:
        there.faults.extend(faults)
        for number in range(3):
            hook.write(seen(number))
        there.await_taken(3)
    assert [each.json["data"]["n"] for each in there.taken] == [0, 1, 2]
    assert len({each.id for each in there.came[: len(faults) + 1]}) == 1, "order within a stream"
    assert dead_letters(tmp_path) == []


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 413, 422])
def test_what_is_refused_is_a_dead_letter_at_once(tmp_path: Path, code: int) -> None:
    with receiver() as there, sink(there.url, tmp_path) as hook:
        there.faults.append(status(code))
        hook.write(seen(1))
        hook.write(seen(2))
        there.await_taken(1)
    assert [each.json["data"]["n"] for each in there.taken] == [2]
    (dead,) = dead_letters(tmp_path)
    assert dead["reason"] == f"{there.url}: HTTP {code}"


def test_a_machine_that_does_not_know_the_time_makes_no_dead_letters(tmp_path: Path) -> None:
    """Its signatures are refused until it does."""
    with receiver() as there, sink(there.url, tmp_path) as hook:
        there.faults.extend([status(401, date="Sun, 22 Nov 2099 10:00:00 GMT")] * 3)
        hook.write(seen(1))
        there.await_taken(1)
        assert hook.stats()["outbox"]["retried"] == 3
    assert dead_letters(tmp_path) == []


def test_tls_is_checked_by_name_and_authority(tmp_path: Path) -> None:
    mine = self_signed(tmp_path / "tls")
    with receiver(tls=mine.file) as there:
        with sink(there.url, tmp_path, ca_file=mine.authority) as hook:
            hook.write(seen(1))
            there.await_taken(1)
        with sink(there.url, tmp_path, name="stranger") as hook:
            hook.write(seen(2))
            until(lambda: hook.stats()["outbox"]["retried"] > 0)
            assert "certificate" in hook.stats()["outbox"]["reason"]
    assert len(there.taken) == 1


def test_what_is_no_text_costs_no_event(tmp_path: Path) -> None:
    with receiver() as there, sink(there.url, tmp_path) as hook:
        made = seen(1, 2, 3, stream="cam\udcff.mp4")
        one, two, three = made.events
        made.events = (one, replace(two, data={"what": object()}), three)
        with pytest.raises(SinkError, match="no JSON form"):
            hook.write(made)
        there.await_taken(2)
    assert [each.json["data"]["n"] for each in there.taken] == [1, 3]
    assert there.taken[0].json["source"] == "cam?.mp4"


def test_redirects_are_not_followed(tmp_path: Path) -> None:
    with receiver() as there, receiver() as elsewhere, sink(there.url, tmp_path) as hook:
        there.choose = lambda: status(307, location=elsewhere.url)
        hook.write(seen(1))
        there.await_came(3)
        assert "redirects are not followed" in hook.stats()["outbox"]["reason"]
    assert elsewhere.came == []


def test_retry_after_is_honoured(tmp_path: Path) -> None:
    with receiver() as there, sink(there.url, tmp_path) as hook:
        there.faults.append(status(429, retry_after="1"))
        began = time.monotonic()
        hook.write(seen(1))
        there.await_taken(1)
        assert time.monotonic() - began > 0.9


@pytest.mark.parametrize("fault", [hang, drip, slow(0.1)])
def test_a_stop_takes_no_longer_whatever_the_receiver_does(tmp_path: Path, fault: Any) -> None:
    with receiver() as there:
        with sink(there.url, tmp_path) as hook:
            there.faults.append(fault)
            hook.write(seen(1))
            there.await_came(1)
            began = time.monotonic()
        assert time.monotonic() - began < 4.0
        with sink(there.url, tmp_path):
            there.await_taken(1)


def test_a_receiver_that_drips_is_given_up_in_time(tmp_path: Path) -> None:
    with receiver() as there, sink(there.url, tmp_path, timeout=0.3) as hook:
        there.faults.append(drip)
        hook.write(seen(1))
        there.await_taken(1, timeout=5)
        assert there.taken[0].id == there.came[0].id


def test_what_was_said_to_be_taken_is_not_sent_again_however_long_that_goes_on(
    tmp_path: Path,
) -> None:
    with receiver() as there, sink(there.url, tmp_path, timeout=0.3) as hook:
        there.faults.append(dawdle)
        hook.write(seen(1))
        until(lambda: hook.stats()["outbox"]["waiting"] == 0)
        assert hook.stats()["outbox"]["retried"] == 0
    assert len(there.came) == 1


def test_a_letter_that_is_no_batch_is_about_one_event() -> None:
    with pytest.raises(ValueError, match="2 messages"):
        Letter().write([message(event(1)), message(event(2))])


def test_a_batch_is_an_array_with_one_signature(tmp_path: Path) -> None:
    secret = new_secret()
    given: dict[str, Any] = {"secrets": secret, "batch": 3, "batch_wait": 0.5}
    with receiver([secret]) as there, sink(there.url, tmp_path, **given) as hook:
        there.faults.append(status(500))
        for number in range(7):
            hook.write(seen(number))
        there.await_taken(3)
    numbers = [[event["data"]["n"] for event in each.json] for each in there.taken]
    assert numbers == [[0, 1, 2], [3, 4, 5], [6]]
    assert there.came[0].id == there.taken[0].id, "the same at both attempts"


def test_the_body_may_be_of_another_shape(tmp_path: Path) -> None:
    body = {
        "title": "${event.kind} at ${event.key}",
        "count": "${event.data.n}",
        "missing": "${event.data.nothing}",
        "all": "${event.data}",
        "price": "$$5",
        "list": [1, True, None, "${event.evidence.0.path}"],
    }
    with receiver() as there, sink(there.url, tmp_path, body=body) as hook:
        hook.write(seen(7))
        there.await_taken(1)
    assert there.taken[0].json == {
        "title": "line.in at door",
        "count": 7,
        "missing": None,
        "all": {"n": 7, "class": "car"},
        "price": "$5",
        "list": [1, True, None, None],
    }


def test_or_a_text(tmp_path: Path) -> None:
    with receiver() as there, sink(there.url, tmp_path, body="${event.kind}: ${event.data}") as one:
        one.write(seen(7))
        there.await_taken(1)
    assert there.taken[0].body == b'line.in: {"n":7,"class":"car"}'
    assert there.taken[0].headers["content-type"] == "text/plain; charset=utf-8"


def test_a_text_stays_one_where_it_is_but_one_place(tmp_path: Path) -> None:
    for number, (body, said) in enumerate(
        [("${event.data}", b'{"n":7,"class":"car"}'), ("${event.clock}", b"")]
    ):
        with receiver() as there, sink(there.url, tmp_path, name=f"{number}", body=body) as hook:
            hook.write(seen(7))
            there.await_taken(1)
        assert there.taken[0].body == said


def test_values_cannot_break_out_of_the_json(tmp_path: Path) -> None:
    evil = '", "admin": true, "x": "${event.id}'
    with receiver() as there, sink(there.url, tmp_path, body={"at": "<${event.key}>"}) as hook:
        made = seen(1)
        made.events = tuple(replace(event, key=evil) for event in made.events)
        hook.write(made)
        there.await_taken(1)
    assert there.taken[0].json == {"at": f"<{evil}>"}


def test_the_picture_can_be_sent_along(tmp_path: Path) -> None:
    with receiver() as there, sink(there.url, tmp_path, evidence="snapshot") as hook:
        hook.write(seen(1))
        own = seen(2)
        kept = tmp_path / "kept.png"
        Image.new("RGB", (20, 10)).save(kept)
        shown = Evidence("snapshot", str(kept), "frame", size=kept.stat().st_size)
        own.events = tuple(replace(event, evidence=(shown,)) for event in own.events)
        hook.write(own)
        there.await_taken(2)
    pictures = []
    for each in there.taken:
        (found,) = each.json["embedded"]
        data = base64.b64decode(found["data"])
        pictures.append((found["media_type"], Image.open(io.BytesIO(data)).size))
    assert pictures == [("image/jpeg", (320, 240)), ("image/png", (20, 10))]


def test_only_the_kinds_that_are_meant_are_sent(tmp_path: Path) -> None:
    with receiver() as there, sink(there.url, tmp_path, kinds=["zone.*"]) as hook:
        hook.write(seen(1))
        hook.write(seen(2, kind="zone.enter"))
        there.await_taken(1)
    assert [each.json["kind"] for each in there.taken] == ["zone.enter"]


def test_no_secret_is_in_any_log_repr_error_or_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret, token = new_secret(), "geheim-in-header"
    monkeypatch.setenv("HOOK_SECRET", secret)
    monkeypatch.setenv("HOOK_TOKEN", token)
    caplog.set_level(logging.DEBUG)
    with receiver([secret]) as there:
        url = f"{there.url}/geheim-in-path?key=geheim-in-query"
        monkeypatch.setenv("HOOK_URL", url)
        given: dict[str, Any] = {"secrets": ["env:HOOK_SECRET"]}
        given |= {"headers": {"Authorization": "env:HOOK_TOKEN"}}
        with sink("env:HOOK_URL", tmp_path, **given) as hook:
            there.faults.extend([status(500), cut, status(404)])
            hook.write(seen(1, 2))
            there.await_taken(1)
            until(lambda: hook.stats()["outbox"]["waiting"] == 0)
            shown = [repr(hook), repr(vars(hook)), str(hook.stats()), caplog.text]
        monkeypatch.delenv("HOOK_URL")
        with pytest.raises(ConfigError) as caught, sink("env:HOOK_URL", tmp_path, **given):
            pass
        shown += [str(caught.value), caplog.text]
    assert there.taken[0].headers["authorization"] == token
    assert there.taken[0].path.endswith("?key=geheim-in-query")
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for text in [*shown, kept.decode(errors="replace")]:
        assert "geheim" not in text
        assert secret not in text
        assert secret.removeprefix("whsec_") not in text


def test_a_secret_that_changes_counts_from_the_next_attempt_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = new_secret(), new_secret()
    monkeypatch.setenv("HOOK_SECRET", old)
    with receiver([new]) as there, sink(there.url, tmp_path, secrets="env:HOOK_SECRET") as hook:
        hook.write(seen(1))
        until(lambda: hook.stats()["outbox"]["retried"] > 0)
        monkeypatch.setenv("HOOK_SECRET", new)
        there.await_taken(1)


def test_a_secret_that_no_header_can_say_is_told_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_TOKEN", "fine")
    given = {"headers": {"Authorization": "env:HOOK_TOKEN"}}
    with receiver() as there, sink(there.url, tmp_path, **given) as hook:
        monkeypatch.setenv("HOOK_TOKEN", "geheim-in-Zürich")
        hook.write(seen(1))
        until(lambda: hook.stats()["outbox"]["retried"] > 0)
        reason = hook.stats()["outbox"]["reason"]
        assert "'Authorization'" in reason
        assert "geheim" not in reason
        monkeypatch.setenv("HOOK_TOKEN", "fine again")
        there.await_taken(1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"secrets": "whsec_short"}, "24 to 64 random bytes"),
        ({"secrets": [new_secret()] * 3}, "one, or two"),
        ({"secrets": "env:NO_SUCH"}, "NO_SUCH is not set"),
        ({"headers": {"Webhook-Id": "x"}}, "cannot be set"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "printable ASCII"),
        ({"headers": {"X-Site": "Zürich"}}, "'X-Site' is set to: only printable ASCII"),
        ({"headers": {"X-Site": " a"}}, "no spaces around"),
        ({"content_type": "text/plain\n"}, "content_type: only printable ASCII"),
        ({"headers": {"X A": "a"}}, "cannot be set"),
        ({"body": {"a": "${event.kin}"}}, r"no place \$\{event.kin\} \(did you mean 'kind'"),
        ({"body": {"a": "${__import__('os')}"}}, "no place"),
        ({"batch": 0}, "1 to 1000"),
        ({"batch": 2, "body": "text"}, "batch"),
        ({"timeout": 0}, "timeout=0"),
        ({"ca_file": "/no/such.pem"}, "ca_file"),
        ({"kinds": "zone.enter"}, "list"),
    ],
)
def test_wrong_options_explain_themselves(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        WebhookSink("http://127.0.0.1:9/", allow_private=True, outbox=tmp_path / "b", **options)
    assert not (tmp_path / "b").exists()


def test_a_private_address_has_to_be_allowed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="allow_private"):
        WebhookSink("http://127.0.0.1:9/", outbox=tmp_path / "b")
    with receiver() as there:
        allowed = WebhookSink(there.url, allow=["127.0.0.0/8"], outbox=tmp_path / "b")
        with closing(allowed):
            allowed.write(seen(1))
            there.await_taken(1)
