"""What is tried: providers, precisions, threads by concurrent runs, batch sizes, spinning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Precision = Literal["f32", "f16", "bf16"]

CPU, OPENVINO = "CPUExecutionProvider", "OpenVINOExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

_BATCHES = {CPU: (4,), OPENVINO: (4,)}
_GPU_BATCHES = (4, 8, 16)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run a model."""

    provider: str
    precision: Precision
    threads: int
    workers: int
    spinning: bool = False
    batch: int = 1
    """Pictures of one run."""

    @property
    def name(self) -> str:
        """For tables."""
        provider = self.provider.removesuffix("ExecutionProvider")
        extra = (", spinning" * self.spinning) + (f", batch {self.batch}" * (self.batch > 1))
        return f"{provider} {self.precision}, {self.workers} x {self.threads} threads{extra}"

    def as_dict(self) -> dict[str, Any]:
        """For the child that measures it."""
        return {name: getattr(self, name) for name in self.__slots__}


def exact(cores: int) -> Candidate:
    """What runs without any tuning: float32 on ONNX Runtime's own CPU provider."""
    return Candidate(CPU, "f32", max(1, cores // 2), 2)


def candidates(
    cores: int, providers: tuple[str, ...], *, inexact: bool, batches: bool = False
) -> Iterator[Candidate]:
    """All that make sense here; without ``inexact`` only those that compute with float32.

    ``batches``: the graph leaves the number of pictures open, and more than one may be shown.
    """
    shapes = dict.fromkeys(
        (threads, workers)
        for threads, workers in (
            (1, cores),
            (max(1, cores // 2), 2),
            (cores, 1),
            (1, cores + 1),
            (max(1, cores // 4), 4),
        )
        if threads * workers <= 2 * cores
    )
    for provider in providers:
        for precision in _precisions(provider, inexact=inexact):
            for threads, workers in shapes:
                yield Candidate(provider, precision, threads, workers)
            if batches:
                yield from _batched(provider, precision, cores)
        if provider == CPU:
            yield Candidate(CPU, "f32", cores, 1, spinning=True)


def _batched(provider: str, precision: Precision, cores: int) -> Iterator[Candidate]:
    for batch in _BATCHES.get(provider, _GPU_BATCHES):
        for threads, workers in dict.fromkeys([(cores, 1), (1, cores)]):
            yield Candidate(provider, precision, threads, workers, batch=batch)


def _precisions(provider: str, *, inexact: bool) -> tuple[Precision, ...]:
    lower: dict[str, Precision] = {OPENVINO: "bf16", TENSORRT: "f16"}
    return ("f32", lower[provider]) if inexact and provider in lower else ("f32",)
