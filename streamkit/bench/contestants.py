"""Who can take part in a race: we, exact or tuned, and the packages of other environments."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamkit.bench import peers
from streamkit.bench.race import Contestant
from streamkit.errors import ConfigError

_SCRIPTS = {
    "inference": "inference_pipeline.py",
    "ultralytics": "ultralytics_predict.py",
}
PEERS = tuple(_SCRIPTS)
_CACHED = "bench/1"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is run: a clip through a model, the same for all."""

    clip: Path
    model: str
    weights: Path
    names: tuple[str, ...]
    size: tuple[int, int]
    frames: int
    skip: int = 10

    def task(self, **more: Any) -> dict[str, Any]:
        """As the contestants take it."""
        return {
            "clip": str(self.clip),
            "frames": self.frames,
            "skip": self.skip,
            "confidence": 0.4,
            "iou_threshold": 0.3,
            **more,
        }


def subject(clip: Path, model: str, frames: int) -> Subject:
    """Look the model up, and load it once to know its classes and size."""
    from streamkit.models.manager import ModelManager
    from streamkit.settings import Settings
    from streamkit.tune.lookup import package_of

    settings = Settings.load()
    package = package_of(settings, model)
    manager = ModelManager.of(settings)
    with manager.pin(model) as shared:
        loaded: Any = shared.model
        names, size = tuple(loaded.names), loaded.canvas
    manager.close()
    return Subject(clip.resolve(), model, package.weights.resolve(), names, size, frames)


def ours(subject: Subject, name: str = "streamkit", **settings: str) -> Contestant:
    """We ourselves; ``settings`` are environment variables."""
    command = [sys.executable, "-m", "streamkit.bench.ours"]
    model = str(Path(subject.model).resolve()) if Path(subject.model).exists() else subject.model
    return Contestant(name, command, subject.task(model=model), settings)


def peer(subject: Subject, name: str, python: Path, folder: Path) -> Contestant:
    """A package of another environment, by its Python. ``ConfigError`` names those known."""
    if name not in _SCRIPTS:
        raise ConfigError(f"--against {name!r}: choose one of {', '.join(PEERS)}")
    if not python.is_file():
        raise ConfigError(f"--against {name}={python}: no such file; give that package's python")
    command = [str(python), str(Path(peers.__path__[0]) / _SCRIPTS[name])]
    if name == "inference":
        environment = _cached(subject, folder)
        return Contestant(name, command, subject.task(model=_CACHED), environment)
    task = subject.task(weights=str(subject.weights), size=max(subject.size))
    quiet = {"YOLO_OFFLINE": "true", "YOLO_CONFIG_DIR": str(folder)}
    return Contestant(name, command, task, quiet)


def _cached(subject: Subject, folder: Path) -> Mapping[str, str]:
    """The model in the layout of that package's cache; it is told not to ask anybody."""
    home = folder / _CACHED
    home.mkdir(parents=True, exist_ok=True)
    (home / "weights.onnx").write_bytes(subject.weights.read_bytes())
    (home / "class_names.txt").write_text("\n".join(subject.names), encoding="utf-8")
    width, height = subject.size
    resize = {"enabled": True, "width": width, "height": height}
    resize["format"] = "Fit (grey edges) in"  # type: ignore[assignment]
    steps = {"auto-orient": {"enabled": True}, "resize": resize}
    environment = {
        "PREPROCESSING": json.dumps(steps),
        "CLASS_MAP": {str(number): name for number, name in enumerate(subject.names)},
        "COLORS": dict.fromkeys(subject.names, "#00FF00"),
        "BATCH_SIZE": 8,
    }
    kind = {"project_task_type": "object-detection", "model_type": "yolov8n"}
    (home / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    (home / "model_type.json").write_text(json.dumps(kind), encoding="utf-8")
    return {
        "OFFLINE_MODE": "True",
        "USE_INFERENCE_MODELS": "False",
        "MODEL_CACHE_DIR": str(folder),
        "INFERENCE_HOME": str(folder),
        "TELEMETRY_OPT_OUT": "True",
        "METRICS_ENABLED": "False",
        "CORE_MODELS_ENABLED": "False",
        "ONNXRUNTIME_EXECUTION_PROVIDERS": "[CPUExecutionProvider]",
    }
