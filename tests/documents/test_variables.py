"""Variables, secrets by reference and paths: what a document means, and what it never shows."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamkit.documents.check import problems_of
from streamkit.documents.graph import dot, graph_of, mermaid
from streamkit.documents.picture import svg
from streamkit.documents.places import refuse
from streamkit.documents.text import read
from streamkit.documents.variables import Variables, pairs
from streamkit.errors import ConfigError, DocumentError
from streamkit.spec import PipelineSpec

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"NAME": "door", "URL": "rtsp://me:geheim@camera/1", "ODD": "${NAME} $${NAME}"}


def variables(**given: str) -> Variables:
    return Variables(given, ENVIRONMENT)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${NAME}", "door"),
        ("a ${NAME} b ${NAME}", "a door b door"),
        ("${NONE:-gate}", "gate"),
        ("${NAME:-gate}", "door"),
        ("${NONE:-}", ""),
        ("${NONE:-rtsp://a:b@c/d?e=f}", "rtsp://a:b@c/d?e=f"),
        ("$${NAME}", "${NAME}"),
        ("$NAME", "$NAME"),
        ("${ODD}", "${NAME} $${NAME}"),
        ("${event.kind} ${event.data.class}", "${event.kind} ${event.data.class}"),
        ("${file:/run/secret}", "${file:/run/secret}"),
        ("{x} }", "{x} }"),
    ],
)
def test_a_variable_is_replaced_once(written: str, meant: str) -> None:
    assert variables().fill(written) == meant


def test_who_runs_it_comes_before_the_environment() -> None:
    assert variables(NAME="gate").fill("${NAME}") == "gate"


@pytest.mark.parametrize("wrong", ["${}", "${1}", "${a-b}", "${NAME", "${NAME:gate}", "${ NAME }"])
def test_what_is_no_variable_is_an_error(wrong: str) -> None:
    with pytest.raises(ConfigError, match="is no variable"):
        variables().fill(wrong)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${URL}", "${URL}"),
        ("rtsp://${NAME}/1", "rtsp://${NAME}/1"),
        ("rtsp://${NONE:-gate}/1", "rtsp://gate/1"),
        ("rtsp://host/${HERE}", "rtsp://host/%24%7BNAME}"),
        ("${CLIP:-clip.mp4}", "clip.mp4"),
        ("${NAME}", "door"),
        ("videos/${NAME}.mp4", "videos/door.mp4"),
        ("replay:${NAME}.mp4", "replay:door.mp4"),
        (
            "rtsp://user:${keyring:cameras/door}@host/1",
            "rtsp://user:${keyring:cameras/door}@host/1",
        ),
    ],
)
def test_an_address_keeps_what_may_be_a_password_as_a_reference(written: str, meant: str) -> None:
    assert variables(HERE="${NAME}").fill_address(written) == meant


def test_pairs_of_a_command_line() -> None:
    assert pairs(["A=1", "B=x=y", "C="]) == {"A": "1", "B": "x=y", "C": ""}
    for wrong in ("A", "=1", "1A=2"):
        with pytest.raises(ConfigError, match="write NAME=value"):
            pairs([wrong])


def test_values_become_what_is_wanted_of_them(tmp_path: Path) -> None:
    text = (
        "sources: ['${NAME}.mp4']\nmodel: a/1\nmax_fps: ${RATE}\nexact: ${EXACT:-true}\n"
        "sinks: [{video: {path: 'out/${NAME}.mp4', crf: '${CRF}'}}]\n"
    )
    spec = PipelineSpec.parse(text, "x", tmp_path, variables(RATE="7.5", CRF="30"))
    assert (spec.max_fps, spec.exact) == (7.5, True)
    assert spec.sinks[0].options == {"path": str(tmp_path / "out" / "door.mp4"), "crf": "30"}
    assert spec.sources[0].reference == str(tmp_path / "door.mp4")


def test_anchors_and_merges_are_yaml_and_keys_of_ones_own_are_passed_over(tmp_path: Path) -> None:
    text = (
        "x-camera: &camera {max_fps: 5, priority: 1}\n"
        "sources:\n  - {<<: *camera, reference: a.mp4}\n"
        "  - {<<: [*camera, {weight: 2}], reference: b.mp4, priority: 2}\nmodel: a/1\n"
    )
    spec = PipelineSpec.parse(text, "x", tmp_path)
    assert [source.options for source in spec.sources] == [
        {"max_fps": 5, "priority": 1},
        {"max_fps": 5, "priority": 2, "weight": 2},
    ]


def test_json_is_a_document_too(tmp_path: Path) -> None:
    text = '{"sources": ["a.mp4"], "model": {"id": "a/1", "confidence": 0.5}, "version": 1}'
    assert PipelineSpec.parse(text, "body", tmp_path).model.confidence == 0.5


def test_in_a_request_nothing_is_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends it is not to be told our environment."""
    monkeypatch.setenv("NAME", "geheim")
    body = {"sources": ["a.mp4"], "model": "a/1", "sinks": [{"jsonl": {"path": "${NAME}"}}]}
    assert PipelineSpec.of(body).sinks[0].options["path"] == "${NAME}"


