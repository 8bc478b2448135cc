"""``streamkit check``, ``graph`` and ``schema``: what a stranger sees of a document."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
import yaml

from streamkit.documents.graph import dot, graph_of, mermaid
from streamkit.documents.picture import svg
from streamkit.documents.schema import document_schema
from streamkit.documents.variables import Variables
from streamkit.sinks import SINKS
from streamkit.spec import PipelineSpec, build_pipeline
from streamkit.stages import STAGES
from tests.documents.test_wrong import WRONG

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted((ROOT / "pipelines").glob("*.yaml"))
GIVEN = {"CAM_HOST": "camera.example", "CAM_USER": "me", "CAM_PASSWORD": "x"}


def streamkit(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "streamkit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_check_shows_what_would_run() -> None:
    done = streamkit("check", ROOT / "pipelines" / "camera-wall.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = [line for line in done.stdout.splitlines() if "west" in line]
    assert "privacy" in row
    assert "annotate" not in row
    assert "events" not in row


def test_check_tells_every_mistake_with_its_line(tmp_path: Path) -> None:
    document = tmp_path / "door.yaml"
    document.write_text("sources: [none.mp4]\nmodel: a/1\nstages: [trakc]\nsinks: ['${OUT}']\n")
    done = streamkit("check", document, "--set", "OUT=vidoe")
    assert done.returncode == 2
    assert [line.split(": ")[0] for line in done.stderr.removeprefix("error: ").splitlines()] == [
        f"{document}:1:11",
        f"{document}:3:10",
        f"{document}:4:9",
    ]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.stem)
def test_every_document_can_be_drawn(path: Path) -> None:
    graph = graph_of(PipelineSpec.load(path, GIVEN))
    picture = ElementTree.fromstring(svg(graph))
    assert len(picture.findall("{*}g")) == len(graph.nodes)
    assert mermaid(graph).count("-->") == dot(graph).count("->") == len(graph.edges)


def test_boxes_do_not_lie_on_each_other_and_hold_their_text() -> None:
    graph = graph_of(PipelineSpec.load(ROOT / "pipelines" / "camera-wall.yaml"))
    boxes = []
    for group in ElementTree.fromstring(svg(graph)).findall("{*}g"):
        rect = group.find("{*}rect")
        assert rect is not None
        x, y, w, h = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
        assert all(len(text.text or "") * 6.5 < w for text in group.findall("{*}text"))
        boxes.append((x, y, x + w, y + h))
    for i, (left, top, right, bottom) in enumerate(boxes):
        for x1, y1, x2, y2 in boxes[:i]:
            assert right <= x1 or x2 <= left or bottom <= y1 or y2 <= top


def test_names_cannot_break_out_of_a_drawing(tmp_path: Path) -> None:
    name = '<script>"]; a->b {[(#`&'
    text = json.dumps({"sources": [{"reference": "a.mp4", "name": name}], "model": "a/1"})
    graph = graph_of(PipelineSpec.parse(text, "x", tmp_path, Variables()))
    assert "<script>" not in svg(graph)
    assert "<script>" not in mermaid(graph)
    assert mermaid(graph).count('"') == 2 * len(graph.nodes)
    ElementTree.fromstring(svg(graph))


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = document_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.stem)
def test_the_schema_takes_every_document(path: Path, validator: Any) -> None:
    found = list(validator.iter_errors(yaml.safe_load(path.read_text(encoding="utf-8"))))
    assert not found, found[0].message


@pytest.mark.parametrize(
    "name",
    ["an unknown key", "an unknown stage", "a value of a stage", "a missing option", "a choice",
     "an unknown option of a stage", "another version", "no model", "a value out of range",
     "options that are none", "a word for a number"],
)  # fmt: skip
def test_editors_see_what_is_wrong(name: str, validator: Any) -> None:
    assert not validator.is_valid(yaml.safe_load(WRONG[name].text))


def test_the_schema_describes_every_stage_and_sink() -> None:
    known = document_schema()["$defs"]
    for kind, table in (("Stage", STAGES), ("Sink", SINKS)):
        said = known[kind]["anyOf"][2]["properties"]
        assert set(table) <= set(said)
        assert all(said[name]["description"] for name in table)
    track = known["Stage"]["anyOf"][2]["properties"]["track"]["anyOf"][0]["properties"]
    assert track["algorithm"]["enum"] == ["bytetrack", "ocsort", "botsort", "sort"]
    assert track["lost_after"]["default"] == 1.0
    assert "frames per second" in track["confirm"]["description"] + track["rate"]["description"]


def test_the_schema_is_printed_whole() -> None:
    done = streamkit("schema")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == json.loads(json.dumps(document_schema()))


def test_models_by_name_reach_sources_ladder_and_stages(tmp_path: Path) -> None:
    model = ROOT / "samples" / "models" / "street" / "1"
    text = f"""
