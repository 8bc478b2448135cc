"""What may be written to name a model."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.errors import ConfigError, ModelNotFoundError
from streamkit.models.aliases import ALIASES
from streamkit.models.ids import ModelId, locate, parse


@pytest.mark.parametrize(
    ("text", "dataset", "version"),
    [
        ("crack-detection/1", "crack-detection", "1"),
        ("crack-detection/03", "crack-detection", "3"),
        (" crack-detection / 3 ", "crack-detection", "3"),
        ("microsoft/coco-pose-1", "microsoft", "coco-pose-1"),
        ("x/-1", "x", "-1"),
        ("x/٣", "x", "٣"),
        ("toy", "toy", None),
    ],
)
def test_an_id_is_a_dataset_and_a_version(text: str, dataset: str, version: str | None) -> None:
    assert parse(text) == ModelId(dataset, version)


def test_a_version_is_written_in_one_way() -> None:
    assert str(parse("x/007")) == "x/7"


def test_a_model_without_a_number_is_an_instant_one() -> None:
    assert [parse(text).instant for text in ("ws/my-model", "x/3", "toy")] == [True, False, True]


def test_an_alias_stands_for_an_id() -> None:
    assert str(parse("yolov8n-640")) == "coco/3"
    assert str(parse("rfdetr-large")) == "coco/50"
    assert str(parse("yolo26n-sem-1024")) == "yolo26-pretrains/yolo26n-sem"


def test_every_alias_is_an_id() -> None:
    assert len(ALIASES) == 153
    assert all(str(parse(alias)) == model_id for alias, model_id in ALIASES.items())


def test_new_and_old_spellings_of_yolo_agree() -> None:
    for alias, model_id in ALIASES.items():
        if alias.startswith(("yolov11", "yolov26")):
            assert ALIASES[alias.replace("yolov", "yolo")] == model_id


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "/", "x/", "/x", "a//b", "a/b/c", "/etc/passwd", "x/" + "y" * 300),
        *("../x/1", "x/..", "./x", "x/.", "x\\1", "C:/x", "x/1\n2", "x/a\x00b"),
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="model id"):
        parse(text)


@given(st.text(max_size=30))
def test_no_id_leads_out_of_its_store(text: str) -> None:
    try:
        folder = parse(text).folder
    except (ConfigError, ModelNotFoundError):
        return
    assert not folder.is_absolute()
    assert 1 <= len(folder.parts) <= 2
    assert not {".", "..", ""} & set(folder.parts)


@pytest.mark.parametrize("text", ["clip", "sam/2", "SAM3/sam3_interactive", "grounding_dino"])
def test_foundation_models_are_said_not_to_be_offered(text: str) -> None:
    with pytest.raises(ModelNotFoundError, match="does not offer"):
        parse(text)


@pytest.mark.parametrize("text", ["./x", "~/x", "/x/y", "a/b.onnx", "b.onnx", "../x/1", "C:\\x"])
def test_some_strings_are_paths(text: str) -> None:
    assert isinstance(locate(text), Path)


def test_a_deep_relative_path_is_one_if_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "samples" / "street" / "1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert locate("samples/street/1") == tmp_path / "samples" / "street" / "1"
    assert locate("street/1") == ModelId("street", "1")
    with pytest.raises(ConfigError, match="3 parts"):
        locate("samples/street/2")


def test_two_spellings_of_a_path_are_one(tmp_path: Path) -> None:
    assert locate(tmp_path / "x" / ".." / "y.onnx") == locate(str(tmp_path / "y.onnx"))


def test_a_loop_of_links_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "loop.onnx").symlink_to(tmp_path / "loop.onnx")
    with pytest.raises(ModelNotFoundError, match="loop"):
        locate(tmp_path / "loop.onnx")