SECRETIVE = """
sources:
  - {reference: "rtsp://me:geheim@camera/live?token=geheim", name: door, password: geheim}
  - "rtsp://me:geheim@camera/live"
model: "https://host/m.onnx?key=geheim#sha256=0"
stages: [annotate]
sinks:
  - webhook: {url: "https://host/${TOKEN}", secrets: whsec_geheim, headers: {a: geheim}}
  - jsonl: {path: out.jsonl}
"""


def test_no_secret_is_in_anything_that_is_shown(tmp_path: Path) -> None:
    spec = PipelineSpec.parse(SECRETIVE, "x", tmp_path, variables(TOKEN="geheim"))
    graph = graph_of(spec)
    for shown in (repr(spec), str(spec), mermaid(graph), dot(graph), svg(graph), repr(graph)):
        assert "geheim" not in shown


@pytest.mark.parametrize(
    "wrong",
    [
        "sinks: [{webhook: {url: 5, secrets: {a: geheim}, timeout: geheim}}]",
        "sinks: [{webhook: {url: x, password: geheim}}]",
        "sinks: [{mqtt: {host: x, port: '${SECRET}'}}]",
        "max_fps: ${SECRET}",
        "stages: [{select: {confidence: '${SECRET}'}}]",
        "password: *geheim",
        "stream: {name: {token: geheim}}",
    ],
)
def test_no_error_quotes_a_secret(tmp_path: Path, wrong: str) -> None:
    def read_it() -> None:
        text = f"sources: [a.mp4]\nmodel: a/1\n{wrong}\n"
        spec = PipelineSpec.parse(text, "x", tmp_path, variables(SECRET="geheim"))
        refuse(problems_of(spec), spec.places)

    with pytest.raises(DocumentError) as caught:
        read_it()
    assert "geheim" not in str(caught.value)


def test_places_are_those_of_the_text() -> None:
    written = read("a: 1\nb:\n  - c: 2\n    d: {e: 3}\n", "x")
    found = {path: (place.line, place.column) for path, place in written.places.of.items()}
    assert found[("a",)] == (1, 1)
    assert found[("b", 0)] == (3, 5)
    assert found[("b", 0, "d", "e")] == (4, 9)


JUNK: list[Any] = [
    None, True, -1, 3.5, "", "x", "annotate", [], {}, [1], [None], {"a": 1}, {"for": "x"},
    {"name": 5}, {"name": "track", "options": None}, float("nan"), float("inf"), "${X}", "a\x00b",
    10**30, [[[]]], {"track": {}, "zone": {}}, "rtsp://", "synthetic:fps=x",
    {"reference": [1]}, {"": ""},
]  # fmt: skip


def places_in(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = list(values) if isinstance(values, dict) else []
    for key in range(len(values)) if isinstance(values, list) else keys:
        yield (*path, key)
        yield from places_in(values[key], (*path, key))


@pytest.mark.parametrize("seed", range(2))
def test_whatever_stands_in_a_document_it_is_right_or_told_as_wrong(seed: int) -> None:
    chance = random.Random(seed)
    for path in sorted((ROOT / "pipelines").glob("*.yaml")):
        for _ in range(4):
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
            for _ in range(chance.randint(1, 3)):
                *way, last = chance.choice(list(places_in(values)))
                inner = values
                for key in way:
                    inner = inner[key]
                inner[last] = copy.deepcopy(chance.choice(JUNK))
            with suppress(ConfigError):
                spec = PipelineSpec.of(values).placed(ROOT)
                svg(graph_of(spec))
                refuse(problems_of(spec, files=True), spec.places)


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_typed_into_a_document_it_is_read_or_refused(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    signs = "[]{}:,&*!|>'\"%@`#- \n\t?<~$\\"
    bits = [*signs, "<<: ", "*a ", "${", "$${", "---\n", "\x00", "? [a]\n: b"]
    for path in sorted((ROOT / "pipelines").glob("*.yaml")):
        for _ in range(10):
            text = path.read_text(encoding="utf-8")
            for _ in range(chance.randint(1, 4)):
                at = chance.randrange(len(text))
                text = text[:at] + chance.choice(bits) + text[at + chance.choice((0, 1, 5)) :]
            with suppress(ConfigError):
                PipelineSpec.parse(text, "x", tmp_path, variables())
