"""The pipeline document: one schema for YAML files, the command line and Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from streamkit import plugins
from streamkit.errors import ConfigError
from streamkit.models.base import MaskDecodeMode
from streamkit.options import SourceReference
from streamkit.pipeline import InferencePipeline
from streamkit.sinks import SINKS
from streamkit.sources.reference import printable
from streamkit.stages import STAGES


class _Strict(BaseModel):
    # What was given, in the text of an error, may be a password.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SourceSpec(BaseModel):
    """Where pictures come from; further keys are options of its stream (``max_fps``, ``name``, ...)
    and of that kind of source (``transport``, ...)."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    reference: str | int

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """The names of the options only: one of them may be a password."""
        yield "reference", printable(self.reference)
        yield "options", sorted(self.options)

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the reference."""
        return dict(self.model_extra or {})


class ModelSpec(_Strict):
    """Which model, and what is wanted of it."""

    id: str
    confidence: float | None = Field(None, ge=0, le=1)
    iou_threshold: float | None = Field(None, ge=0, le=1)
    class_agnostic_nms: bool | None = None
    max_candidates: int | None = Field(None, ge=1)
    max_detections: int | None = Field(None, ge=1)
    mask_decode_mode: MaskDecodeMode | None = None
    tradeoff_factor: float | None = Field(None, ge=0, le=1)
    keypoint_confidence: float | None = Field(None, ge=0, le=1)


class StepSpec(_Strict):
    """A stage or a sink: its name in the table, and the options of its constructor."""

    name: str
    options: dict[str, Any] = {}


def _keyed(key: str) -> BeforeValidator:
    """A plain value stands for ``{key: value}``."""
    return BeforeValidator(lambda v: v if isinstance(v, dict | BaseModel) else {key: v})


def _step(value: Any) -> Any:
    """``annotate`` or ``{video: {path: out.mp4}}``."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and len(value) == 1 and "name" not in value:
        name, options = next(iter(value.items()))
        return {"name": name, "options": options or {}}
    return value


Source: TypeAlias = Annotated[SourceSpec, _keyed("reference")]
Step: TypeAlias = Annotated[StepSpec, BeforeValidator(_step)]


class PipelineSpec(_Strict):
    """A whole pipeline. Relative paths are meant from the document's folder."""

    sources: list[Source] = Field(min_length=1)
    model: Annotated[ModelSpec, _keyed("id")]
    stages: list[Step] = []
    sinks: list[Step] = []
    max_fps: float | None = Field(None, gt=0)
    max_staleness: float | None = Field(None, ge=0)
    stream: dict[str, Any] = {}
    """Options of every stream; a source's own come first."""
    degrade: bool | dict[str, Any] = False
    """Under overload, lower rates, then a smaller input, then the models of ``ladder``."""
    ladder: list[str] = []
    admission: bool | dict[str, Any] = False
    """Refuse live sources for which the model has no room."""
    require_sources: bool = False
    """End with an error when a source cannot be opened at the start, instead of trying on."""
    exact: bool = False
    """Run the model as it is, whatever ``streamkit tune`` has found out."""
    profile: Literal["default", "low-power"] | None = None
    """``low-power``: one run of the model at a time, on one thread; ``None``: as the settings."""
    keep_alive: bool = False
    """Go on when the last source has ended or was removed: others may be added."""

    @classmethod
    def of(cls, document: Any, where: str = "document", text: str = "") -> PipelineSpec:
        """Check a parsed document. ``ConfigError`` names each wrong key and what it takes, and its
        line in ``text``, what the document was parsed from."""
        if not isinstance(document, dict):
            raise ConfigError(f"{where}: expected a mapping with sources, model, stages, sinks")
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise ConfigError(_explain(error, where, text)) from error

    @classmethod
    def load(cls, path: str | Path) -> PipelineSpec:
        """Read a YAML file; relative paths in it become absolute."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
            document = yaml.safe_load(text)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror or error}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not YAML: {_fault(error)}") from None
        return cls.of(document, str(path), text).placed(path.resolve().parent)

    def placed(self, folder: Path) -> PipelineSpec:
        """The same document with its relative paths taken from ``folder``."""
        model = self.model.model_copy(update={"id": _model_path(self.model.id, folder)})
        sources = [
            source.model_copy(update={"reference": _source_path(source.reference, folder)})
            for source in self.sources
        ]
        sinks = [
            sink.model_copy(update={"options": _sink_paths(sink.options, folder)})
            for sink in self.sinks
        ]
        ladder = [_model_path(model_id, folder) for model_id in self.ladder]
        placed = {"model": model, "ladder": ladder, "sources": sources, "sinks": sinks}
        return self.model_copy(update=placed)


def _fault(error: Exception) -> str:
    """What is wrong and where, without the text around it: there may be a password in it."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return type(error).__name__
    mark = error.problem_mark or error.context_mark
    where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{error.problem or error.context}{where}"


