"""Which class runs which model."""

from __future__ import annotations

import pytest

from streamkit.errors import ConfigError, ModelArtefactError
from streamkit.models.families.yolo import YoloDetector
from streamkit.models.registry import MODELS, TASKS, architecture_of, find

DETECT, SEGMENT, POSE, CLASSIFY = TASKS

# The neighbour's tables, complete: what it calls each model, and what it does with it.
NEIGHBOURS = {
    (CLASSIFY, "resnet"): "resnet18 resnet34 resnet50 resnet101",
    (CLASSIFY, "vit"): "vit",
    (CLASSIFY, "yolov8"): "yolov8 yolov8n yolov8s yolov8m yolov8l yolov8x",
    (SEGMENT, "yolact"): "yolact",
    (SEGMENT, "yolov11"): "yolov11n yolov11s yolov11m yolov11l yolov11x yolov11n-seg yolov11s-seg "
    "yolov11m-seg yolov11l-seg yolov11x-seg",
    (SEGMENT, "yolov5"): "yolov5 yolov5-seg yolov5n-seg yolov5s-seg yolov5m-seg yolov5l-seg "
    "yolov5x-seg",
    (SEGMENT, "yolov7"): "yolov7 yolov7-seg yolov7s-seg",
    (SEGMENT, "yolov8"): "yolov8n yolov8 yolov8s yolov8m yolov8l yolov8x yolov8n-seg yolov8s-seg "
    "yolov8m-seg yolov8l-seg yolov8x-seg yolov8-seg",
    (SEGMENT, "yolo26"): "yolo26 yolo26n yolo26s yolo26m yolo26l yolo26x yolo26n-seg yolo26s-seg "
    "yolo26m-seg yolo26l-seg yolo26x-seg",
    (SEGMENT, "rfdetr"): "rfdetr rfdetr-seg-preview rfdetr-seg-nano rfdetr-seg-small "
    "rfdetr-seg-medium rfdetr-seg-large rfdetr-seg-xlarge rfdetr-seg-xxlarge rfdetr-seg-2xlarge "
    "rfdetr-nas-seg",
    (POSE, "yolov11"): "yolov11n yolov11s yolov11m yolov11l yolov11x yolov11n-pose yolov11s-pose "
    "yolov11m-pose yolov11l-pose yolov11x-pose",
    (POSE, "yolov8"): "yolov8 yolov8n yolov8s yolov8m yolov8l yolov8x yolov8n-pose yolov8s-pose "
    "yolov8m-pose yolov8l-pose yolov8x-pose",
    (POSE, "yolo26"): "yolo26 yolo26n yolo26s yolo26m yolo26l yolo26x yolo26n-pose yolo26s-pose "
    "yolo26m-pose yolo26l-pose yolo26x-pose",
    (POSE, "rfdetr"): "rfdetr-keypoint-preview rfdetr-pose",
    (SEGMENT, "yolov9"): "yolov9c-seg yolov9e-seg",  # these last have their authors' names only
    (SEGMENT, "yolov12"): "yolo12n-seg yolov12x-seg",
    (POSE, "yolov12"): "yolo12n-pose yolov12x-pose",
    (CLASSIFY, "yolov12"): "yolo12n-cls",
    (CLASSIFY, "yolo26"): "yolo26n-cls",
    (DETECT, "rfdetr"): "rfdetr rfdetr-base rfdetr-large rfdetr-nano rfdetr-small rfdetr-medium "
    "rfdetr-xlarge rfdetr-2xlarge rfdetr-nas",
    (DETECT, "yolo_nas"): "yolo_nas_s yolo_nas_m yolo_nas_l yolonas",
    (DETECT, "yolov10"): "yolov10 yolov10s yolov10n yolov10b yolov10m yolov10l yolov10x",
    (DETECT, "yolov11"): "yolov11 yolov11s yolov11n yolov11b yolov11m yolov11l yolov11x yolo11n",
    (DETECT, "yolov12"): "yolov12 yolov12s yolov12n yolov12m yolov12l yolov12x yolo12s",
    (
        DETECT,
        "yolov5",
    ): "yolov5 yolov5v2s yolov5v6n yolov5v6s yolov5v6m yolov5v6l yolov5v6x yolov5n",
    (DETECT, "yolov8"): "yolov8 yolov8s yolov8n yolov8m yolov8l yolov8x",
    (DETECT, "yolov9"): "yolov9 yolov9t yolov9e",
    (DETECT, "yolo26"): "yolo26 yolo26s yolo26n yolo26b yolo26m yolo26l yolo26x",
}


@pytest.mark.parametrize(("task", "architecture"), NEIGHBOURS)
def test_the_many_names_of_a_type_are_one_architecture(task: str, architecture: str) -> None:
    for model_type in NEIGHBOURS[task, architecture].split():
        assert architecture_of(task, model_type) == architecture


def test_several_labels_are_the_same_architecture() -> None:
    assert architecture_of("multi-label-classification", "vit") == "vit"
    assert find("resnet50", "multi-label-classification").__name__ == "ResNetClassifier"


@pytest.mark.parametrize("row", MODELS)
def test_every_row_of_the_table_leads_to_a_class(row: tuple[str, str, str]) -> None:
    assert isinstance(find(*row), type)


@pytest.mark.parametrize(
    ("task", "model_type"),
    [
        ("object-detection", "yolov7"),
        ("keypoint-detection", "yolov8n-seg"),
        ("classification", "rfdetr"),
        ("object-detection", "yolov8n-seg"),
        ("object-detection", "yolov8nn"),
        ("telepathy", "yolov8n"),
        ("object-detection", "streamkit.models.families.yolo:YoloDetector"),
    ],
)
def test_an_unknown_type_is_told_which_are_known(task: str, model_type: str) -> None:
    with pytest.raises(
        ModelArtefactError, match=r"there are yolov5, yolov8, .* \(object-detection\); "
    ):
        architecture_of(task, model_type)


def test_a_class_of_the_callers_own_is_found() -> None:
    assert find("streamkit.models.families.yolo:YoloDetector", "anything") is YoloDetector


@pytest.mark.parametrize(
    ("architecture", "complaint"),
    [
        (
            "yolov99",
            r"no model class for 'yolov99'.*there are yolov5, yolov8, .* \(object-detection\)",
        ),
        ("no_such_module:Model", "cannot load 'no_such_module:Model': No module named"),
        ("streamkit.models.families.yolo:Nothing", "the module has no 'Nothing'"),
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
