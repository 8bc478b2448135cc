"""A running pipeline goes over to a changed document: only what changed, or nothing at all."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from streamkit.documents.reload import reload
from streamkit.documents.watch import Watch
from streamkit.errors import ConfigError, DocumentError, ModelError
from streamkit.pipeline import InferencePipeline
from streamkit.spec import PipelineSpec, build_pipeline
from tests.cameras import camera
from tests.clips import clip
from tests.fakes import until
from tests.processes import process

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "samples" / "models" / "street" / "1"
STEADY = "tests.documents.doubles:Steady"
TALLY = "tests.documents.doubles:Tally"


def document(folder: Path, **more: Any) -> dict[str, Any]:
    """Two sources that count their frames, into one file."""
    return {
        "sources": [
            {"reference": STEADY, "name": "gate"},
            {"reference": STEADY, "name": "yard", "shade": 7},
        ],
        "model": str(MODEL),
        "stages": [TALLY],
        "sinks": [{"jsonl": {"path": str(folder / "all.jsonl")}}],
        **more,
    }


@contextmanager
def running(written: dict[str, Any]) -> Iterator[tuple[InferencePipeline, PipelineSpec]]:
    spec = PipelineSpec.of(written)
    with build_pipeline(spec) as pipeline:
        yield pipeline, spec


def records(path: Path, source: int | None = None) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    told = [orjson.loads(line) for line in path.read_bytes().splitlines() if line.endswith(b"}")]
    return [each for each in told if source is None or each["source_id"] == source]


def more_of(path: Path, source: int, by: int = 3) -> None:
    """Wait until there are some more results of a source."""
    seen = len(records(path, source))
    until(lambda: len(records(path, source)) >= seen + by, 30)


def counts(told: Sequence[dict[str, Any]], name: str = "tally") -> list[int]:
    return [each["measures"][name]["count"] for each in told if name in each.get("measures", {})]


def without_a_gap(told: Sequence[dict[str, Any]]) -> bool:
    ids = [each["frame_id"] for each in told]
    return ids == list(range(1, len(ids) + 1))


def test_stages_of_one_source_change_and_everything_else_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    with running(document(tmp_path)) as (pipeline, before):
        more_of(path, 0)
        more_of(path, 1)
        changed = document(tmp_path)
        changed["stages"] = [TALLY, {TALLY: {"name": "other", "step": 10}, "for": "yard"}]
        done = reload(pipeline, before, PipelineSpec.of(changed))
        more_of(path, 0)
        more_of(path, 1)
    assert done == (f"source yard: stages {TALLY} (goes on), {TALLY}",)
    for source in (0, 1):
        told = records(path, source)
        assert without_a_gap(told)
        assert counts(told) == list(range(1, len(told) + 1)), "the stage that stayed kept its count"
    assert counts(records(path, 0), "other") == []
    added = counts(records(path, 1), "other")
    assert added == list(range(10, 10 * len(added) + 1, 10))


def test_a_stage_that_leaves_is_ended_and_its_last_events_arrive(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    with running(document(tmp_path)) as (pipeline, before):
        more_of(path, 0)
        changed = document(tmp_path, stages=[{TALLY: {"step": 2}}])
        reload(pipeline, before, PipelineSpec.of(changed))
        more_of(path, 0)
        more_of(path, 1)
    for source in (0, 1):
        told = records(path, source)
        events = [(each["frame_id"], event) for each in told for event in each.get("events", ())]
        ((frame_id, event),) = events
        assert event["data"]["count"] == frame_id - 1, "it ended with the frame before"
        assert counts(told)[frame_id - 1] == 2, "the new one begins anew"
        assert without_a_gap(told)


def test_sources_come_go_and_change_and_the_others_do_not_notice(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    with running(document(tmp_path)) as (pipeline, before):
        more_of(path, 0)
        more_of(path, 1)
        changed = document(tmp_path)
        changed["sources"][1] = {"reference": STEADY, "name": "roof"}
        changed["sources"][0]["priority"] = 3
        middle = PipelineSpec.of(changed)
        done = reload(pipeline, before, middle)
        more_of(path, 0)
        more_of(path, 2)
        removed = len(records(path, 1))
        names = [stream["source"] for stream in pipeline.stats()["streams"]]
        assert reload(pipeline, middle, PipelineSpec.of(changed)) == ()
        more_of(path, 0)
    assert done == ("source gate: priority changed", "source roof: added", "source yard: removed")
    assert names == ["gate", "roof"]
    assert pipeline.plans()[0].options.priority == 3
    assert len(records(path, 1)) == removed
    assert all(without_a_gap(records(path, source)) for source in (0, 1, 2))


def test_what_is_said_of_all_streams_can_be_taken_back(tmp_path: Path) -> None:
    with running(document(tmp_path, stream={"weight": 2}, max_fps=15)) as (pipeline, before):
        done = reload(pipeline, before, PipelineSpec.of(document(tmp_path, max_fps=10)))
        assert done == (
            "source gate: max_fps, weight changed",
            "source yard: max_fps, weight changed",
        )
        options = [plan.options for plan in pipeline.plans().values()]
        assert [(each.max_fps, each.weight) for each in options] == [(10.0, 1.0)] * 2


def test_sinks_are_added_removed_and_fed_otherwise_alone(tmp_path: Path) -> None:
    path, other = tmp_path / "all.jsonl", tmp_path / "yard.jsonl"
    with running(document(tmp_path)) as (pipeline, before):
        more_of(path, 0)
        changed = document(tmp_path)
        changed["sinks"].append({"jsonl": {"path": str(other)}, "for": ["yard"]})
        middle = PipelineSpec.of(changed)
        assert reload(pipeline, before, middle) == ("sink jsonl: added",)
        more_of(other, 1)
        changed["sinks"][1]["for"] = ["gate"]
        turned = PipelineSpec.of(changed)
        assert reload(pipeline, middle, turned) == ("sink jsonl: fed by gate",)
        more_of(other, 0)
        changed["sinks"] = changed["sinks"][1:]
        assert reload(pipeline, turned, PipelineSpec.of(changed)) == ("sink jsonl: removed",)
        written = len(records(path))
        more_of(other, 0)
        assert len(pipeline.stats()["sinks"]) == 1
    assert len(records(path)) == written
    assert without_a_gap(records(path, 0))
    first = records(other, 1)[0]["frame_id"]
    ids = [each["frame_id"] for each in records(other, 1)]
    assert ids == list(range(first, first + len(ids)))


def test_a_recorder_comes_in_the_change_that_lets_its_source_keep_packets(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    with camera(clip(tmp_path / "c.mp4")) as there:
        written = document(tmp_path, sources=[{"reference": there.url, "name": "gate"}])
        written["stages"] = [{"privacy": {"classes": ["person"]}}]
        with running(written) as (pipeline, before):
            more_of(path, 0)
            written = {**written, "stages": []}
            written["sources"] = [{**written["sources"][0], "keep_packets": True}]
            segments = {"segments": {"folder": str(tmp_path / "film")}}
            written["sinks"] = [*written["sinks"], segments]
            assert reload(pipeline, before, PipelineSpec.of(written)) == (
                "source gate: keep_packets changed",
                "source gate: stages none",
                "sink segments: added",
            )
            until(lambda: list((tmp_path / "film").rglob("*.mp4")) != [], 30)


def test_the_model_is_exchanged_and_no_frame_is_lost(tmp_path: Path) -> None:
    path, copy = tmp_path / "all.jsonl", tmp_path / "copy"
    shutil.copytree(MODEL, copy)
    with running(document(tmp_path)) as (pipeline, before):
        more_of(path, 0)
        swapped = PipelineSpec.of(document(tmp_path, model={"id": str(copy), "confidence": 0.9}))
        assert reload(pipeline, before, swapped) == (f"model: {copy}",)
        more_of(path, 0)
        assert pipeline.stats()["model"]["model"] == str(copy)
        surer = PipelineSpec.of(document(tmp_path, model={"id": str(copy)}))
        assert reload(pipeline, swapped, surer) == ("model: confidence as by default",)
        more_of(path, 1)
    assert all(without_a_gap(records(path, source)) for source in (0, 1))


def test_a_source_that_wants_another_model_is_opened_anew(tmp_path: Path) -> None:
    path, copy = tmp_path / "all.jsonl", tmp_path / "copy"
    shutil.copytree(MODEL, copy)
    with running(document(tmp_path)) as (pipeline, before):
        more_of(path, 0)
        changed = document(tmp_path, models={"other": str(copy)})
        changed["sources"][1]["model"] = {"id": "other", "confidence": 0.7}
        done = reload(pipeline, before, PipelineSpec.of(changed))
        more_of(path, 2)
        assert done == ("source yard: another model, so it is opened anew",)
        assert pipeline.stats()["model"]["others"][0]["model"] == str(copy)
    assert without_a_gap(records(path, 0))


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"stages": ["talley"]}, DocumentError, "unknown name 'talley'"),
        ({"sinks": [{"jsonl": {"path": "/dev/null/x"}}], "stages": []}, Exception, "/dev/null"),
        ({"model": "./nowhere"}, DocumentError, "no such model"),
        ({"degrade": True}, ConfigError, "degrade: a change of this takes a restart"),
        ({"stages": [TALLY, {TALLY: {"size": 1}}]}, DocumentError, "takes no such option"),
        (
            {"stages": [{"select": {"classes": ["persn"]}}, TALLY]},
            DocumentError,
            "stages.0.select.classes: the model knows no class 'persn' .did you mean 'person'",
        ),
    ],
)
def test_a_wrong_document_is_refused_whole(
    tmp_path: Path, change: dict[str, Any], error: type[Exception], told: str
) -> None:
    path = tmp_path / "all.jsonl"
    with running(document(tmp_path)) as (pipeline, before):
        more_of(path, 0)
        plans, sinks = pipeline.plans(), pipeline.sinks()
        changed = document(tmp_path, **change)
        changed["sources"][0]["priority"] = 5
        with pytest.raises(error, match=told):
            reload(pipeline, before, PipelineSpec.of(changed))
        more_of(path, 0)
        more_of(path, 1)
        assert (pipeline.plans(), pipeline.sinks()) == (plans, sinks)
    assert all(without_a_gap(records(path, source)) for source in (0, 1))
    assert all(counts(records(path, s)) == sorted(counts(records(path, s))) for s in (0, 1))


def test_a_model_that_cannot_be_loaded_changes_nothing(tmp_path: Path) -> None:
    path, broken = tmp_path / "all.jsonl", tmp_path / "broken"
    shutil.copytree(MODEL, broken)
    (broken / "weights.onnx").write_bytes(b"no graph")
    with running(document(tmp_path)) as (pipeline, before):
        more_of(path, 0)
        changed = document(tmp_path, model=str(broken))
        changed["sinks"].append({"jsonl": {"path": str(tmp_path / "new.jsonl")}})
        with pytest.raises(ModelError):
            reload(pipeline, before, PipelineSpec.of(changed))
        more_of(path, 0)
        assert len(pipeline.stats()["sinks"]) == 1
    assert without_a_gap(records(path, 0))


def test_before_it_runs_a_pipeline_takes_changes_for_its_next_run(tmp_path: Path) -> None:
    path, other = tmp_path / "all.jsonl", tmp_path / "other.jsonl"
    before = PipelineSpec.of(document(tmp_path))
    pipeline = build_pipeline(before)
    changed = document(tmp_path, stages=[{TALLY: {"step": 5}}])
    changed["sinks"] = [{"jsonl": {"path": str(other)}}]
    reload(pipeline, before, PipelineSpec.of(changed))
    with pipeline:
        more_of(other, 1)
    assert counts(records(other, 1))[:2] == [5, 10]
    assert not path.exists()


def test_many_changes_leave_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    one = PipelineSpec.of(document(tmp_path))
    sinks = [*document(tmp_path)["sinks"], {"jsonl": {"path": str(tmp_path / "b.jsonl")}}]
    two = PipelineSpec.of(document(tmp_path, sinks=sinks, stages=[{TALLY: {"step": 2}}]))
    with build_pipeline(one) as pipeline:
        more_of(path, 0)
        threads = threading.active_count()
        for _ in range(10):
            reload(pipeline, one, two)
            reload(pipeline, two, one)
        until(lambda: threading.active_count() <= threads)
        more_of(path, 0)
    assert without_a_gap(records(path, 0))


def test_a_watch_tells_what_it_does_and_goes_on_after_a_wrong_document(tmp_path: Path) -> None:
    path, file = tmp_path / "all.jsonl", tmp_path / "door.yaml"
    told: list[str] = []

    def write(text: str) -> None:
        part = file.with_suffix(".part")  # as editors do
        part.write_text(text)
        part.replace(file)

    first = document(tmp_path)
    write(yaml.safe_dump(first))
    spec = PipelineSpec.load(file)
    with (
        build_pipeline(spec) as pipeline,
        Watch(pipeline, spec, lambda: PipelineSpec.load(file), told.append, file) as watching,
    ):
        more_of(path, 0)
        write("sources: [a\n")
        until(lambda: any("goes on" in line for line in told))
        write(yaml.safe_dump({**first, "stages": []}))
        until(lambda: "document: source yard: stages none" in told)
        watching.again()
        until(lambda: "document: nothing has changed" in told)
    assert without_a_gap(records(path, 0))


def test_a_watch_sees_what_changed_before_it_began_and_waits_for_who_writes_in_place(
    tmp_path: Path,
) -> None:
    path, file = tmp_path / "all.jsonl", tmp_path / "door.yaml"
    told: list[str] = []
    first = document(tmp_path)
    file.write_text(yaml.safe_dump(first))
    spec = PipelineSpec.load(file)
    file.write_text(yaml.safe_dump({**first, "stages": []}))
    with (
        build_pipeline(spec) as pipeline,
        Watch(pipeline, spec, lambda: PipelineSpec.load(file), told.append, file) as watching,
    ):
        until(
            lambda: told == [f"document: source {name}: stages none" for name in ("gate", "yard")]
        )
        for _ in range(4):
            with file.open("w") as written:
                time.sleep(0.2)  # empty for a while
                written.write(yaml.safe_dump(first))
            time.sleep(0.75)
        until(lambda: len(told) >= 4)
        watching.again()
        until(lambda: told[-1] == "document: nothing has changed")
    assert not any("goes on" in line for line in told)
    assert without_a_gap(records(path, 0))


@pytest.mark.timeout(120)
def test_the_command_line_watches_and_takes_sighup(tmp_path: Path) -> None:
    file = tmp_path / "door.yaml"
    text = (
        f"sources: [{{reference: '{STEADY}', name: gate}}]\nmodel: {MODEL}\n"
        "sinks: [{jsonl: {path: ${NAME}.jsonl}}]\nstages: [STAGE]\n"
    )
    quoted = text.replace("${NAME}.jsonl", "'${NAME}.jsonl'")
    file.write_text(quoted.replace("STAGE", "annotate"))
    command = [sys.executable, "-m", "streamkit", "run", file, "--set", "NAME=out", "--watch", "-q"]
    with process(command, stderr=subprocess.PIPE, cwd=ROOT) as running:
        said = running.stderr
        assert said is not None
        until(lambda: len(records(tmp_path / "out.jsonl")) > 2, 60)
        file.write_text(quoted.replace("STAGE", "anotate"))
        assert "not taken over" in said.readline()
        assert "door.yaml:4:10" in said.readline()
        file.write_text(quoted.replace("STAGE", "select"))
        assert said.readline() == "document: source gate: stages select\n"
        running.send_signal(signal.SIGHUP)
        assert said.readline() == "document: nothing has changed\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130
    assert without_a_gap(records(tmp_path / "out.jsonl"))


def test_a_pipeline_that_is_stopped_in_the_middle_of_changes_ends_in_time(tmp_path: Path) -> None:
    one = PipelineSpec.of(document(tmp_path))
    changed = document(tmp_path, stages=[{TALLY: {"step": 2}}])
    changed["sources"][1] = {"reference": STEADY, "name": "roof"}
    changed["sinks"].append({"jsonl": {"path": str(tmp_path / "b.jsonl")}})
    two = PipelineSpec.of(changed)
    pipeline, stopped, failed = build_pipeline(one), threading.Event(), []

    def change() -> None:
        try:
            while not stopped.is_set():
                reload(pipeline, one, two)
                reload(pipeline, two, one)
        except Exception as error:  # noqa: BLE001 - told below
            failed.append(error)

    with pipeline:
        changing = threading.Thread(target=change)
        changing.start()
        until(lambda: len(pipeline.stats()["removed"]) > 5, 30)
        began = time.monotonic()
        pipeline.terminate()
        took = time.monotonic() - began
        stopped.set()
        changing.join(20)
    assert not changing.is_alive()
    assert failed == []
    assert took < 10  # two seconds, on a machine with time to spare
    assert not pipeline.running


def test_a_recording_that_goes_on_is_not_begun_anew(tmp_path: Path) -> None:
    video, path = tmp_path / "all.mp4", tmp_path / "all.jsonl"
    written = document(tmp_path)
    written["sinks"].append({"video": {"path": str(video)}})
    with running(written) as (pipeline, before):
        until(lambda: video.exists() and video.stat().st_size > 0)
        changed = document(tmp_path)
        changed["sinks"].append({"video": {"path": str(video), "crf": 40}})
        with pytest.raises(DocumentError, match="is writing this file: give another path"):
            reload(pipeline, before, PipelineSpec.of(changed))
        more_of(path, 0)
    assert without_a_gap(records(path, 0))


def test_numbers_of_tracks_go_on_where_their_stage_changes(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    told: list[int] = []

    def written(lost_after: float) -> dict[str, Any]:
        track = {"track": {"lost_after": lost_after, "activate": 0.1}}
        source = {"reference": str(ROOT / "samples" / "street.mp4"), "name": "gate"}
        return {**document(tmp_path), "sources": [source], "stages": [track]}

    with running(written(1.0)) as (pipeline, before):
        until(lambda: any(_tracks(records(path))), 30)
        reload(pipeline, before, PipelineSpec.of(written(2.0)))
        seen = len(records(path))
        told = _tracks(records(path))
        until(lambda: any(_tracks(records(path)[seen + 20 :])), 30)
    assert min(_tracks(records(path)[seen + 20 :])) > max(told)


def _tracks(lines: Sequence[dict[str, Any]]) -> list[int]:
    found = [each for line in lines for each in line["prediction"]["predictions"]]
    return [each["tracker_id"] for each in found if "tracker_id" in each]
