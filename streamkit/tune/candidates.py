"""What is tried: providers, precisions, threads by concurrent runs, spinning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Precision = Literal["f32", "bf16"]

CPU, OPENVINO = "CPUExecutionProvider", "OpenVINOExecutionProvider"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run a model."""

    provider: str
    precision: Precision
    threads: int
    workers: int
    spinning: bool = False

    @property
    def name(self) -> str:
        """For tables."""
        provider = self.provider.removesuffix("ExecutionProvider")
        extra = ", spinning" if self.spinning else ""
        return f"{provider} {self.precision}, {self.workers} x {self.threads} threads{extra}"

    def as_dict(self) -> dict[str, Any]:
        """For the child that measures it."""
        return {name: getattr(self, name) for name in self.__slots__}


def exact(cores: int) -> Candidate:
    """What runs without any tuning: float32 on ONNX Runtime's own CPU provider."""
    return Candidate(CPU, "f32", max(1, cores // 2), 2)


def candidates(cores: int, providers: tuple[str, ...], *, inexact: bool) -> Iterator[Candidate]:
    """All that make sense here; without ``inexact`` only those that compute with float32."""
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
        if provider == CPU:
            yield Candidate(CPU, "f32", cores, 1, spinning=True)


def _precisions(provider: str, *, inexact: bool) -> tuple[Precision, ...]:
    return ("f32", "bf16") if provider == OPENVINO and inexact else ("f32",)
