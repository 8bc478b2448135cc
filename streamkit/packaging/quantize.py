"""A model in eight bits: calibrated, measured against the original, written as a package."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from streamkit.bench.measure import Comparison, compare
from streamkit.errors import ConfigError
from streamkit.frame import Image
from streamkit.models.base import InferenceOptions, Model
from streamkit.packaging import folder, graph
from streamkit.packaging.pictures import Pictures
from streamkit.tune.agreement import LEEWAY, agreement, objects
from streamkit.tune.told import said
from streamkit.tune.truth import OPTIONS

if TYPE_CHECKING:
    from streamkit.models.store.package import Package

CONFIDENCE = 0.4
"""Objects from here are compared."""


SOUND: Final = 0.9
"""Share of objects on which both should agree."""


@dataclass(frozen=True, slots=True)
class Report:
    """What eight bits brought, and what they cost."""

    model: str
    sha256: str
    """Of the original's weights."""
    layers: tuple[int, int]
    """In eight bits, and all."""
    calibration: int
    """Pictures."""
    size: tuple[int, int]
    """Bytes before and after."""
    speed: Comparison
    """One run on one CPU thread, the original as ``plain``."""
    agreement: float
    """Share of objects on which both agree."""
    objects: int
    """That the original found in the held-out pictures."""
    pictures: int
    """Held out."""
    precision: tuple[float, float] | None
    """mAP 50-95 before and after, where there were annotations."""
    judged: int
    """Pictures with annotations."""

    @property
    def doubts(self) -> list[str]:
        """What speaks against using it, for people."""
        found = []
        if not self.objects:
            found.append("it was judged by pictures in which the original finds nothing")
        elif self.agreement < SOUND:
            found.append(
                f"it agrees with the original on {100 * self.agreement:.0f} % of the objects only: "
                "calibrate with more pictures like those it will see (--count), or leave more "
                "layers as they are (--keep)"
            )
        if self.speed.ours_cpu > self.speed.plain_cpu:
            found.append("this machine computes it more slowly than the original")
        return found

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        figures = {name: getattr(self, name) for name in self.__slots__ if name != "speed"}
        return {**figures, "speed": self.speed.as_dict(), "doubts": self.doubts}


@dataclass
class Quantising:
    """One model on its way."""

    package: Package
    pictures: Pictures
    to: Path
    kept: int = graph.LAYERS
    """The last layers that stay as they are."""
    rounds: int = 9
    """Turns that each gets when speed is measured."""
    told: Callable[[str, int, int], None] = field(default=lambda _what, _done, _all: None)
    """Hears what is being done, how far it is, and of how much."""

    def run(self) -> Report:
        """Write the package to ``to``, whole or not at all. Raises ``ConfigError`` where something
        is there already, ``ModelArtefactError`` for graphs that cannot be quantised."""
        graph.require()
        folder.check_free(self.to)
        graph.check(self.package.weights)
        self.to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".quantising-", dir=self.to.parent) as work:
            staged = Path(work) / "package"
            staged.mkdir()
            report = self._staged(staged, Path(work))
            folder.move(staged, self.to)
        return report

    def _staged(self, staged: Path, work: Path) -> Report:
        before = _loaded(self.package)
        if self.pictures.truth is not None:
            self.pictures.truth.check(before.names)
        weights = staged / "weights.onnx"
        layers = graph.quantise(
            self.package.weights, weights, self._tensors(before), work, self.kept
        )
        folder.write_texts(staged, self.package, before)
        after = _loaded(folder.read(staged))
        report = self._report(before, after, layers, weights)
        folder.write_card(staged, report)
        before.close()
        after.close()
        return report

    def _tensors(self, model: Model) -> Iterator[npt.NDArray[np.float32]]:
        shown = self.pictures.calibration
        for number, picture in enumerate(shown):
            self.told("calibrating", number, len(shown))
            yield model.prepare([picture])[0]
        self.told("calibrating", len(shown), len(shown))

    def _report(
        self, before: Model, after: Model, layers: tuple[int, int], weights: Path
    ) -> Report:
        both = [self._said(model, name) for model, name in ((before, "before"), (after, "after"))]
        self.told("measuring speed", 0, 1)
        tensor = before.prepare([self.pictures.held_out[0]])[0]
        speed = compare(lambda: before.run(tensor), lambda: after.run(tensor), self.rounds)
        return Report(
            self.package.model_id,
            _digest(self.package.weights),
            layers,
            len(self.pictures.calibration),
            (self.package.weights.stat().st_size, weights.stat().st_size),
            speed,
            agreement(both[0], both[1], CONFIDENCE),
            objects(both[0], CONFIDENCE),
            len(self.pictures.held_out),
            self._precision(before, after),
            len(self.pictures.keys),
        )

    def _said(self, model: Model, name: str) -> list[dict[str, Any]]:
        options = InferenceOptions(confidence=CONFIDENCE - LEEWAY)
        shown = self.pictures.held_out
        found = []
        for number, picture in enumerate(shown):
            self.told(f"looking, {name}", number, len(shown))
            found.append(said(model, picture, options))
        return found

    def _precision(self, before: Model, after: Model) -> tuple[float, float] | None:
        truth, keys = self.pictures.truth, self.pictures.keys
        if truth is None:
            return None
        done = 0

        def judged(model: Model) -> Callable[[Image], Any]:
            def detect(picture: Image) -> Any:
                nonlocal done
                self.told("mAP", done, 2 * len(keys))
                done += 1
                return _infer(model, picture, OPTIONS)

            return detect

        return truth.precision(keys, judged(before)), truth.precision(keys, judged(after))


def _infer(model: Model, picture: Image, options: InferenceOptions) -> Any:
    tensor, geometries = model.prepare([picture])
    return model.finish(model.run(tensor), 0, geometries[0], options)


def _loaded(package: Package) -> Model:
    """On ONNX Runtime's CPU provider, one thread: what runs everywhere."""
    from streamkit.models.devices import CPU
    from streamkit.models.execution import Execution
    from streamkit.models.loading import load
    from streamkit.models.onnx_model import OnnxModel

    model = load(package, Execution((CPU,), threads=1))
    if not isinstance(model, OnnxModel):
        raise ConfigError(f"{package.model_id} has no graph that could be quantised")
    return model


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
