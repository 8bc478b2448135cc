"""Which class runs which model: one table, and what the many names of model types mean in it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from streamkit.errors import ConfigError, ModelArtefactError
from streamkit.models.base import Model

Family: TypeAlias = Callable[..., Model]
"""Called with a ``Package``, a ``Session``, and the keywords of ``OnnxModel``."""

DETECTION: Final = "object-detection"
SEGMENTATION: Final = "instance-segmentation"
KEYPOINTS: Final = "keypoint-detection"
CLASSIFICATION: Final = "classification"

TASKS: Final = (DETECTION, SEGMENTATION, KEYPOINTS, CLASSIFICATION)

STUB: Final = "stub"
"""The type of version 0 of every model; no graph is behind it."""

MODELS: Final[Mapping[tuple[str, str, str], str]] = {
    # (architecture, task, backend): where it is
    ("yolov5", DETECTION, "onnx"): "streamkit.models.families.yolov5:Yolov5Detector",
    ("yolov8", DETECTION, "onnx"): "streamkit.models.families.yolo:YoloDetector",
    ("yolov9", DETECTION, "onnx"): "streamkit.models.families.yolo:YoloDetector",
    ("yolov10", DETECTION, "onnx"): "streamkit.models.families.yolov10:Yolov10Detector",
    ("yolov11", DETECTION, "onnx"): "streamkit.models.families.yolo:YoloDetector",
    ("yolov12", DETECTION, "onnx"): "streamkit.models.families.yolo:YoloDetector",
    ("yolo26", DETECTION, "onnx"): "streamkit.models.families.yolo26:Yolo26Detector",
    ("yolo_nas", DETECTION, "onnx"): "streamkit.models.families.yolo_nas:YoloNasDetector",
    ("rfdetr", DETECTION, "onnx"): "streamkit.models.families.rfdetr:RfDetrDetector",
    ("yolov5", SEGMENTATION, "onnx"): "streamkit.models.families.yolov5:Yolov5Segmenter",
    ("yolov7", SEGMENTATION, "onnx"): "streamkit.models.families.yolov7:Yolov7Segmenter",
    ("yolov8", SEGMENTATION, "onnx"): "streamkit.models.families.yolo:YoloSegmenter",
    ("yolov9", SEGMENTATION, "onnx"): "streamkit.models.families.yolo:YoloSegmenter",
    ("yolov11", SEGMENTATION, "onnx"): "streamkit.models.families.yolo:YoloSegmenter",
    ("yolov12", SEGMENTATION, "onnx"): "streamkit.models.families.yolo:YoloSegmenter",
    ("yolo26", SEGMENTATION, "onnx"): "streamkit.models.families.yolo26:Yolo26Segmenter",
    ("yolact", SEGMENTATION, "onnx"): "streamkit.models.families.yolact:YolactSegmenter",
    ("rfdetr", SEGMENTATION, "onnx"): "streamkit.models.families.rfdetr:RfDetrSegmenter",
    ("yolov8", KEYPOINTS, "onnx"): "streamkit.models.families.yolo:YoloPose",
    ("yolov11", KEYPOINTS, "onnx"): "streamkit.models.families.yolo:YoloPose",
    ("yolov12", KEYPOINTS, "onnx"): "streamkit.models.families.yolo:YoloPose",
    ("yolo26", KEYPOINTS, "onnx"): "streamkit.models.families.yolo26:Yolo26Pose",
    ("rfdetr", KEYPOINTS, "onnx"): "streamkit.models.families.rfdetr:RfDetrPose",
    ("vit", CLASSIFICATION, "onnx"): "streamkit.models.families.vit:VitClassifier",
    ("resnet", CLASSIFICATION, "onnx"): "streamkit.models.families.resnet:ResNetClassifier",
    ("yolov8", CLASSIFICATION, "onnx"): "streamkit.models.families.yolo:YoloClassifier",
    ("yolov11", CLASSIFICATION, "onnx"): "streamkit.models.families.yolo:YoloClassifier",
    ("yolov12", CLASSIFICATION, "onnx"): "streamkit.models.families.yolo:YoloClassifier",
    ("yolo26", CLASSIFICATION, "onnx"): "streamkit.models.families.yolo:YoloClassifier",
}

_ALSO: Final[Mapping[str, str]] = {"yolov26": "yolo26", "yolonas": "yolo_nas"}

_NAMES: Final = re.compile(
    r"(?P<yolo5>yolov?5)(v[26])?[nsmlx]?(?P<task5>-seg)?"
    r"|(?P<yolo>yolov?(?:7|8|9|10|11|12|26))[nstmblxce]?(?P<task>-seg|-pose|-cls)?"
    r"|(?P<nas>yolo_?nas)(_[sml])?"
    r"|(?P<detr>rfdetr)(-nas)?(?P<task_detr>-seg|-keypoint|-pose)?"
    r"(-(nano|small|medium|base|large|xlarge|xxlarge|2xlarge|preview))?"
    r"|(?P<resnet>resnet)(18|34|50|101)?"
    r"|(?P<other>vit|yolact)"
)
"""Every spelling in the neighbour's tables, and those of the authors' packages."""

_SUFFIXES: Final[Mapping[str, str]] = {
    "-seg": SEGMENTATION,
    "-pose": KEYPOINTS,
    "-keypoint": KEYPOINTS,
    "-cls": CLASSIFICATION,
}


def plain(model_type: str) -> tuple[str, str | None]:
    """A model type without its size, and the task that its name tells, if any.

    ``yolov8n``: yolov8; ``yolo11x-seg``: yolov11, instance segmentation; others as they are.
    """
    found = _NAMES.fullmatch(model_type.strip().lower())
    if found is None:
        return model_type, None
    parts = {name: part for name, part in found.groupdict().items() if part}
    suffix = next((part for name, part in parts.items() if name.startswith("task")), None)
    [name] = [part for name, part in parts.items() if not name.startswith("task")]
    if name[4:].isdecimal() and name != "yolo26":  # yolo11, as its authors write
        name = f"yolov{name[4:]}"
    return _ALSO.get(name, name), _SUFFIXES[suffix] if suffix else None


def plain_task(task: str) -> str:
    """Of the table: classification with several labels is classification."""
    return CLASSIFICATION if task == "multi-label-classification" else task


def architecture_of(task: str, model_type: str) -> str:
    """The architecture that a ``model_type.json`` or a weights API means: ``yolov8n``, ``yolo11``.

    Raises ``ModelArtefactError`` naming the known ones. ``module:Class`` is not accepted here: what
    code runs is for the caller to say, never for a file that was downloaded.
    """
    architecture, told = plain(model_type)
    known = (architecture, plain_task(task), "onnx") in MODELS
    if not known or told not in (None, plain_task(task)):
        raise ModelArtefactError(
            f"no model class for type {model_type!r} and task {task!r}; there are {_known()}"
        )
    return architecture


def task_of(architecture: str) -> str | None:
    """The task of a name that tells it, or of an architecture that has only one."""
    name, told = plain(architecture)
    tasks = [task for known, task, _ in MODELS if known == name]
    return told or (tasks[0] if len(tasks) == 1 else None)


def suffixes(architecture: str) -> str:
    """What tells the task of an architecture in its name: ``-seg, -pose or -cls``."""
    name, _ = plain(architecture)
    known = [task for known, task, _ in MODELS if known == name]
    words = ("-keypoint" if name == "rfdetr" else "-pose"), "-seg", "-cls"
    fitting = [word for word in words if not known or _SUFFIXES[word] in known]
    return " or ".join(sorted(fitting))


def find(architecture: str, task: str, backend: str = "onnx") -> Family:
    """The class for a row of the table, or the ``"my_module:MyClass"`` of a caller.

    Raises ``ConfigError`` for a name that leads nowhere.
    """
    if ":" in architecture:
        return _load(architecture)
    where = MODELS.get((plain(architecture)[0], plain_task(task), backend))
    if where is None:
        wanted = f"{architecture!r}, task {task!r}, backend {backend!r}"
        raise ConfigError(f"no model class for {wanted}; there are {_known()}, or module:Class")
    return _load(where)


def _load(where: str) -> Family:
    module, _, name = where.partition(":")
    try:
        family: Any = getattr(importlib.import_module(module), name)
    except ImportError as error:
        missing = f"; it needs the package {error.name}" if error.name not in (None, module) else ""
        raise ConfigError(f"cannot load {where!r}: {error}{missing}") from error
    except AttributeError as error:
        raise ConfigError(f"cannot load {where!r}: the module has no {name!r}") from error
    if not callable(family):
        raise ConfigError(f"cannot load {where!r}: it is no class")
    return family  # type: ignore[no-any-return]


def _known() -> str:
    """``yolov5, yolov8 (object-detection); vit (classification)``."""
    parts = []
    for task in TASKS:
        names = ", ".join(architecture for architecture, of, _ in MODELS if of == task)
        parts.append(f"{names} ({task})")
    return "; ".join(parts)
