"""What a document out of a request may not say: run code, read or write anywhere, tell secrets."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from streamkit.credentials import is_reference
from streamkit.errors import ConfigError
from streamkit.models.ids import parse
from streamkit.spec import PipelineSpec, SourceSpec, StepSpec

_INSIDE = ("synthetic:",)
_FILES = ("file://", "replay:")


@dataclass(frozen=True, slots=True)
class House:
    """What requests may use of this machine."""

    outputs: Path
    """Where sinks write to, and nowhere else."""
    media: Path | None = None
    """Where files that are read as sources lie; ``None``: no files are read."""
    cameras: tuple[str, ...] = ()
    """Hosts that sources may be on; any where empty, but for those that only clouds have."""
    secrets: tuple[str, ...] = ()
    """Names of variables that may be referred to (``env:NAME``)."""

    def admit(self, document: Any) -> PipelineSpec:
        """The document of a request, its places inside the house. Raises ``ConfigError``."""
        for name in _names(document):  # before anything looks for what they stand for
            if ":" in name:
                raise ConfigError(f"{_start(name)}: a request may not name classes of its own")
        for text in _texts(document):
            self._secret(text)
        spec = PipelineSpec.of(document, "document")
        sources = [self._source(source) for source in spec.sources]
        for model in _models(spec):
            if model not in spec.models:
                parse(model)
        placed = spec.placed(self.outputs)
        for step in _steps(placed):
            self._step(step)
        return placed.model_copy(update={"sources": sources})

    def _secret(self, text: str) -> None:
        if "${" in text:
            raise ConfigError(f"{_start(text)}: a request has no variables; say it in full")
        if is_reference(text) and text.removeprefix("env:") not in self.secrets:
            names = ", ".join(self.secrets) or "none"
            raise ConfigError(
                f"{text.partition(':')[0]}: a request may refer to these variables only: {names} "
                "(STREAMKIT_REQUEST_SECRETS)"
            )

    def _source(self, source: SourceSpec) -> SourceSpec:
        for value in source.options.values():
            self._address(value)
        reference = source.reference
        if isinstance(reference, int) or reference.isdecimal() or reference.startswith(_INSIDE):
            return source
        if "://" in reference and not reference.startswith(_FILES):
            self._address(reference)
            return source
        return source.model_copy(update={"reference": self._file(reference)})

    def _file(self, reference: str) -> str:
        if self.media is None:
            raise ConfigError(
                "a request may not name files of the server: set STREAMKIT_MEDIA_DIR to the folder "
                "where those lie that it may"
            )
        replay = "replay:" if reference.startswith("replay:") else ""
        place = reference.removeprefix("replay:").removeprefix("file://")
        path = (self.media / place).resolve()
        if not path.is_relative_to(self.media.resolve()):
            raise ConfigError(f"{_start(place)}: not in the folder that requests may read")
        return f"{replay}{path}"

    def _address(self, value: Any) -> None:
        """Of anything that looks like one."""
        if not isinstance(value, str) or "://" not in value:
            return
        host = (urlsplit(value).hostname or "").rstrip(".").lower()
        if self.cameras and host not in map(str.lower, self.cameras):
            known = ", ".join(self.cameras)
            raise ConfigError(f"{host}: not one of the cameras of this server: {known}")
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return
        if address.is_link_local or address.is_unspecified or address.is_multicast:
            raise ConfigError(f"{host}: no camera has such an address")

    def _step(self, step: StepSpec) -> None:
        if step.options.get("allow_private") or step.options.get("allow"):
            raise ConfigError(f"{step.name}: allow and allow_private are the server's to say")
        for name, value in _paths(step.options):
            if not Path(value).resolve().is_relative_to(self.outputs.resolve()):
                raise ConfigError(f"{step.name}: {name}: give a path below the server's folder")


def _names(document: Any) -> Iterator[str]:
    """What the steps of a document are called, however it is written."""
    if not isinstance(document, Mapping):
        return
    sources = document.get("sources")
    for part in (document, *(sources if isinstance(sources, list) else ())):
        for kind in ("stages", "sinks"):
            steps = part.get(kind) if isinstance(part, Mapping) else None
            for step in steps if isinstance(steps, list) else ():
                yield from _texts([step] if isinstance(step, str) else list(_keys(step)))


def _keys(step: Any) -> Iterator[Any]:
    if isinstance(step, Mapping):
        yield step.get("name")
        yield from step


def _steps(spec: PipelineSpec) -> Iterator[StepSpec]:
    yield from (*spec.stages, *spec.sinks)
    for source in spec.sources:
        yield from (*(source.stages or ()), *(source.sinks or ()))


def _models(spec: PipelineSpec) -> Iterator[str]:
    yield from (spec.model.id, *spec.ladder, *(model.id for model in spec.models.values()))
    for source in spec.sources:
        if source.model is not None and source.model.id:
            yield source.model.id
    for step in _steps(spec):
        model = step.options.get("model")
        if isinstance(model, str):
            yield model


def _texts(value: Any) -> Iterator[str]:
    """Every text in it, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _paths(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What looks like a path: absolute, or with a way up."""
    for name, value in options.items():
        for text in _texts(value):
            if Path(text).is_absolute() or ".." in Path(text).parts:
                yield name, text


def _start(text: str) -> str:
    return repr(text if len(text) < 40 else f"{text[:40]}...")
