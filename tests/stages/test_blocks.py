"""Blocks: every stage says what it takes and gives, and what cannot work is refused beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

from streamkit import plugins
from streamkit.cli import app
from streamkit.errors import BlockError, BlockErrorCode, ConfigError
from streamkit.events import Event
from streamkit.predictions import Result
from streamkit.spec import PipelineSpec
from streamkit.stages import STAGES
from streamkit.stages.base import Gives, Manifest, ModelChoice, Needs
from streamkit.stages.blocks import block, blocks, compile_blocks, manifest_of, steps_of
from tests.stages.asked import bind
from tests.stages.making import SAMPLES, crowd, frame

AREA = {"polygon": [[0, 0], [640, 0], [640, 480]]}


class Mine:
    """A stage of somebody's.

    With a second paragraph.
    """

    manifest: ClassVar = Manifest(
        "My own",
        Needs(("detections",), tracks=True, picture=True),
        Gives(("mine.seen",)),
        version=3,
        models=(ModelChoice("model", ("small/1", "large/1")),),
    )

    def __init__(self, *, model: str = "small/1", share: float | None = None) -> None:
        """``model``: who is asked. ``share``: how much. Raises nothing."""

    def __call__(self, result: Result) -> Result:
        return result


class Silent:
    """Says nothing about itself."""

    def __call__(self, result: Result) -> Result:
        return result


MINE, SILENT = f"{__name__}:Mine", f"{__name__}:Silent"


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_of_the_table_says_what_it_is(name: str) -> None:
    found = block(name)
    manifest = found.manifest
    assert manifest is not None
    assert manifest.title
    assert manifest.examples
    assert found.description
    assert found.dict() == json.loads(json.dumps(found.dict())), "JSON-ready"
    options = plugins.options_of(plugins.load(STAGES, name))
    assert [parameter.name for parameter in found.parameters] == list(options)
    assert all(parameter.schema for parameter in found.parameters)
    assert set(manifest.stateless_with) <= set(options)
    for choice in manifest.models:
        assert choice.parameter in options
        (parameter,) = [p for p in found.parameters if p.name == choice.parameter]
        assert parameter.required or parameter.default in (choice.default, None)
    assert manifest.stateful or not manifest.needs.tracks, "tracks are history"


def told_steps() -> list[tuple[str, Any]]:
    return [
        (name, example)
        for name in STAGES
        for example in getattr(manifest_of(plugins.load(STAGES, name)), "examples", ())
    ]


@pytest.mark.parametrize(("name", "example"), told_steps(), ids=lambda value: str(value)[:40])
def test_every_example_works(
    name: str, example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stages = [make() for make in compile_blocks(steps_of(example), streams=True)]
    for stage in stages:
        bind(stage)
    about = manifest_of(stages[-1])
    assert about is not None
    events: list[Event] = []
    for i, (at, found) in enumerate(crowd(3, 25)):
        result = Result(frame(at, i + 1), found, source="example")
        for stage in stages:
            result = stage(result)
        events += result.events
        for measure in result.measures.values():
            assert json.dumps(measure)
    said = {kind for stage in stages for kind in (manifest_of(stage) or about).gives.events}
    assert {event.kind for event in events} <= said, name


def test_every_example_is_a_part_of_a_document() -> None:
    for _, example in told_steps():
        document = {"sources": [str(SAMPLES / "street.mp4")], "model": "yolov8n-640"}
        spec = PipelineSpec.of({**document, "stages": steps_of(example)})
        assert len(spec.stages) == len(steps_of(example))


def test_stateful_stages_are_those_that_remember() -> None:
    remember = {found.name for found in blocks() if found.manifest and found.manifest.stateful}
    assert remember >= {
        "track", "zone", "line", "still", "speed", "trails", "heat", "window", "limit",
    }  # fmt: skip
    assert not remember & {"select", "filter"}


def test_parameters_have_types_defaults_choices_and_words() -> None:
    options = {parameter.name: parameter for parameter in block("track").parameters}
    assert options["algorithm"].choices == ("bytetrack", "ocsort", "botsort", "sort")
    assert options["algorithm"].default == "bytetrack"
    assert options["confirm"].type == "integer or null"
    assert options["smooth"].description.startswith("time constant in seconds")
    polygon = block("zone").parameters[0]
    assert polygon.required
    assert polygon.type == "list of [number, number]"
    assert polygon.schema["items"]["minItems"] == 2


def test_strangers_are_blocks_too() -> None:
    told = block(MINE).dict()
    assert told["version"] == 3
    assert told["inputs"] == {
        "predictions": ["detections"], "tracks": True, "picture": True, "stream": False,
    }  # fmt: skip
    assert told["models"] == [{"parameter": "model", "variants": ["small/1", "large/1"]}]
    assert told["parameters"][0]["description"] == "who is asked."
    silent = block(SILENT)
    assert silent.manifest is None
    assert silent.dict()["stateful"] is True
    with pytest.raises(ConfigError, match="zone"):
        block("zon")


# -- refused when compiled -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "streams", "code", "place"),
    [
        (["track"], False, BlockErrorCode.NEEDS_STREAM, 0),
        (["select", {"window": {"seconds": 5}}], False, BlockErrorCode.NEEDS_STREAM, 1),
        ([{"zone": AREA}], False, BlockErrorCode.NEEDS_STREAM, 0),
        ([SILENT], False, BlockErrorCode.NEEDS_STREAM, 0),
        ([{"cascade": {"model": "a/1", "looks": 3}}], False, BlockErrorCode.NEEDS_STREAM, 0),
        ([{"cascade": {"model": "a/1", "looks": 3}}], True, BlockErrorCode.NEEDS_TRACKS, 0),
        ([{"zone": AREA}], True, BlockErrorCode.NEEDS_TRACKS, 0),
        (["select", "trails", "track"], True, BlockErrorCode.NEEDS_TRACKS, 1),
        ([MINE], True, BlockErrorCode.NEEDS_TRACKS, 0),
        (["trak"], True, BlockErrorCode.INVALID, 0),
        (["track", {"zone": {"polygon": [[0, 0]]}}], True, BlockErrorCode.INVALID, 1),
        (["track", {"zone": {**AREA, "loitre": 3}}], True, BlockErrorCode.INVALID, 1),
        ([{"zone": AREA, "line": {}}], True, BlockErrorCode.INVALID, 0),
        ([{"zone": 5}], True, BlockErrorCode.INVALID, 0),
    ],
)
def test_what_cannot_work_is_refused_before_there_is_a_picture(
    steps: list[Any], streams: bool, code: BlockErrorCode, place: int
) -> None:
    with pytest.raises(BlockError) as caught:
        compile_blocks(steps, streams)
    assert (caught.value.code, caught.value.place) == (code, place)
    assert isinstance(caught.value, ConfigError)


def test_what_remembers_nothing_is_for_single_pictures() -> None:
    steps: list[Any] = [
        {"cascade": {"model": "a/1", "looks": 0}},
        "select",
        {"filter": {"confidence": 0.5}},
        {"zone": {**AREA, "tracks": False}},
    ]
    first, second = compile_blocks(steps), compile_blocks(steps, streams=True)
    assert len(first) == len(second) == 4
    assert first[0]() is not first[0](), "each stream gets its own"


def test_a_strangers_tracker_counts_as_one() -> None:
    assert len(compile_blocks([SILENT, {"zone": AREA}], streams=True)) == 2


# -- on the command line -------------------------------------------------------------------------


def spoken(*words: str) -> str:
    done = CliRunner().invoke(app, ["blocks", *words])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_shows_all_of_them_or_one() -> None:
    table = spoken()
    assert not [name for name in STAGES if name not in table]
    one = spoken("zone")
    for words in ("zone.enter", "(required)", "list of [number, number]", "not with tracks: false"):
        assert words in one
    assert "  - track\n" in one


def test_the_command_speaks_json() -> None:
    every = json.loads(spoken("--json"))
    assert [each["name"] for each in every] == list(STAGES)
    one = json.loads(spoken("line", "--json"))
    assert one["outputs"]["events"] == ["line.in", "line.out"]
    assert one["stateful"] is True
    assert json.loads(spoken(MINE, "--json"))["title"] == "My own"
    assert "small/1, large/1" in spoken(MINE)


def test_an_example_in_the_table_is_a_document_as_it_stands() -> None:
    import yaml

    lines = spoken("line").partition("stages:\n")[2].partition("stages:")[0]
    steps = yaml.safe_load("stages:\n" + lines)["stages"]
    assert compile_blocks(steps, streams=True)


def test_unknown_names_are_an_error_of_the_command() -> None:
    assert isinstance(CliRunner().invoke(app, ["blocks", "zon"]).exception, ConfigError)
