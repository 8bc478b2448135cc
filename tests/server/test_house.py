"""What the document of a request cannot reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamkit.errors import ConfigError
from streamkit.server.strangers import House

LIVE: dict[str, Any] = {"sources": ["synthetic:fps=20"], "model": "street/1"}


@pytest.fixture
def house(tmp_path: Path) -> House:
    (tmp_path / "media").mkdir()
    return House(tmp_path / "out", tmp_path / "media")


def of(reference: str, **options: Any) -> dict[str, Any]:
    return {**LIVE, "sources": [{"reference": reference, **options}]}


@pytest.mark.parametrize(
    "document",
    [
        {**LIVE, "sinks": [{"callback": {"function": "os:abort"}}]},
        {**LIVE, "sinks": [{"wall": {"to": "os:abort"}}]},
        {**LIVE, "sinks": [{"wall": {"to": "callback", "function": "os:abort"}}]},
        {**LIVE, "sinks": ["window"]},
        {**LIVE, "sinks": [{"jsonl": {"path": "~/x.jsonl"}}]},
        {**LIVE, "sinks": [{"jsonl": {"path": "a:x.jsonl"}}]},
        {**LIVE, "sinks": [{"jsonl": {"path": "a\0b"}}]},
        {**LIVE, "sinks": [{"wall": {"path": "~/x.mp4"}}]},
        {**LIVE, "sinks": [{"webhook": {"url": "https://a.b/", "outbox": "a:o.db"}}]},
        {**LIVE, "sinks": [{"webhook": {"url": "https://a.b/", "outbox": {"path": "~/o.db"}}}]},
        {**LIVE, "stages": [{"evidence": {"folder": "ev", "clip": "~/x"}}]},
        {**LIVE, "model": "/x.onnx", "models": {"/x.onnx": {"id": "/x.onnx"}}},
        {**LIVE, "stages": [{"cascade": {"model": "../x.onnx"}}]},
        {**LIVE, "stream": {"model": {"id": "/x.onnx"}}},
        of("FILE:///etc/passwd"),
        of("concat:file:///etc/passwd|x"),
        of("rtsps://c/1", ca_file="/etc/shadow"),
        of("rtsp://c/1", substream="rtsp://169.254.169.254/2"),
        of("http://2852039166/x"),
        of("http://0xA9FEA9FE/x"),
        of("http://0251.0376.0251.0376/x"),
        of("http://[::ffff:169.254.169.254]/x"),
        of("http://[fd00:ec2::254]/x"),
        of("http://metadata.google.internal/x"),
        of("rtsp://a:pa/ss@169.254.169.254/1"),
        of("rtsp://[x/1"),
        {**LIVE, "sources": ["synthetic:fps=20"] * 300},
        of("synthetic:width=100000,height=100000"),
        of("synthetic:fps=5", width=100000, height=100000),
        of("synthetic:width=9000000"),
        of("TestPatternStreamProducer", height=100000),
        of("http://" + "@" * 200_000 + "x/1"),
    ],
)
def test_a_request_does_not_reach_it(house: House, document: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as told:
        house.admit(document)
    assert str(house.outputs) not in str(told.value)


def test_cameras_are_those_that_are_known_however_their_address_is_written() -> None:
    house = House(Path("out"), cameras=("door.local",))
    house.admit(of("rtsp://user:p@ss@door.local/1", substream="rtsp://door.local/2"))
    for document in (
        of("rtsp://door.local:p/w@other/1"),
        of("rtsp://door.local/1", substream="rtsp://other/2"),
        {**of("rtsp://door.local/1"), "stream": {"substream": "rtsp://other/2"}},
    ):
        with pytest.raises(ConfigError, match="other"):
            house.admit(document)


def test_what_is_written_lies_in_the_house(house: House) -> None:
    step = {"jsonl": {"path": "x.jsonl"}}
    document = {**of("synthetic:fps=2", sinks=[step]), "sinks": [{"wall": {"path": "w.mp4"}}]}
    admitted = house.admit(document)
    sinks = [*admitted.sinks, *(admitted.sources[0].sinks or ())]
    for sink in sinks:
        assert Path(sink.options["path"]).is_relative_to(house.outputs)


def test_a_folder_among_what_was_written_is_no_model(house: House) -> None:
    (house.outputs / "street" / "1").mkdir(parents=True)
    (house.outputs / "kinds" / "1").mkdir(parents=True)
    admitted = house.admit({**LIVE, "stages": [{"cascade": {"model": "kinds/1"}}]})
    assert admitted.model.id == "street/1"
    assert admitted.stages[0].options["model"] == "kinds/1"


def test_a_name_of_the_document_stands_for_its_model(house: House) -> None:
    assert house.admit({**LIVE, "models": {"big": "street/1"}, "model": "big"}).model.id == "big"
