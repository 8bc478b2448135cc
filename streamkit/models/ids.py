"""Model ids: what a caller may write to name a model, made into one safe, unambiguous value."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Final, TypeAlias

from streamkit.errors import ConfigError, ModelNotFoundError
from streamkit.models.aliases import ALIASES
from streamkit.models.remote import RemoteFile, is_url, parse_url

FOUNDATION: Final = frozenset({
    "clip", "depth-anything-v2", "depth-anything-v3", "doctr", "doctr_det", "doctr_rec", "easy_ocr",
    "gaze", "grounding_dino", "moondream2", "owlv2", "paligemma", "perception_encoder", "pp_ocr",
    "sam", "sam2", "sam3", "sam3-3d-objects", "smolvlm2", "trocr", "yolo_world",
})  # fmt: skip
"""Dataset ids which the neighbour reserves for general models that are not fine-tuned."""


@dataclass(frozen=True, slots=True)
class ModelId:
    """A checked id: each part is one plain file name, so ``folder`` cannot leave its root."""

    dataset: str
    version: str | None = None
    """A number as text, or the slug of an instant model (``workspace/slug``); else ``None``."""

    @property
    def folder(self) -> Path:
        """The relative folder of its files in every store."""
        return Path(self.dataset, self.version or "")

    @property
    def instant(self) -> bool:
        """A model without a version number, which the weights API serves another way."""
        return self.version is None or not _is_number(self.version)

    def __str__(self) -> str:
        return self.dataset if self.version is None else f"{self.dataset}/{self.version}"


Where: TypeAlias = ModelId | Path | RemoteFile
"""A model in a store, files on this machine, or a file on the web."""


def parse(text: str) -> ModelId:
    """``dataset/version``, ``workspace/slug``, a name or an alias; never a path.

    Raises ``ConfigError`` for what can be no id, ``ModelNotFoundError`` for a foundation model.
    """
    text = ALIASES.get(text.strip(), text.strip())
    parts = [part.strip() for part in text.split("/")]
    for part in parts:
        if complaint := _complaint(part):
            raise ConfigError(f"model id {text!r} {complaint}; write dataset/version")
    if parts[0].lower() in FOUNDATION:
        raise ModelNotFoundError(
            f"{text!r} is a foundation model, which streamkit does not offer; it runs fine-tuned "
            "detection, segmentation, keypoint and classification models: dataset/version"
        )
    if len(parts) > 2:
        raise ConfigError(f"model id {text!r} has {len(parts)} parts; write dataset/version")
    return ModelId(parts[0], _version(parts[1]) if len(parts) == 2 else None)


def _complaint(part: str) -> str | None:
    if not part:
        return "has an empty part"
    if part in (".", ".."):
        return f"has a part {part!r}, which names another folder"
    if "\\" in part or ":" in part or not part.isprintable():
        return "has a character that no id has"
    return "is too long" if len(part.encode()) > 200 else None


def _version(text: str) -> str:
    """``03`` and ``3`` are the same version."""
    return str(int(text)) if _is_number(text) else text


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal()


def locate(model: str | Path | ModelId) -> Where:
    """What a script may write: an id, a folder or ``.onnx`` file of this machine, a pinned URL.

    A string is a path if it ends in ``.onnx``, is absolute, begins with ``.`` or ``~``, or has more
    than two parts and is there; a path of one or two parts is told from an id by ``./``.
    A server that takes ids from strangers uses ``parse``.
    """
    if isinstance(model, ModelId):
        return model
    if isinstance(model, str) and is_url(model):
        return parse_url(model)
    if isinstance(model, Path) or _is_path(model):
        return _resolved(Path(model))
    return parse(model)


def _resolved(path: Path) -> Path:
    """Absolute, so that two ways of writing it are one model."""
    try:
        return path.expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, no home, a zero byte
        raise ModelNotFoundError(f"no model {str(path)!r}: {error}") from error


def _is_path(text: str) -> bool:
    if text.endswith(".onnx") or text.startswith((".", "~", "/", "\\")):
        return True
    return bool(PureWindowsPath(text).drive) or (text.count("/") > 1 and Path(text).is_dir())


def suggestion(model: ModelId) -> str:
    """What may have been meant by an id that nothing answers to; empty if there is no idea."""
    if model.folder.is_dir():
        return f"; for the folder of that name here write ./{model}"
    close = difflib.get_close_matches(str(model), ALIASES, n=3)
    return f"; did you mean {' or '.join(close)}?" if close else ""
