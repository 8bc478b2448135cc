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
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamkit.models.devices import CPU, cores
from streamkit.models.execution import Execution
from streamkit.models.store.package import Package
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
        "tensorrt_fp16",
        "cuda_graph",
    }
)
"""Settings which say themselves how models run: with one of them given, no tuning is used."""


class Tuning(BaseModel):
    """How one model runs best here, and by how much."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str
    precision: Literal["f32", "f16", "bf16"] = "f32"
    threads: int = Field(ge=1)
    """Of one run."""
    workers: int = Field(ge=1)
    """Runs at a time."""
    spinning: bool = False
    batch: int | None = Field(default=None, ge=1)
    """Pictures of one run, where the graph leaves that open; ``None``: as without a tuning."""
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
        extra = ", spinning" if self.spinning else ""
        extra += f", batch {self.batch}" if self.batch else ""
        return f"{provider} {self.precision}, {shape} threads{extra}"

    def applied(self, execution: Execution) -> Execution:
        """``execution`` with what was found out."""
        return replace(
            execution,
            providers=(self.provider, CPU) if self.provider != CPU else (CPU,),
            threads=self.threads,
            spinning=self.spinning,
            openvino_precision="bf16" if self.precision == "bf16" else "f32",
            tensorrt_fp16=self.precision == "f16",
        )

    def frugal(self) -> Tuning:
        """The same provider and precision, one run at a time on one thread."""
        return self.model_copy(
            update={"threads": 1, "workers": 1, "spinning": False, "batch": None}
        )


@dataclass(frozen=True, slots=True)
class Way:
    """How a model runs, and what to call that."""

    execution: Execution
    workers: int
    """Runs at a time."""
    batch: int | None = None
    """Pictures of one run at most, where the graph leaves that open; ``None``: not decided."""
    name: str = "exact"


class Tunings:
    """The tunings of this machine, on disk."""

    def __init__(self, folder: Path, *, frugal: bool = False) -> None:
        """``frugal``: of what is known, only the provider and the precision are used."""
        self._folder = folder / machine()
        self._frugal = frugal

    @classmethod
    def of(cls, settings: Settings) -> Tunings | None:
        """``None`` where the exact path is asked for, or settings say how models run."""
        if settings.exact or settings.model_fields_set & _DECIDED:
            return None
        return cls(folder_of(settings), frugal=settings.profile == "low-power")

    def find(self, weights: Path) -> Tuning | None:
        """What is known of these weights; hashed only where anything is known at all."""
        if not self._folder.is_dir():
            return None
        path = self.path(weights)
        try:
            known = Tuning.model_validate_json(path.read_bytes())
            return known.frugal() if self._frugal else known
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.warning("the tuning %s is passed over: %s", path, error)
            return None

    def way(self, package: Package, plain: Way) -> Way:
        """How to run a model: as it was tuned, else ``plain``."""
        tuning = self.find(package.weights)
        if tuning is None:
            return plain
        log.info("%s runs as tuned: %s", package.model_id, tuning.name)
        execution = tuning.applied(plain.execution)
        return Way(execution, tuning.workers, tuning.batch, f"tuned: {tuning.name}")

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
    known = [platform.machine(), processor(), str(cores())]
    for package in ("onnxruntime-gpu", "onnxruntime", "onnxruntime-ep-openvino"):
        try:
            known.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:16]


def processor() -> str:
    """What this machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
