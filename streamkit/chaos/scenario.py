"""The chaos document: cameras, and what goes wrong with each, in YAML."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from streamkit.chaos.camera import Camera
from streamkit.chaos.lab import Lab
from streamkit.chaos.script import Cue, Entry
from streamkit.errors import ConfigError


@dataclass(frozen=True)
class Scenario:
    """Cameras and their scripts."""

    cameras: list[Camera]
    script: dict[str, list[Entry]] = field(default_factory=dict)
    seed: int = 0

    @classmethod
    def load(cls, path: Path) -> Scenario:
        """Read a YAML file; clips are meant from its folder. ``ConfigError`` says what is wrong."""
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror or error}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
        try:
            return cls.of(document, path.resolve().parent)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    @classmethod
    def of(cls, document: Any, folder: Path) -> Scenario:
        """Check a parsed document: ``cameras`` (each with ``faults``), common ``faults``, seed."""
        if not isinstance(document, dict) or not document.get("cameras"):
            raise ConfigError("expected a mapping with cameras, faults, seed")
        if unknown := set(document) - {"cameras", "faults", "seed"}:
            named = ", ".join(map(str, unknown))
            raise ConfigError(f"unknown {named}; it takes cameras, faults, seed")
        if not isinstance(document["cameras"], list):
            raise ConfigError("cameras: expected a list")
        seed = document.get("seed", 0)
        if not isinstance(seed, int):
            raise ConfigError("seed: expected a whole number")
        common = _entries(document.get("faults"), "faults")
        cameras, script = list[Camera](), dict[str, list[Entry]]()
        for number, written in enumerate(document["cameras"], 1):
            camera, own = _camera(written, number, folder)
            cameras.append(camera)
            script[camera.name] = [*common, *own]
        return cls(cameras, script, seed)

    def adding(self, entries: list[Entry]) -> Scenario:
        """The same with ``entries`` for every camera."""
        return replace(self, script={name: [*own, *entries] for name, own in self.script.items()})


def _camera(written: Any, number: int, folder: Path) -> tuple[Camera, list[Entry]]:
    if not isinstance(written, dict):
        raise ConfigError(f"cameras: {number}: expected a mapping")
    options = {"name": f"camera{number}", **written}
    where = f"camera {options['name']}"
    own = _entries(options.pop("faults", None), where)
    for key in ("clip", "certificate"):
        if isinstance(options.get(key), str):
            options[key] = folder / options[key]
    try:
        return Camera.model_validate(options), own
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            choices = ", ".join([*Camera.model_fields, "faults"])
            raise ConfigError(f"{where}: no option {place!r}; it takes {choices}") from None
        said = f"{place}: {first['msg']}".removeprefix(": ")
        raise ConfigError(f"{where}: {said}") from None  # the cause would show a password


def _entries(written: Any, where: str) -> list[Entry]:
    if not isinstance(written, list | None):
        raise ConfigError(f"{where}: faults: expected a list")
    try:
        return [Entry.of(one) for one in written or []]
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def perform(lab: Lab, script: Iterable[Cue], stopped: threading.Event) -> None:
    """Have each cue done at its time, counted from now, until all are done or it is stopped."""
    begun = time.monotonic()
    for cue in script:
        if stopped.wait(max(0.0, begun + cue.at - time.monotonic())):
            return
        lab[cue.camera].apply(cue.fault, seconds=cue.seconds)
