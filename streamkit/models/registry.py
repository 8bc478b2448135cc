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

MODELS: Final[Mapping[tuple[str, str, str], str]] = {
    # (architecture, task, backend): where it is
    ("yolov8", "object-detection", "onnx"): "streamkit.models.yolo:YoloDetector",
    ("yolov9", "object-detection", "onnx"): "streamkit.models.yolo:YoloDetector",
    ("yolov11", "object-detection", "onnx"): "streamkit.models.yolo:YoloDetector",
    ("yolov12", "object-detection", "onnx"): "streamkit.models.yolo:YoloDetector",
}

_SIZED: Final = re.compile(r"yolov?(8|9|11|12)[nsbmlx]?")


def plain(model_type: str) -> str:
    """A model type without its size: ``yolov8n``, ``yolo11x``; others are left as they are."""
    found = _SIZED.fullmatch(model_type.strip().lower())
    return f"yolov{found[1]}" if found else model_type


def architecture_of(task: str, model_type: str) -> str:
    """The architecture that a ``model_type.json`` or a weights API means: ``yolov8n``, ``yolo11``.

    Raises ``ModelArtefactError`` naming the known ones. ``module:Class`` is not accepted here: what
    code runs is for the caller to say, never for a file that was downloaded.
    """
    architecture = plain(model_type)
    if (architecture, task, "onnx") not in MODELS:
        raise ModelArtefactError(
            f"no model class for type {model_type!r} and task {task!r}; there are {_known()}"
        )
    return architecture


def find(architecture: str, task: str, backend: str = "onnx") -> Family:
    """The class for a row of the table, or the ``"my_module:MyClass"`` of a caller.

    Raises ``ConfigError`` for a name that leads nowhere.
    """
    if ":" in architecture:
        return _load(architecture)
    where = MODELS.get((architecture, task, backend))
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
    return ", ".join(f"{architecture} ({task})" for architecture, task, _ in MODELS)
