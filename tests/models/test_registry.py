"""Which class runs which model."""

from __future__ import annotations

import pytest

from streamkit.errors import ConfigError, ModelArtefactError
from streamkit.models.registry import MODELS, architecture_of, find
from streamkit.models.yolo import YoloDetector


@pytest.mark.parametrize(
    ("architecture", "sizes"),
    [("yolov8", "nsmlx"), ("yolov9", ""), ("yolov11", "nsbmlx"), ("yolov12", "nsmlx")],
)
def test_the_many_names_of_a_type_are_one_architecture(architecture: str, sizes: str) -> None:
    for model_type in (architecture, *(architecture + size for size in sizes)):
        assert architecture_of("object-detection", model_type) == architecture


def test_yolo11_is_yolov11() -> None:
    assert architecture_of("object-detection", "yolo11n") == "yolov11"


@pytest.mark.parametrize("row", MODELS)
def test_every_row_of_the_table_leads_to_a_class(row: tuple[str, str, str]) -> None:
    assert find(*row) is YoloDetector


@pytest.mark.parametrize(
    ("task", "model_type"),
    [
        ("object-detection", "yolov10n"),
        ("object-detection", "yolov8n-seg"),
        ("object-detection", "yolov8nn"),
        ("telepathy", "yolov8n"),
        ("object-detection", "streamkit.models.yolo:YoloDetector"),
    ],
)
def test_an_unknown_type_is_told_which_are_known(task: str, model_type: str) -> None:
    with pytest.raises(ModelArtefactError, match=r"there are yolov8 \(object-detection\)"):
        architecture_of(task, model_type)


def test_a_class_of_the_callers_own_is_found() -> None:
    assert find("streamkit.models.yolo:YoloDetector", "anything") is YoloDetector


@pytest.mark.parametrize(
    ("architecture", "complaint"),
    [
        ("yolov99", r"no model class for 'yolov99'.*there are yolov8 \(object-detection\)"),
        ("no_such_module:Model", "cannot load 'no_such_module:Model': No module named"),
        ("streamkit.models.yolo:Nothing", "the module has no 'Nothing'"),
        ("streamkit.models.registry:MODELS", "is no class"),
    ],
)
def test_a_wrong_architecture_is_an_error_of_the_caller(architecture: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        find(architecture, "object-detection")


def test_a_family_without_its_package_says_which_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    monkeypatch.delitem(__import__("sys").modules, "tests.models.needs_yaml", raising=False)
    with pytest.raises(ConfigError, match="it needs the package yaml"):
        find("tests.models.needs_yaml:Model", "object-detection")
