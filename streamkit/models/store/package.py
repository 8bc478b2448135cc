"""A model's files, read and checked: a folder in the documented layout, or an ``.onnx`` file."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamkit.errors import ModelArtefactError, ModelNotFoundError
from streamkit.models.registry import STUB
from streamkit.models.store.environment import Environment, ModelType, read_environment
from streamkit.models.store.files import check, look, read_json, read_lines
from streamkit.models.store.keypoints import KeypointNames, read_keypoints

WEIGHTS: Final = ("weights.onnx", "yolov5s_weights.onnx", "best.onnx")
"""Names of the weights file, by family; the first that is there counts."""

TEXTS: Final = (
    "environment.json",
    "class_names.txt",
    "keypoints_metadata.json",
    "model_type.json",
)
"""The small files beside it."""

WEIGHTS_LIMIT: Final = (2 << 30) - 1
"""Bytes: what a protobuf message can hold."""


@dataclass(frozen=True, slots=True)
class Package:
    """What is known of a model before its graph is opened; ``None``: ask the graph."""

    model_id: str
    weights: Path
    kind: ModelType | None = None
    names: tuple[str, ...] | None = None
    environment: Environment | None = None
    keypoints: KeypointNames | None = None


def read_path(path: Path) -> Package:
    """A folder, or an ``.onnx`` file; beside an ``environment.json`` it is part of a folder.

    Raises ``ModelNotFoundError`` where nothing is there, ``ModelArtefactError``.
    """
    found = look(path)
    if found is None:
        raise ModelNotFoundError(f"no model {str(path)!r}: there is no such file or folder")
    if stat.S_ISDIR(found.st_mode):
        return read_folder(path, str(path))
    check(path, WEIGHTS_LIMIT)
    if look(path.parent / "environment.json") is not None:
        return read_folder(path.parent, str(path), path)
    return Package(str(path), path)


def read_folder(folder: Path, model_id: str, weights: Path | None = None) -> Package:
    """``weights.onnx``, ``environment.json``, ``class_names.txt`` and ``model_type.json``."""
    kind = read_json(folder / "model_type.json", ModelType)
    if kind.model_type == STUB:
        return Package(model_id, folder / WEIGHTS[0], kind)
    environment = read_environment(folder / "environment.json")
    names = _names(folder / "class_names.txt", environment)
    keypoints = read_keypoints(folder / "keypoints_metadata.json")
    weights = check(weights or _weights(folder), WEIGHTS_LIMIT)
    return Package(model_id, weights, kind, names, environment, keypoints)


def _names(path: Path, environment: Environment) -> tuple[str, ...]:
    """Of the file; a classifier's folder may have them in ``CLASS_MAP`` only."""
    mapped = environment.class_map or {}
    numbered = [mapped.get(str(number)) for number in range(len(mapped))]
    if look(path) is None and numbered and all(numbered):
        return tuple(str(name) for name in numbered)
    return read_lines(path)


def _weights(folder: Path) -> Path:
    for name in WEIGHTS:
        if look(folder / name) is not None:
            return folder / name
    raise ModelArtefactError(f"{folder / WEIGHTS[0]} is missing (nor {' or '.join(WEIGHTS[1:])})")
