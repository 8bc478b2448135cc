"""Events and what shows them in a bucket: a real S3 protocol over HTTP, moto's server."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from streamkit.errors import ConfigError, DeliveryFailedError, SinkError
from streamkit.events import Evidence
from streamkit.outbox.base import Destination
from streamkit.sinks import S3Sink, open_sink
from streamkit.sinks.s3 import Bucket, S3Destination
from tests.fakes import until
from tests.needs import needs_package
from tests.processes import process
from tests.sinks.happenings import event, message, seen


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    needs_package("moto")
    needs_package("obstore")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with process(command, stderr=subprocess.PIPE) as server:
        assert server.stderr is not None
        found = None
        while found is None:
            line = server.stderr.readline()
            assert line, "moto ended"
            found = re.search(r"Running on (http://\S+)", line)
        drained = threading.Thread(target=server.stderr.read)
        drained.start()
        yield found[1]
        server.terminate()
        drained.join()


@pytest.fixture
def bucket(endpoint: str, request: pytest.FixtureRequest) -> Bucket:
    """An empty bucket of this test's own."""
    name = re.sub(r"[^a-z]+", "-", request.node.name.lower())[:60].strip("-")
    assert httpx.put(f"{endpoint}/{name}").is_success
    return Bucket(name, "alerts", endpoint, None, "an-id", "a-hidden-secret", 5.0)


def stored(bucket: Bucket) -> dict[str, bytes]:
    """Everything in it."""
    store = bucket.open()
    found = [item["path"] for batch in store.list() for item in batch]
    return {path: bytes(store.get(path).bytes()) for path in found}


def evidence(folder: Path, kind: Any, name: str, data: bytes, **more: Any) -> Evidence:
    path = folder / name
    path.write_bytes(data)
    seal = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return Evidence(kind, str(path), kind, **{**seal, **more})


def test_an_event_lies_beside_its_pictures(bucket: Bucket, tmp_path: Path) -> None:
    shown = (
        evidence(tmp_path, "snapshot", "1.jpg", b"whole"),
        evidence(tmp_path, "crop", "2.jpg", b"part"),
        evidence(tmp_path, "crop", "3.jpg", b"other part", size=None),
        Evidence("crop", None, "object", error="no room"),
        evidence(tmp_path, "clip", "later.mp4", b"unfinished", size=None),
    )
    happened = event(1, source="yard/north", evidence=shown)
    to = S3Destination(bucket)
    assert isinstance(to, Destination)
    to.send([message(happened)])
    to.close()

    stem = f"alerts/2026-03-29/yard_north/{happened.idempotency_key}"
    there = stored(bucket)
    told = json.loads(there.pop(f"{stem}.json"))
    assert there == {
        f"{stem}.jpg": b"whole",
        f"{stem}-crop.jpg": b"part",
        f"{stem}-crop-2.jpg": b"other part",
    }
    keys = [each.pop("key") for each in told["evidence"]]
    clip = f"alerts/clips/yard_north/{happened.id}.mp4"
    assert keys == [f"{stem}.jpg", f"{stem}-crop.jpg", f"{stem}-crop-2.jpg", None, clip]
    assert told == happened.dict()
    answer = httpx.head(f"{bucket.endpoint}/{bucket.name}/{stem}.jpg")
    assert answer.headers["content-type"] == "image/jpeg"


def test_a_clip_follows_when_it_is_whole_and_holds_up_nobody(
    bucket: Bucket, tmp_path: Path
) -> None:
    sink = sink_of(bucket, tmp_path)
    place, long = tmp_path / "clip.mp4", bytes(range(256)) * 50_000
    clip = (Evidence("clip", str(place), "clip"),)
    start = event(1, phase="start", evidence=clip)
    sink.write(seen(start, event(2, id=start.id, phase="end", evidence=clip)))
    sink.write(seen(event(3, evidence=(Evidence("clip", str(tmp_path / "never.mp4")),))))
    until(lambda: sum(key.endswith(".json") for key in stored(bucket)) == 3)
    until(lambda: "waits for" in str(sink.stats()["outbox"]["reason"]))
    (tmp_path / "part").write_bytes(long)
    (tmp_path / "part").rename(place)
    until(lambda: sink.stats()["outbox"]["waiting"] == 0)
    sink.close()
    (key,) = [key for key in stored(bucket) if key.endswith(".mp4")]
    assert key == f"alerts/clips/entrance/{start.id}.mp4"
    assert stored(bucket)[key] == long


def test_the_end_of_what_happened_over_midnight_tells_where_its_clip_is(
    bucket: Bucket, tmp_path: Path
) -> None:
    sink, clip = sink_of(bucket, tmp_path), evidence(tmp_path, "clip", "clip.mp4", b"moving")
    start = event(1, phase="start", evidence=(clip,))
    sink.write(seen(start, replace(start, phase="end", at=start.at + timedelta(days=1))))
    until(lambda: sink.stats()["outbox"]["waiting"] == 0)
    sink.close()
    there = stored(bucket)
    told = [json.loads(there[key]) for key in there if key.endswith(".json")]
    assert len({each["at"] for each in told}) == 2
    assert {there[each["evidence"][0]["key"]] for each in told} == {b"moving"}