sources:
  - {{reference: {ROOT / "samples" / "street.mp4"}, name: a}}
  - {{reference: {ROOT / "samples" / "street.mp4"}, name: b, model: {{id: big, confidence: 0.7}}}}
model: {{id: big, iou_threshold: 0.5}}
models:
  big: {{id: {model}, confidence: 0.6}}
  small: {{id: {model}/weights.onnx}}
ladder: [small]
stages:
  - cascade: {{model: big}}
"""
    from streamkit.documents.build import arguments_of

    spec = PipelineSpec.parse(text, "x", tmp_path)
    made = arguments_of(spec)
    assert (made["model_id"], made["confidence"], made["iou_threshold"]) == (str(model), 0.6, 0.5)
    assert made["ladder"] == [f"{model}/weights.onnx"]
    assert made["video_reference"][1].options["model"] == {"confidence": 0.7}
    (cascade,) = made["video_reference"][0].stages
    assert cascade.options == {"model": str(model), "confidence": 0.6}
    build_pipeline(spec.model_copy(update={"ladder": []})).terminate()


def test_a_look_at_a_document_leaves_what_is_being_recorded_alone(tmp_path: Path) -> None:
    folder, part = tmp_path / "snaps", tmp_path / "snaps" / "gate" / ".a.jpg.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    line = {"file": "gate/a.jpg", "start": "2026-01-01T00:00:00Z", "end": None}
    (folder / "snapshots.jsonl").write_text(json.dumps(line) + "\n")
    document = tmp_path / "door.yaml"
    document.write_text(
        f"sources: ['synthetic:fps=5']\nmodel: {ROOT}/samples/models/street/1\n"
        f"stages: [{{evidence: {{folder: {tmp_path}/new}}}}]\n"
        f"sinks: [{{snapshots: {{folder: {folder}}}}}]\n"
    )
    before = sorted(tmp_path.rglob("*"))
    done = streamkit("check", document)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_look_at_a_document_makes_nothing_of_a_strangers(tmp_path: Path) -> None:
    document = tmp_path / "door.yaml"
    document.write_text(
        f"sources: ['synthetic:fps=5']\nmodel: {ROOT}/samples/models/street/1\n"
        f"stages: ['pathlib:Path', {{'subprocess:Popen': {{args: [touch, {tmp_path}/made]}}}}]\n"
    )
    streamkit("check", document)
    assert [path.name for path in tmp_path.iterdir()] == ["door.yaml"]


def test_the_address_of_a_model_is_shown_without_what_may_be_a_key(tmp_path: Path) -> None:
    digest = "a" * 64
    model = f"https://me:geheim@models.example/best.onnx?sig=geheim#sha256={digest}"
    document = tmp_path / "door.yaml"
    document.write_text(f"sources: ['synthetic:fps=5']\nmodel: {model}\nladder: ['{model}']\n")
    said = [streamkit("check", document)]
    document.write_text(f"sources: ['synthetic:fps=5']\nmodel: {model}\n")
    said += [streamkit("check", document), streamkit("graph", document)]
    assert ["models.example" in done.stdout + done.stderr for done in said] == [True] * 3
    assert not any("geheim" in done.stdout + done.stderr for done in said)


def test_a_name_that_is_too_long_for_a_file_is_told(tmp_path: Path) -> None:
    document = tmp_path / "door.yaml"
    document.write_text(f"sources: [{'a' * 5000}]\nmodel: {ROOT}/samples/models/street/1\n")
    done = streamkit("check", document)
    assert done.returncode == 2
    assert "sources.0.reference" in done.stderr
    assert "Traceback" not in done.stderr
