"""A model's files, read and checked: a folder in the documented layout, or an ``.onnx`` file."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamkit.errors import ModelArtefactError, ModelNotFoundError
from streamkit.models.store.environment import Environment, ModelType, read_environment
from streamkit.models.store.files import check, look, read_json, read_lines

WEIGHTS: Final = ("weights.onnx", "yolov5s_weights.onnx", "best.onnx")
"""Names of the weights file, by family; the first that is there counts."""

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
    environment = read_environment(folder / "environment.json")
    names = read_lines(folder / "class_names.txt")
    weights = check(weights or _weights(folder), WEIGHTS_LIMIT)
    return Package(model_id, weights, kind, names, environment)


def _weights(folder: Path) -> Path:
    for name in WEIGHTS:
        if look(folder / name) is not None:
            return folder / name
    raise ModelArtefactError(f"{folder / WEIGHTS[0]} is missing (nor {' or '.join(WEIGHTS[1:])})")