_PLACE = re.compile(r"^(\$\{|[a-z][a-z0-9+.-]*:|\d+$|/|~)", re.IGNORECASE)
"""A URL, ``module:Class``, a camera index, an absolute or a home path: not relative."""
_REPLAY = "replay:"


def _source_path(reference: str | int, folder: Path) -> str | int:
    if isinstance(reference, str) and reference.startswith(_REPLAY):
        return f"{_REPLAY}{_source_path(reference.removeprefix(_REPLAY), folder)}"
    relative = isinstance(reference, str) and not _PLACE.match(reference)
    return str((folder / str(reference)).resolve()) if relative else reference


def _model_path(model_id: str, folder: Path) -> str:
    """A path is what cannot be a model id (``./x``, ``../x``, ``x.onnx``), or is there."""
    relative = model_id.startswith(("./", "../")) or model_id.endswith(".onnx")
    relative = relative or (bool(model_id) and (folder / model_id).is_dir())
    relative = relative and not _PLACE.match(model_id)
    return str((folder / model_id).resolve()) if relative else model_id


def _sink_paths(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    path = options.get("path")
    if not isinstance(path, str) or _PLACE.match(path):
        return dict(options)
    return {**options, "path": str((folder / path).resolve())}


def _explain(error: ValidationError, where: str, text: str) -> str:
    lines = []
    for each in error.errors():
        place = ".".join(str(part) for part in each["loc"])
        message = each["msg"]
        if each["type"] == "extra_forbidden":
            message = f"unknown key; {_choices(each['loc'])}"
        elif each["loc"][0] != "sources" and isinstance(each["input"], int | float | str):
            place += f"={each['input']!r}"  # an address of a source may hold a password
        line = f" (line {_line(text, each['loc'])})" if text else ""
        lines.append(f"{where}: {place}: {message}{line}")
    return "\n".join(lines)


def _line(text: str, location: tuple[int | str, ...]) -> int:
    """Where in the YAML ``text`` the key at ``location`` is, or the innermost that is there."""
    node, mark = yaml.compose(text, Loader=yaml.SafeLoader), 0
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            found = [(value, value) for value in node.value[part : part + 1]]
        else:
            found = []
        if not found:
            break
        mark, node = found[0][0].start_mark.line, found[0][1]
    return int(mark) + 1


def _choices(location: tuple[int | str, ...]) -> str:
    inner: dict[str, type[_Strict]] = {"model": ModelSpec, "stages": StepSpec, "sinks": StepSpec}
    kind: type[BaseModel] = (
        inner.get(str(location[0]), PipelineSpec) if len(location) > 1 else PipelineSpec
    )
    return "known: " + ", ".join(kind.model_fields)


def build_pipeline(spec: PipelineSpec, **more: Any) -> InferencePipeline:
    """The pipeline a document describes, its model loaded, not yet started.

    ``more`` are further keywords of ``InferencePipeline.init``. Raises ``ConfigError`` for names
    and options that do not exist, and what loading raises.
    """
    _refuse_to_overwrite(spec)
    asked = {k: v for k, v in spec.model.model_dump(exclude={"id"}).items() if v is not None}
    return InferencePipeline.init(
        [SourceReference(source.reference, source.options) for source in spec.sources],
        spec.model.id,
        max_fps=spec.max_fps,
        max_staleness=spec.max_staleness,
        stream=spec.stream,
        degrade=spec.degrade,
        ladder=spec.ladder,
        admission=spec.admission,
        stages=[_maker(STAGES, step) for step in spec.stages],
        sinks=[_maker(SINKS, step) for step in spec.sinks],
        require_sources=spec.require_sources,
        keep_alive=spec.keep_alive,
        **asked,
        **{**_manager(spec), **more},
    )


def manager_settings(spec: PipelineSpec) -> dict[str, Any]:
    """Settings of the models that the document decides itself."""
    given: dict[str, Any] = {"exact": True} if spec.exact else {}
    return given if spec.profile is None else {**given, "profile": spec.profile}


def _manager(spec: PipelineSpec) -> dict[str, Any]:
    """One of its own only where the document asks for a way to run models."""
    given = manager_settings(spec)
    if not given:
        return {}
    from streamkit.models.manager import default_manager

    return {"manager": default_manager(**given)}


def _refuse_to_overwrite(spec: PipelineSpec) -> None:
    """Raise ``ConfigError`` where a sink would write to the very file that a source reads."""
    outputs = [Path(str(sink.options["path"])) for sink in spec.sinks if "path" in sink.options]
    for source in spec.sources:
        read = Path(str(source.reference).removeprefix("file://"))
        for output in outputs:
            if read.is_file() and output.is_file() and read.samefile(output):
                raise ConfigError(f"{output} is read by a source, no sink can write it")


def _maker(table: Mapping[str, str], step: StepSpec) -> Callable[[], Any]:
    """Makes what ``step`` names; wrong names and options are found here, before anything runs."""
    plugins.check(plugins.load(table, step.name), step.name, step.options)
    return lambda: plugins.build(table, step.name, step.options)
