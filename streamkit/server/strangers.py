"""What a document out of a request may not say: run code, read or write anywhere, tell secrets."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

from streamkit import plugins
from streamkit.credentials import is_reference
from streamkit.documents.paths import inner_of, model_options, path_options
from streamkit.errors import ConfigError
from streamkit.models.ids import parse
from streamkit.sinks import SINKS
from streamkit.sources.reference import parse as address_of
from streamkit.sources.synthetic import options_in
from streamkit.spec import PipelineSpec, SourceSpec, StepSpec
from streamkit.stages import STAGES

_INSIDE: Final = ("synthetic:", "TestPatternStreamProducer")
_FILES: Final = ("file://", "replay:")
_NEVER: Final = ("callback", "window")
"""Sinks that call what they are told, or open windows on the server's screen."""
_CLOUDS: Final = ("metadata", "metadata.google.internal", "metadata.goog", "instance-data")
_CLOUD: Final = ipaddress.ip_address("fd00:ec2::254")
"""What only clouds have: the place that hands out a machine's own credentials."""
_PIXELS: Final = 3840 * 2160
"""Of a frame that a request has made: 4K."""
_MOST: Final = 256
"""Sources of one document; each has threads of its own."""


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
        if len(spec.sources) > _MOST:
            raise ConfigError(f"{len(spec.sources)} sources; the most in one document are {_MOST}")
        for model in _models(spec):
            parse(model)
        for name in spec.models:
            if "/" in name or name.startswith(("~", ".")) or name.endswith(".onnx"):
                raise ConfigError(f"models: {_start(name)}: a name that could be a path")
        self._options(spec.stream)
        placed = spec.placed(self.outputs)
        sources = map(self._source, spec.sources, placed.sources)
        return placed.model_copy(
            update={
                "sources": list(sources),
                "stages": self._steps(STAGES, spec.stages, placed.stages),
                "sinks": self._steps(SINKS, spec.sinks, placed.sinks),
                # Never a folder that lies among what pipelines wrote.
                "model": spec.model,
                "models": spec.models,
                "ladder": spec.ladder,
            }
        )

    def _secret(self, text: str) -> None:
        if "${" in text:
            raise ConfigError(f"{_start(text)}: a request has no variables; say it in full")
        if is_reference(text) and text.removeprefix("env:") not in self.secrets:
            names = ", ".join(self.secrets) or "none"
            raise ConfigError(
                f"{text.partition(':')[0]}: a request may refer to these variables only: {names} "
                "(STREAMKIT_REQUEST_SECRETS)"
            )

    def _source(self, source: SourceSpec, placed: SourceSpec) -> SourceSpec:
        self._options(source.options)
        _small(source)
        steps = {
            "stages": self._steps(STAGES, source.stages, placed.stages),
            "sinks": self._steps(SINKS, source.sinks, placed.sinks),
        }
        return source.model_copy(update={"reference": self._reference(source.reference), **steps})

    def _reference(self, reference: str | int) -> str | int:
        if isinstance(reference, int) or reference.isdecimal() or reference.startswith(_INSIDE):
            return reference
        if "://" in reference and not reference.lower().startswith(_FILES):
            self._address(reference)
            return reference
        return self._file(reference)

    def _options(self, options: Mapping[str, Any]) -> None:
        """Of a source or its stream: no files, no addresses beyond the cameras."""
        for name, value in options.items():
            if name.endswith("_file") and value is not None:
                raise ConfigError(f"{name}: a request may not name files of the server")
            for text in _texts(value):
                if "://" in text:
                    self._address(text)

    def _file(self, reference: str) -> str:
        if self.media is None:
            raise ConfigError(
                "a request may not name files of the server: set STREAMKIT_MEDIA_DIR to the folder "
                "where those lie that it may"
            )
        replay = "replay:" if reference.startswith("replay:") else ""
        place = reference.removeprefix("replay:")
        if place.lower().startswith("file://"):
            place = place[len("file://") :]
        path = _resolved(self.media / place)
        if path is None or not path.is_relative_to(self.media.resolve()):
            raise ConfigError(f"{_start(place)}: not in the folder that requests may read")
        return f"{replay}{path}"

    def _address(self, text: str) -> None:
        """Taken apart as its source does it, so that both mean the same host."""
        host = address_of(text).bare_host.partition("%")[0].rstrip(".").lower()
        if not host:
            raise ConfigError("an address of a camera names its host: rtsp://camera/1")
        if self.cameras and host not in map(str.lower, self.cameras):
            known = ", ".join(self.cameras)
            raise ConfigError(f"{host}: not one of the cameras of this server: {known}")
        address = _literal(host)
        never = address is not None and (
            address.is_link_local
            or address.is_unspecified
            or address.is_multicast
            or address == _CLOUD
        )
        if never or host in _CLOUDS:
            raise ConfigError(f"{host}: no camera has such an address")

    def _steps(
        self, table: Mapping[str, str], said: list[StepSpec] | None, placed: list[StepSpec] | None
    ) -> list[StepSpec] | None:
        if said is None or placed is None:
            return None
        return [self._step(table, *both) for both in zip(said, placed, strict=True)]

    def _step(self, table: Mapping[str, str], said: StepSpec, step: StepSpec) -> StepSpec:
        """``step``, with models as they were said."""
        if step.options.get("allow_private") or step.options.get("allow"):
            raise ConfigError(f"{step.name}: allow and allow_private are the server's to say")
        made_by = plugins.load(table, _of_ours(table, step.name))
        paths = path_options(made_by)
        if plugins.takes_any(made_by):
            inner = inner_of(table, made_by, step.options) or str(step.options.get("to"))
            _of_ours(table, inner)
            paths |= path_options(plugins.load(table, inner))
        named = [(name, text) for name in paths for text in _places(step.options.get(name))]
        for name, text in (*named, *_paths(step.options)):
            path = _resolved(Path(text)) if Path(text).is_absolute() else None
            if path is None or not path.is_relative_to(self.outputs.resolve()):
                raise ConfigError(f"{step.name}: {name}: give a path below the server's folder")
        ids = {
            k: said.options[k]
            for k in model_options(plugins.parameters_of(made_by))
            if k in said.options
        }
        return step.model_copy(update={"options": {**step.options, **ids}})


