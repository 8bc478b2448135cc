"""Pipeline documents: what they may say, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamkit.errors import ConfigError
from streamkit.options import SourceReference, plan
from streamkit.spec import PipelineSpec, build_pipeline
from streamkit.streams.options import StreamOptions

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = {"sources": ["clip.mp4"], "model": "street/1"}


def spec_of(**more: Any) -> PipelineSpec:
    return PipelineSpec.of(SAMPLE | more)


def test_plain_values_stand_for_the_obvious() -> None:
    spec = spec_of(stages=["annotate"], sinks=[{"jsonl": {"path": "out.jsonl"}}, "window"])
    assert spec.sources[0].reference == "clip.mp4"
    assert spec.model.id == "street/1"
    assert spec.stages[0].name == "annotate"
    assert [(sink.name, sink.options) for sink in spec.sinks] == [
        ("jsonl", {"path": "out.jsonl"}),
        ("window", {}),
    ]


def test_further_keys_of_a_source_are_options_of_its_adapter() -> None:
    spec = spec_of(sources=[{"reference": "rtsp://camera/1", "transport": "udp"}, 0])
    assert spec.sources[0].options == {"transport": "udp"}
    assert spec.sources[1].reference == 0


def test_relative_paths_are_meant_from_the_document(tmp_path: Path) -> None:
    document = tmp_path / "pipelines" / "door.yaml"
    document.parent.mkdir()
    document.write_text(
        "sources: [../clip.mp4, /abs/clip.mp4, 'rtsp://camera/1', 0, 'my.module:Camera']\n"
        "model: ../models/street/1\n"
        "sinks: [{video: {path: ../out/a.mp4}}, {jsonl: {path: /abs/a.jsonl}}]\n"
    )
    spec = PipelineSpec.load(document)
    assert [source.reference for source in spec.sources] == [
        str(tmp_path / "clip.mp4"), "/abs/clip.mp4", "rtsp://camera/1", 0, "my.module:Camera",
    ]  # fmt: skip
    assert spec.model.id == str(tmp_path / "models/street/1")
    assert spec.sinks[0].options["path"] == str(tmp_path / "out/a.mp4")
    assert spec.sinks[1].options["path"] == "/abs/a.jsonl"


def test_what_is_wanted_of_streams_and_under_overload_may_be_written_down() -> None:
    spec = spec_of(
        sources=[{"reference": "rtsp://camera/1", "region": [0, 0, 0.5, 1], "priority": 2}],
        stream={"infer_every": 3, "motion_gate": {"hold": 2}},
        degrade={"budget": 0.3},
        ladder=["small/1"],
        admission=True,
        max_staleness=0.5,
    )
    assert spec.sources[0].options == {"region": [0, 0, 0.5, 1], "priority": 2}
    assert (spec.degrade, spec.ladder, spec.admission) == ({"budget": 0.3}, ["small/1"], True)
    with pytest.raises(ConfigError, match="ladder"):
        spec_of(ladder="small/1")


def test_a_model_id_is_no_path(tmp_path: Path) -> None:
    document = tmp_path / "a.yaml"
    document.write_text("sources: [a.mp4]\nmodel: street/1\n")
    assert PipelineSpec.load(document).model.id == "street/1"
    (tmp_path / "street" / "1").mkdir(parents=True)  # unless it is there
    assert PipelineSpec.load(document).model.id == str(tmp_path / "street/1")


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"sources": []}, "sources"),
        ({"model": None}, "model"),
        (
            {"sorces": []},
            "sorces: unknown key (did you mean 'sources'?); known: version, sources, model,",
        ),
        (
            {"model": {"id": "a/1", "confidance": 0.4}},
            "model.confidance: unknown key (did you mean 'confidence'?); known: confidence",
        ),
        ({"model": {"id": "a/1", "confidence": 4}}, "model.confidence"),
        ({"max_fps": 0}, "max_fps=0: "),
        ({"sinks": [{"video": {"path": "a"}, "jsonl": {}}]}, "sinks.0"),
        ({"stages": [7]}, "stages.0"),
        ({"require_sources": "perhaps"}, "require_sources"),
    ],
)
def test_a_wrong_document_names_the_key_and_the_choices(
    document: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        spec_of(**document)
    assert told in str(caught.value)


def test_what_is_no_document_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        PipelineSpec.load(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("sources: [a\nmodel: }")
    with pytest.raises(ConfigError, match="not YAML"):
        PipelineSpec.load(broken)
    broken.write_text("- a\n- b\n")
    with pytest.raises(ConfigError, match="expected a mapping"):
        PipelineSpec.load(broken)
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not YAML"):
        PipelineSpec.load(broken)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"sources": [{"reference": "rtsp://camera/1", "transprt": "udp"}]}, "transport"),
        ({"sources": ["gopher://camera/1"]}, "rtsp://"),
        ({"sources": [{"reference": "rtsp://camera/1", "read_timeout": "long"}]}, "read_timeout: "),
        ({"sinks": [{"video": {"path": "a.mp4", "size": "big"}}]}, "size=.big.: "),
        ({"stages": [{"annotate": {"color_by": "mood"}}]}, "color_by"),
        ({"sinks": ["vidoe"]}, "video"),
        ({"sinks": [{"video": {"pth": "a.mp4"}}]}, "path"),
        ({"stages": ["anotate"]}, "annotate"),
        ({"stages": [{"select": {"class": ["car"]}}]}, "classes"),
        ({"sinks": ["my_module_that_is_not:There"]}, "my_module_that_is_not"),
    ],
)
def test_wrong_steps_are_found_before_anything_runs(document: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        build_pipeline(spec_of(**document))


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").glob("*.yaml")), ids=lambda p: p.name)
def test_every_document_in_pipelines_is_right(path: Path) -> None:
    given = {"CAM_HOST": "camera.example", "CAM_USER": "me", "CAM_PASSWORD": "x"}
    PipelineSpec.load(path, given)


def test_an_unknown_key_of_a_source_is_told_what_source_and_stream_take() -> None:
    wrong = {"reference": "rtsp://camera/1", "max_fbs": 5}
    with pytest.raises(ConfigError) as caught:
        build_pipeline(spec_of(sources=[wrong]))
    for known in ("'max_fbs'", "transport", "max_fps", "max_staleness"):
        assert known in str(caught.value)


def test_what_is_wrong_is_told_with_its_line_and_its_source(tmp_path: Path) -> None:
    document = tmp_path / "door.yaml"
    document.write_text(
        "sources:\n  - a.mp4\n  - {url: b.mp4}\nmodel:\n  id: a/1\n  confidence: 5\n"
    )
    with pytest.raises(ConfigError) as caught:
        PipelineSpec.load(document)
    first, second = str(caught.value).splitlines()
    assert "sources.1.reference" in first
    assert first.startswith(f"{document}:3:5: ")
    assert second.startswith(f"{document}:6:3: ")
    for options, said in (
        ({"transprt": "udp"}, "did you mean 'transport'?"),
        ({"max_fsp": 3}, "did you mean 'max_fps'?"),
        ({"max_fps": "many"}, "max_fps: Input should be a valid number"),
    ):
        with pytest.raises(ConfigError) as caught:
            plan(SourceReference("rtsp://user:geheim@camera/live", options), None, StreamOptions())
        assert str(caught.value).startswith("rtsp://***@camera/live: ")
        assert said in str(caught.value)
