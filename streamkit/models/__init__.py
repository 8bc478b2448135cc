"""Models: found by id, loaded once, shared; and called directly in scripts."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from streamkit.models.base import InferenceOptions, Model

if TYPE_CHECKING:
    from pydantic import SecretStr

    from streamkit.models.direct import LoadedModel
    from streamkit.models.lease import Lease
    from streamkit.models.manager import ModelManager, default_manager
    from streamkit.models.shared import SharedModel

__all__ = [
    "InferenceOptions",
    "Lease",
    "LoadedModel",
    "Model",
    "ModelManager",
    "SharedModel",
    "default_manager",
    "get_model",
]

_LATER: Final = {
    "Lease": "lease",
    "LoadedModel": "direct",
    "ModelManager": "manager",
    "SharedModel": "shared",
    "default_manager": "manager",
}
"""Imported when first asked for: they need OpenCV and ONNX Runtime, a quarter of a second."""

# onnxruntime-gpu 1.31 keeps a device id and a database of events in the home folder, and holds the
# address they go to; it asks for this variable once, when it is first imported. 0 allows it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)


def get_model(
    model_id: str | Path,
    api_key: str | SecretStr | None = None,
    *,
    architecture: str | None = None,
    manager: ModelManager | None = None,
) -> LoadedModel:
    """A model to call: ``get_model("yolov8n-640").infer(picture, confidence=0.5)``.

    ``model_id``: ``dataset/version``, an alias, a folder in the store's layout, an ``.onnx`` file,
    ``https://host/model.onnx#sha256=...``. Without an ``api_key`` the one of the settings is used.
    """
    from streamkit.models.direct import LoadedModel
    from streamkit.models.manager import default_manager

    chosen = manager or default_manager()
    key = api_key or chosen.own_key
    return LoadedModel(chosen.pin(model_id, key, architecture=architecture))
