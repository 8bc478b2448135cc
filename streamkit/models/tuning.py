"""What ``streamkit tune`` found out about a model on this machine: kept beside the model cache.

One JSON file per machine and model: ``<tuning dir>/<machine>/<first 32 digits of the SHA-256 of
weights>.json``. Nothing in it is code; a file that cannot be read is as good as none.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import platform
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamkit.models.devices import CPU, OPENVINO
from streamkit.models.execution import Execution
from streamkit.settings import Settings

log = logging.getLogger(__name__)

_DECIDED: Final = frozenset(
    {
        "onnxruntime_execution_providers",
        "required_onnx_providers",
        "model_workers",
        "model_threads",
        "ort_spinning",
        "ort_path",
        "openvino_precision",
    }
)
"""Settings which say themselves how models run: with one of them given, no tuning is used."""


class Tuning(BaseModel):
    """How one model runs best here, and by how much."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str
    precision: Literal["f32", "bf16"] = "f32"
    threads: int = Field(ge=1)
    """Of one run."""
    workers: int = Field(ge=1)
    """Runs at a time."""
    spinning: bool = False
    goal: Literal["throughput", "latency"] = "throughput"
    agreement: float = Field(default=1.0, ge=0, le=1)
    """Share of objects on which it and the exact path agree."""
    speed: float = Field(default=1.0, gt=0)
    """How many times the frames per second of the exact path."""
    cpu: float = Field(default=1.0, gt=0)
    """CPU per frame, as a part of the exact path's."""

    @property
    def name(self) -> str:
        """As tables and stats show it."""
        provider = self.provider.removesuffix("ExecutionProvider")
        shape = f"{self.workers} x {self.threads}"
        return f"{provider} {self.precision}, {shape} threads" + (", spinning" * self.spinning)

    def applied(self, execution: Execution) -> Execution:
        """``execution`` with what was found out."""
        return replace(
            execution,
            providers=(self.provider, CPU) if self.provider != CPU else (CPU,),
            threads=self.threads,
            spinning=self.spinning,
            openvino_precision=self.precision if self.provider == OPENVINO else "f32",
        )


class Tunings:
    """The tunings of this machine, on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / machine()

    @classmethod
    def of(cls, settings: Settings) -> Tunings | None:
        """``None`` where the exact path is asked for, or settings say how models run."""
        if settings.exact or settings.model_fields_set & _DECIDED:
            return None
        return cls(folder_of(settings))

    def find(self, weights: Path) -> Tuning | None:
        """What is known of these weights; hashed only where anything is known at all."""
        if not self._folder.is_dir():
            return None
        path = self.path(weights)
        try:
            return Tuning.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.warning("the tuning %s is passed over: %s", path, error)
            return None

    def keep(self, weights: Path, tuning: Tuning) -> Path:
        """Write it down. Raises ``OSError``."""
        path = self.path(weights)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}")
        beside.write_text(tuning.model_dump_json(indent=1), encoding="utf-8")
        beside.replace(path)
        return path

    def forget(self, weights: Path) -> bool:
        """Whether there was one."""
        path = self.path(weights)
        known = path.exists()
        path.unlink(missing_ok=True)
        return known

    def path(self, weights: Path) -> Path:
        """Where the tuning of these weights is kept."""
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return self._folder / f"{digest[:32]}.json"


def folder_of(settings: Settings) -> Path:
    """Beside the model cache, never inside it."""
    return settings.model_cache_dir.absolute().parent / "tuning"


@functools.cache
def machine() -> str:
    """What a measurement holds for: this processor, its cores, these versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    known = [platform.machine(), _processor(), str(cores)]
    for package in ("onnxruntime-gpu", "onnxruntime", "onnxruntime-ep-openvino"):
        try:
            known.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:16]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("model name")), platform.processor())