def test_an_event_that_json_cannot_say_costs_the_others_no_clip(tmp_path: Path) -> None:
    sink = sink_of(Bucket("b", "", "http://127.0.0.1:9"), tmp_path)
    clip = Evidence("clip", str(tmp_path / "later.mp4"), "clip")
    with pytest.raises(SinkError):
        sink.write(seen(event(1, data={"big": 2**70}), event(2, evidence=(clip,))))
    assert sink.stats()["outbox"]["put"] == 2
    sink.close()


def sink_of(bucket: Bucket, folder: Path) -> S3Sink:
    return S3Sink(
        bucket.name,
        prefix=bucket.prefix,
        endpoint=bucket.endpoint,
        access_key_id="an-id",
        secret_access_key="a-hidden-secret",
        outbox={"path": str(folder / "outbox.sqlite"), "first_wait": 0.02, "longest_wait": 0.1},
    )


def test_once_more_changes_nothing_and_uploads_nothing_twice(
    bucket: Bucket, tmp_path: Path
) -> None:
    happened = message(event(1, evidence=(evidence(tmp_path, "snapshot", "1.jpg", b"whole"),)))
    S3Destination(bucket).send([happened])
    before = stored(bucket)
    written = bucket.open().head(next(key for key in before if key.endswith(".jpg")))
    S3Destination(bucket).send([happened])
    assert stored(bucket) == before
    again = bucket.open().head(next(key for key in before if key.endswith(".jpg")))
    assert again["last_modified"] == written["last_modified"]


def test_the_outbox_waits_for_the_bucket(endpoint: str, tmp_path: Path) -> None:
    sink = sink_of(Bucket("not-there-yet", "", endpoint), tmp_path)
    for number in (1, 2, 3):
        sink.write(seen(event(number)))
    until(lambda: "no such bucket" in str(sink.stats()["outbox"]["reason"]))
    assert httpx.put(f"{endpoint}/not-there-yet").is_success
    until(lambda: sink.stats()["outbox"]["waiting"] == 0)
    sink.close()
    assert len(stored(Bucket("not-there-yet", "", endpoint, None, "a", "b"))) == 3


def test_what_went_wrong_is_told_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_SECRET", "a-hidden-secret")
    nobody = Bucket("b", "", "http://127.0.0.1:9", None, "an-id", "env:S3_SECRET", 1.0)
    assert "hidden" not in repr(nobody)
    to = S3Destination(nobody)
    with pytest.raises(DeliveryFailedError, match="s3://b: not reached") as told:
        to.send([message(event(1)), message(event(2))])
    assert told.value.delivered == 0
    assert "an-id" not in str(told.value)
    to.close()
    with pytest.raises(DeliveryFailedError, match="closed"):
        to.send([message(event(1))])


def test_a_server_that_says_nothing_is_not_waited_for_longer_than_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"http://127.0.0.1:{silent.getsockname()[1]}"
        to = S3Destination(Bucket("b", "", place, None, "an-id", "a-hidden-secret", 1.0))
        began = time.monotonic()
        with pytest.raises(DeliveryFailedError, match="not reached"):
            to.send([message(event(1))])
        assert time.monotonic() - began < 10
        to.close()


class Hasty(S3Destination):
    """Closed when three pieces of a file are on their way."""

    def _pieces(self, path: Path) -> Iterator[bytes]:
        for number, piece in enumerate(super()._pieces(path)):
            if number == 3:
                self.close()
            yield piece


def test_closing_ends_an_upload_and_leaves_nothing_of_it(bucket: Bucket, tmp_path: Path) -> None:
    long = evidence(tmp_path, "snapshot", "long.png", bytes(20 << 20))
    with pytest.raises(DeliveryFailedError, match="closed"):
        Hasty(bucket).send([message(event(1, evidence=(long,)))])
    assert stored(bucket) == {}
    pending = httpx.get(f"{bucket.endpoint}/{bucket.name}?uploads")
    assert "<UploadId>" not in pending.text


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"bucket": ""}, "bucket"),
        ({"timeout": 0}, "timeout"),
        ({"access_key_id": "x"}, "give both"),
        (
            {"access_key_id": "x", "secret_access_key": "env:NOT_SET_AT_ALL"},
            "NOT_SET_AT_ALL is not set",
        ),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, Any], match: str) -> None:
    given = {"bucket": "b", "outbox": str(tmp_path / "outbox.sqlite"), **options}
    with pytest.raises(ConfigError, match=match):
        open_sink("s3", given)
