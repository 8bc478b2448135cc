"""The folder of a package: the small files beside the weights, and the model card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamkit.errors import ConfigError

if TYPE_CHECKING:
    from streamkit.models.base import Model
    from streamkit.models.store.package import Package
    from streamkit.packaging.quantize import Report

_COPIED = ("environment.json", "model_type.json", "keypoints_metadata.json")


def check_free(to: Path) -> None:
    """Raises ``ConfigError`` where something is there: nothing is written over."""
    if to.is_dir() and not any(to.iterdir()):
        return
    if to.exists() or to.is_symlink():
        raise ConfigError(f"{to} is there already, and not empty: name a new folder")


def move(staged: Path, to: Path) -> None:
    """At once, on one file system. ``ConfigError`` where somebody else was quicker."""
    check_free(to)
    try:
        staged.replace(to)
    except OSError as error:
        raise ConfigError(f"{to} cannot be written: {error.strerror}") from error


def read(folder: Path) -> Package:
    """What a pipeline would read."""
    from streamkit.models.store.package import read_path

    return read_path(folder)


def write_texts(folder: Path, package: Package, model: Model) -> None:
    """Of the original's folder as they are; else what is known of its graph."""
    from streamkit.models.store.files import look

    original = package.weights.parent if package.environment is not None else None
    (folder / "class_names.txt").write_text("\n".join(model.names) + "\n", encoding="utf-8")
    for name in _COPIED:
        if original is not None and look(original / name) is not None:
            shutil.copyfile(original / name, folder / name)
    if original is None:
        _write_json(folder / "environment.json", _environment(model))
        _write_json(folder / "model_type.json", _kind(package))


def _environment(model: Any) -> Mapping[str, Any]:
    """How a graph without an ``environment.json`` gets its pictures."""
    width, height = model.recipe.size
    resize = {"enabled": True, "format": model.recipe.resize, "width": width, "height": height}
    return {"PREPROCESSING": {"auto-orient": {"enabled": True}, "resize": resize}}


def _kind(package: Package) -> Mapping[str, str]:
    from streamkit.models.recognition import recognise
    from streamkit.models.session import Session

    session = Session(package.weights)
    architecture, task = recognise(session)
    session.close()
    return {"project_task_type": task, "model_type": architecture}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_card(folder: Path, report: Report) -> None:
    """``MODEL_CARD.md``."""
    (folder / "MODEL_CARD.md").write_text(card(report), encoding="utf-8")


def card(report: Report) -> str:
    """What was made of what, how, and what it brought and cost."""
    (done, layers), (before, after) = report.layers, report.size
    speed = report.speed
    rows = {
        "made from": _name(report.model),
        "its weights, SHA-256": f"`{report.sha256}`",
        "calibrated with": f"{report.calibration} pictures, the least and greatest value of each "
        "tensor",
        "in eight bits": f"{done} of {layers} layers that have weights; the last ones, which boxes "
        "and scores are read off, stay float32",
        "size": f"{before / 1e6:.2f} MB before, {after / 1e6:.2f} MB after "
        f"({after / before:.2f} of it)",
        "speed": f"{speed.ratio.median:.2f} times as fast ({speed.ratio.low:.2f} to "
        f"{speed.ratio.high:.2f}), {_part(speed.ours_cpu, speed.plain_cpu)} of the CPU: one run "
        f"on one thread, {speed.rounds} turns each in turn, {_machine()}",
        "mAP 50-95": _precision(report),
        "agreement": _agreement(report),
        "doubts": "; ".join(report.doubts),
    }
    table = "\n".join(f"| {name} | {text} |" for name, text in rows.items() if text)
    return _TEXT.format(model=_name(report.model), table=table)


def _name(model: str) -> str:
    """Of a path its end: where it lay is nobody's business."""
    path = Path(model)
    if not path.is_absolute() and ".." not in path.parts:
        return model
    return path.name if path.suffix == ".onnx" else "/".join(path.parts[-2:])


def _part(part: float, whole: float) -> str:
    return f"{part / whole:.2f}" if whole else "?"


def _precision(report: Report) -> str:
    if report.precision is None:
        return ""
    before, after = report.precision
    pictures = f"{report.judged} annotated pictures that it was not calibrated with"
    return f"{before:.4f} before, {after:.4f} after ({after - before:+.4f}) on {pictures}"


def _agreement(report: Report) -> str:
    if not report.objects:
        return f"not known: the original finds nothing in the {report.pictures} held-out pictures"
    return (
        f"{100 * report.agreement:.1f} % of the {report.objects} objects in {report.pictures} "
        "held-out pictures are the same (class, box with an IoU of 0.8, confidence from 0.4)"
    )


def _machine() -> str:
    from streamkit.models.tuning import processor

    return f"{processor()}, ONNX Runtime {_runtime()}"


def _runtime() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)


_TEXT = """# {model}, int8

Static quantisation (QDQ) by ONNX Runtime: weights `int8` per channel, in seven of the eight bits so
that sums do not overflow on processors without VNNI; activations `uint8`.

| | |
| --- | --- |
{table}

Eight bits are not faster everywhere: `streamkit tune` measures how a model runs best on a machine.
Licence and limits are those of the model it was made from.
"""
