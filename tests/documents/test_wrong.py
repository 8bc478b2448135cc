"""Forty wrong documents: a line for each mistake, with its place and the choices."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from streamkit.documents.check import problems_of
from streamkit.documents.places import refuse
from streamkit.errors import DocumentError
from streamkit.spec import PipelineSpec

ROOT = Path(__file__).resolve().parents[2]
HEAD = "sources: [{reference: clip.mp4, name: door}]\nmodel: model/1\n"
RTSP = "model: model/1\nsources:\n  - reference: rtsp://user:geheim@camera/live\n    name: door\n"
STEPS = HEAD + "stages:\n  - "
SINKS = HEAD + "sinks:\n  - "


class Wrong(NamedTuple):
    text: str
    told: tuple[str, ...]
    """For each line that is told: how it begins after the name of the document, then what else is
    in it, with … between."""


WRONG = {
    "not YAML": Wrong("sources: [a\nmodel: b", ("2:6: not YAML: ",)),
    "a tab": Wrong("sources:\n\t- a\nmodel: b", ("2:1: not YAML: ",)),
    "a list": Wrong("- a\n- b", ("1:1: expected a mapping with sources, model, stages, sinks",)),
    "nothing": Wrong("# nothing", ("expected a mapping with",)),
    "a tag": Wrong(HEAD + "stages: !!python/name:os.system [a]", ("3:9: a tag: give plain",)),
    "a key twice": Wrong(
        HEAD + "max_fps: 5\nmodel: other/2",
        ("4:1: model: stands here a second time, after line 2, column 1",),
    ),
    "a key of a step twice": Wrong(
        STEPS + "track: {rate: 5, rate: 6}",
        ("4:22: …rate: stands here a second time, after line 4",),
    ),
    "another version": Wrong("version: 2\n" + HEAD, ("1:1: version=2: Input should be 1",)),
    "no sources": Wrong("model: model/1", ("1:1: sources: it has to be given",)),
    "no model": Wrong("sources: [clip.mp4]", ("1:1: model: it has to be given",)),
    "an unknown key": Wrong(
        HEAD + "stagse: [track]",
        ("3:1: stagse: unknown key (did you mean 'stages'?); known: version",),
    ),
    "an unknown key of the model": Wrong(
        "sources: [clip.mp4]\nmodel: {id: model/1, confidense: 0.4}",
        ("2:22: model.confidense: unknown key (did you mean 'confidence'?); known: ",),
    ),
    "a value out of range": Wrong(
        "sources: [clip.mp4]\nmodel: {id: model/1, confidence: 1.4}",
        ("2:22: model.confidence=1.4: Input should be less than or equal to 1",),
    ),
    "a word for a number": Wrong(
        HEAD + "max_fps: fast", ("3:1: max_fps='fast': Input should be a valid number",)
    ),
    "a choice": Wrong(
        HEAD + "profile: turbo", ("3:1: profile='turbo': Input should be 'default' or 'low-power'",)
    ),
    "a corner with one number": Wrong(
        STEPS + "track\n  - zone: {polygon: [[1, 2], [3], [4, 5]]}",
        ("5:12: stages.1.zone.polygon: [1][1]: a value is missing",),
    ),
    "an option that an outbox does not take": Wrong(
        SINKS + "webhook: {url: 'https://a.example/', outbox: {pth: a}}",
        ("4:42: sinks.0.webhook.outbox: 'outbox' takes no option 'pth' (did you mean 'path'?)",),
    ),
    "a variable that is not set": Wrong(
        SINKS + "jsonl: {path: '${NOT_SET_ANYWHERE}/a'}",
        ("4:13: …: the variable NOT_SET_ANYWHERE is not set: …--set NOT_SET_ANYWHERE=",),
    ),
    "a variable that is none": Wrong(
        SINKS + "jsonl: {path: '${2nd}/a'}", ("4:13: …: '${2nd}' is no variable: write",)
    ),
    "a source that nobody reads": Wrong(
        "model: model/1\nsources:\n  - gopher://camera/1",
        ("3:5: …gopher:// is no address…rtsp://",),
    ),
    "a file that is not there": Wrong(
        "model: model/1\nsources:\n  - nothing.mp4",
        ("3:5: sources.0…: no such file: …nothing.mp4",),
    ),
    "two sources of one name": Wrong(
        HEAD.replace("}]", "}, {reference: clip.mp4, name: door}]"),
        ("1:68: sources.1.name: 'door' is already the name of sources.0",),
    ),
    "an unknown option of a source": Wrong(
        RTSP + "    transprt: udp", ("5:5: …'transprt' (did you mean 'transport'?);…max_fps",)
    ),
    "three wrong options of a source": Wrong(
        RTSP + "    transport: pigeon\n    open_timeout: long\n    priority: high",
        (
            "5:5: sources.0.transport: …transport is one of tcp, udp",
            "6:5: sources.0.open_timeout: …number",
            "7:5: sources.0.priority: …integer",
        ),
    ),
    "a missing secret": Wrong(
        RTSP.replace("user:geheim@", "") + "    username: env:NOT_SET_ANYWHERE\n    password: x",
        ("5:5: sources.0.username: …variable NOT_SET_ANYWHERE is not set",),
    ),
    "a model that is not there": Wrong(
        "sources: [clip.mp4]\nmodel: ./nowhere", ("2:1: model.id: no such model: …nowhere",)
    ),
    "a name of a model": Wrong(
        "sources:\n  - {reference: clip.mp4, model: smal}\nmodel: big\n"
        "models: {big: model/1, small: model/1}",
        ("2:27: sources.0.model.id: unknown model 'smal' (did you mean 'small'?); models: big",),
    ),
    "an unknown stage": Wrong(
        STEPS + "trakc", ("4:5: stages.0: …'trakc' (did you mean 'track'?)",)
    ),
    "an unknown sink": Wrong(
        SINKS + "vidoe", ("4:5: sinks.0: unknown name 'vidoe' (did you mean",)
    ),
    "two names in one step": Wrong(
        SINKS + "{video: {path: a.mp4}, jsonl: {path: b}}",
        ("4:5: sinks.0: give one name with its",),
    ),
    "options that are none": Wrong(
        SINKS + "video: out.mp4", ("4:5: sinks.0.options: give its options by name",)
    ),
    "an unknown option of a stage": Wrong(
        STEPS + "select: {class: [car]}",
        ("4:14: …class: …no such option (did you mean 'classes'?); it takes: classes",),
    ),
    "a value of a stage": Wrong(
        STEPS + "track: {algorithm: sortt}", ("4:13: …algorithm='sortt': …'bytetrack', 'ocsort'",)
    ),
    "what a constructor refuses": Wrong(
        STEPS + "track\n  - line: {start: [5, 5], end: [5, 5]}",
        ("5:12: stages.1.line.start: start and end",),
    ),
    "a missing option": Wrong(
        SINKS + "video", ("4:5: sinks.0: 'video' is missing a required option: 'path'; it takes",)
    ),
    "wrong options of a sink": Wrong(
        SINKS + "video: {path: a.mp4, crf: high, size: 5}",
        ("4:26: …crf='high': …integer", "4:37: …size=5: "),
    ),
    "what a sink refuses": Wrong(
        SINKS + "video: {path: made/a.mp4, fps: -3}\n  - udp: {ip_address: 127.0.0.1, port: 99999}",
        (
            "4:31: sinks.0.video.fps: fps must be above 0",
            "5:34: sinks.1.udp.port: port=99999: give",
        ),
    ),
    "what a sink that sends refuses": Wrong(
        SINKS + "mqtt: {host: localhost, topic: 'a/#', outbox: made/outbox}",
        ("4:29: sinks.0.mqtt.topic: topic='a/#': ",),
    ),
    "a secret of a sink that is missing": Wrong(
        SINKS + "webhook: {url: 'env:NOT_SET_ANYWHERE'}",
        ("4:5: sinks.0: …NOT_SET_ANYWHERE is not set",),
    ),
    "objects that nobody tracks": Wrong(
        STEPS + "line: {start: [0, 0], end: [9, 9]}\n  - track",
        ("4:5: stages.0: 'line' follows objects through time: put a 'track' step before it",),
    ),
    "a stage for nobody": Wrong(
        STEPS + "{track: {}, for: [dor]}",
        ("4:17: stages.0.for: no source is called 'dor' (did you mean 'door'?); names: door",),
    ),
    "two sinks on one file": Wrong(
        SINKS + "jsonl: {path: out/a}\n  - events: {path: ./out/a}",
        ("5:14: …out/a is written by sinks.0 (line 4) already",),
    ),
    "a sink on the file of a source": Wrong(
        SINKS + "video: {path: clip.mp4}",
        ("4:13: …clip.mp4 is read by a source, no sink can write",),
    ),
    "clips of a stream that keeps no packets": Wrong(
        SINKS + "clips: {folder: out}", ("4:5: sinks.0: 'clips' needs the packets of door: give",)
    ),
    "privacy, and what the camera sent": Wrong(
        HEAD.replace("}]", ", keep_packets: true}]")
        + "stages: [privacy]\nsinks:\n  - segments: {folder: out}",
        ("5:5: sinks.0: 'segments' records what the camera sent, where 'privacy' covers nothing",),
    ),
    "an option of all streams": Wrong(
        HEAD + "stream: {max_fsp: 5}", ("3:10: stream.max_fsp: …did you mean 'max_fps'",)
    ),
    "an option under overload": Wrong(
        HEAD + "degrade: {rate: 5}", ("3:1: degrade: …'rate' (did you mean 'rates'?); it takes:",)
    ),
    "a number that is none": Wrong(
        STEPS + "track\n  - zone: {polygon: [[0, 0], [9, 0], [9, 9]], loiter: .nan}",
        ("5:47: stages.1.zone.loiter=nan: give a number that is finite",),
    ),
    "an anchor in itself": Wrong(
        HEAD + "stages: &a [*a]", ("3:9: more than 50 levels deep, or an anchor that holds itself",)
    ),
    "everything at once": Wrong(
        HEAD + "max_fps: 0\nstages:\n  - annotate: {colour_by: mood}\nsinks: [vidoe]\nsorces: []",
        (
            "3:1: max_fps=0: Input should be greater than 0",
            "5:16: …colour_by: …did you mean 'color_by'",
            "6:9: sinks.0: unknown name 'vidoe'",
            "7:1: sorces: unknown key",
        ),
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "model" / "1").mkdir(parents=True)
    return tmp_path


def mistakes(document: Path, *, request: bool = False) -> list[str]:
    def read() -> None:
        spec = PipelineSpec.load(document)
        refuse(problems_of(spec, files=True, request=request), spec.places)

    with pytest.raises(DocumentError) as caught:
        read()
    return list(caught.value.problems)


def test_there_are_forty() -> None:
    assert len(WRONG) >= 40


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_document_is_told_line_by_line(name: str, folder: Path) -> None:
    document = folder / "door.yaml"
    document.write_text(WRONG[name].text)
    lines = mistakes(document)
    assert len(lines) == len(WRONG[name].told), "\n".join(lines)
    for line, told in zip(lines, WRONG[name].told, strict=True):
        first, *others = told.split("…")
        rest = line.removeprefix(f"{document}:").strip()
        assert rest.startswith(first), line
        for part in others:
            assert part in rest, line
        assert "geheim" not in line
    assert not (folder / "made").exists(), "looked at, not run"


def test_what_remembers_is_refused_for_single_pictures(folder: Path) -> None:
    document = folder / "door.yaml"
    document.write_text(STEPS + "track\n  - annotate\n  - limit: {cooldown: 5}")
    told = "remembers what was before: it needs a stream, not single pictures"
    assert mistakes(document, request=True) == [
        f"{document}:4:5: stages.0: 'track' {told}",
        f"{document}:6:5: stages.2: 'limit' {told}",
    ]


def test_a_billion_laughs_stay_unheard(folder: Path) -> None:
    document = folder / "door.yaml"
    laughs = "x-0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]\n" + "".join(
        f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    document.write_text(laughs + HEAD)
    (line,) = mistakes(document)
    assert "more than 50000 values" in line


def test_depth_is_bounded(folder: Path) -> None:
    document = folder / "door.yaml"
    document.write_text(HEAD + "stages: " + "[" * 5000 + "]" * 5000)
    (line,) = mistakes(document)
    assert "levels deep" in line


def test_a_document_is_not_longer_than_one(folder: Path) -> None:
    document = folder / "door.yaml"
    document.write_text(HEAD + "#" * 1_000_001)
    (line,) = mistakes(document)
    assert "longer than 1000000 characters" in line