def _small(source: SourceSpec) -> None:
    """Pictures that are made here are no larger than a camera's."""
    if not isinstance(source.reference, str) or not source.reference.startswith(_INSIDE):
        return
    said = options_in(source.reference) if source.reference.startswith(_INSIDE[0]) else {}
    size: dict[str, Any] = {"width": 1920, "height": 1080, **said, **source.options}
    sides = size["width"], size["height"]
    if not all(isinstance(side, int) for side in sides) or prod(sides) > _PIXELS:
        raise ConfigError(f"width and height: whole numbers, {_PIXELS} pixels in all at most")


def _of_ours(table: Mapping[str, str], name: str) -> str:
    """``name``, where requests may say it."""
    if name not in table or name in _NEVER:
        known = ", ".join(sorted(set(table) - set(_NEVER)))
        raise ConfigError(f"{_start(name)} is not for requests; choose from {known}")
    return name


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that ``host`` is, in any of the ways resolvers read: ``0xA9FEA9FE``, too."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, UnicodeError, ValueError):
            return None
    return getattr(address, "ipv4_mapped", None) or address


def _resolved(path: Path) -> Path | None:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a zero byte
        return None


def _places(value: Any) -> Iterator[str]:
    """The paths in an option that takes some, also one inside options of what has a path."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _places(value.get("path"))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _places(inner)


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
    """The ids in it: all that is said to be a model and is not a name of ``models``."""
    yield from (model.id for model in spec.models.values())
    stream = spec.stream.get("model")
    if isinstance(stream, Mapping) and stream.get("id"):
        yield str(stream["id"])
    said: list[Any] = [spec.model.id, *spec.ladder]
    said += [source.model.id for source in spec.sources if source.model is not None]
    said += [step.options.get("model") for step in _steps(spec)]
    yield from (one for one in said if isinstance(one, str) and one not in spec.models)


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
