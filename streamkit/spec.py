"""The pipeline document: one schema for YAML files, request bodies, the command line and Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_serializer,
)

from streamkit.documents.explain import explained, partly
from streamkit.documents.paths import placed_model, placed_options, placed_source
from streamkit.documents.places import Places, Problem, refuse, told_id
from streamkit.documents.text import Written, read
from streamkit.documents.variables import Variables
from streamkit.errors import ConfigError
from streamkit.models.base import MaskDecodeMode
from streamkit.pipeline import InferencePipeline
from streamkit.sinks import SINKS
from streamkit.sources.reference import printable
from streamkit.stages import STAGES


class _Strict(BaseModel):
    # What was given, in the text of an error, may be a password.
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True
    )


class ModelOptions(_Strict):
    """What is wanted of a model."""

    confidence: float | None = Field(None, ge=0, le=1)
    """Keep objects at least this sure."""
    iou_threshold: float | None = Field(None, ge=0, le=1)
    """Of two objects that overlap more, the surer one is kept."""
    class_agnostic_nms: bool | None = None
    """Also where they are of different classes."""
    max_candidates: int | None = Field(None, ge=1)
    max_detections: int | None = Field(None, ge=1)
    mask_decode_mode: MaskDecodeMode | None = None
    tradeoff_factor: float | None = Field(None, ge=0, le=1)
    keypoint_confidence: float | None = Field(None, ge=0, le=1)

    @property
    def asked(self) -> dict[str, Any]:
        """What was said, without the model's id."""
        given = self.model_dump(exclude={"id"})
        return {name: value for name, value in given.items() if value is not None}


class ModelSpec(ModelOptions):
    """Which model, and what is wanted of it."""

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        yield "id", told_id(self.id)
        yield "options", self.asked

    id: str = Field(min_length=1)
    """``dataset/version``, an alias, a folder, an ``.onnx`` file, or a name of ``models``."""


class SourceModelSpec(ModelOptions):
    """What a source wants of the model, or of another one."""

    id: str | None = Field(None, min_length=1)
    """Another model than the document's."""


class StepSpec(_Strict):
    """A stage or a sink: its name in the table, and the options of its constructor."""

    name: str
    options: dict[str, Any] = Field({}, repr=False)
    for_: Annotated[
        tuple[str, ...] | None, BeforeValidator(lambda v: [v] if isinstance(v, str) else v)
    ] = Field(None, alias="for", min_length=1)
    """Names of the sources it is for; all where there is none."""

    @model_serializer
    def _written(self) -> dict[str, Any]:
        said: dict[str, Any] = {"name": self.name, "options": self.options}
        return said if self.for_ is None else {**said, "for": list(self.for_)}


def _keyed(key: str) -> BeforeValidator:
    """A plain value stands for ``{key: value}``."""
    return BeforeValidator(lambda v: v if isinstance(v, dict | BaseModel) else {key: v})


def _step(value: Any) -> Any:
    """``annotate``, ``{video: {path: out.mp4}}`` or ``{zone: {...}, for: [entrance]}``."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and "name" not in value:
        named = [key for key in value if key != "for"]
        if len(named) != 1:
            raise ValueError("give one name with its options, like {video: {path: out.mp4}}")
        options = value[named[0]]
        rest = {"for": value["for"]} if "for" in value else {}
        return {"name": named[0], "options": {} if options is None else options, **rest}
    return value


Step: TypeAlias = Annotated[StepSpec, BeforeValidator(_step)]


class SourceSpec(BaseModel):
    """Where pictures come from; further keys are options of its stream (``max_fps``, ``name``, ...)
    and of that kind of source (``transport``, ...)."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    reference: str | int
    model: Annotated[SourceModelSpec, _keyed("id")] | None = None
    """What it wants of the model, or another model."""
    stages: list[Step] | None = None
    """Its own, in place of the document's."""
    sinks: list[Step] | None = None
    """Its own, in place of the document's."""

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """The names of the options only: one of them may be a password."""
        yield "reference", printable(self.reference)
        yield "options", sorted(self.options)

    @property
    def options(self) -> dict[str, Any]:
        """Options of its stream and its adapter."""
        return dict(self.model_extra or {})

    @property
    def key(self) -> str:
        """What the document calls it: its name, or its address without credentials."""
        name = self.options.get("name")
        return printable(self.reference) if name is None else str(name)


Source: TypeAlias = Annotated[SourceSpec, _keyed("reference")]
Model: TypeAlias = Annotated[ModelSpec, _keyed("id")]


class PipelineSpec(_Strict):
    """A whole pipeline. Relative paths are meant from the document's folder."""

    version: Literal[1] = 1
    """Of what documents may say."""
    sources: list[Source] = Field(min_length=1)
    """Files, cameras, folders of pictures, ..."""
    model: Model
    """The model of every source that wants no other."""
    models: dict[str, Model] = {}
    """Models by name, for ``ladder``, sources and stages."""
    stages: list[Step] = []
    """What happens to the results of each source, in this order."""
    sinks: list[Step] = []
    """Where results go."""
    max_fps: float | None = Field(None, gt=0)
    """Frames per second, per source."""
    max_staleness: float | None = Field(None, ge=0)
    """Seconds after which a live frame is too old."""
    stream: dict[str, Any] = {}
    """Options of every stream; a source's own come first."""
    degrade: bool | dict[str, Any] = False
    """Under overload, lower rates, then a smaller input, then the models of ``ladder``."""
    ladder: list[str] = []
    """Models to go over to under overload, each smaller than the one before."""
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

    _places: Places = PrivateAttr(default_factory=Places)

    @property
    def places(self) -> Places:
        """Where in its text things are."""
        return self._places

    @classmethod
    def of(
        cls, document: Any, where: str = "document", places: Places | None = None
    ) -> PipelineSpec:
        """Check a parsed document, as it is: nothing in it is a variable. ``DocumentError`` has a
        line for each mistake, with the key and what it takes, and its line where ``places`` knows
        it. Keys that begin with ``x-`` are the writer's own."""
        return cls._of(Written(document, places or Places(where)), Path.cwd())

    @classmethod
    def parse(
        cls, text: str, where: str, folder: Path, variables: Variables | None = None
    ) -> PipelineSpec:
        """A document out of its YAML or JSON; relative paths are taken from ``folder``."""
        return cls._of(read(text, where, variables), folder).placed(folder)

    @classmethod
    def load(cls, path: str | Path, given: Mapping[str, str] | None = None) -> PipelineSpec:
        """Read a YAML file; relative paths in it become absolute, and ``${NAME}`` what ``given`` or
        the environment has by that name. Raises ``DocumentError``."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror or error}") from error
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: not YAML: not text in UTF-8") from None
        return cls.parse(text, str(path), path.resolve().parent, Variables.of(given))

    @classmethod
    def _of(cls, written: Written, folder: Path) -> PipelineSpec:
        """All that is wrong is told at once: where the schema is not met, also what is wrong with
        the rest."""
        if not isinstance(written.values, dict):
            says = "expected a mapping with sources, model, stages, sinks"
            refuse([Problem((), says)], written.places)
        values = {k: v for k, v in written.values.items() if not str(k).startswith("x-")}
        spec: PipelineSpec | None
        try:
            spec, problems = cls.model_validate(values), list(written.problems)
        except ValidationError as error:
            told = explained(error, values, written.places)
            spec, problems = partly(cls, values, told), [*written.problems, *told]
        if spec is not None:
            spec._places = written.places
        if spec is not None and problems:
            from streamkit.documents.check import problems_of

            known = {problem.path for problem in problems}
            more = problems_of(spec.placed(folder))
            problems += [problem for problem in more if problem.path not in known]
        refuse(problems, written.places)
        assert spec is not None
        return spec

    def placed(self, folder: Path) -> PipelineSpec:
        """The same document with its relative paths taken from ``folder``."""
        named = set(self.models)

        def model(spec: ModelSpec) -> ModelSpec:
            return spec.model_copy(update={"id": placed_model(spec.id, folder, named)})

        changed = {
            "model": model(self.model),
            "models": {name: model(spec) for name, spec in self.models.items()},
            "ladder": [placed_model(model_id, folder, named) for model_id in self.ladder],
            "sources": [_placed_source(source, folder, named) for source in self.sources],
            "stages": _placed_steps(self.stages, STAGES, folder, named),
            "sinks": _placed_steps(self.sinks, SINKS, folder, named),
        }
        return self.model_copy(update=changed)


def _placed_source(source: SourceSpec, folder: Path, named: set[str]) -> SourceSpec:
    changed: dict[str, Any] = {"reference": placed_source(source.reference, folder)}
    if source.model is not None and source.model.id is not None:
        place = placed_model(source.model.id, folder, named)
        changed["model"] = source.model.model_copy(update={"id": place})
    if source.stages is not None:
        changed["stages"] = _placed_steps(source.stages, STAGES, folder, named)
    if source.sinks is not None:
        changed["sinks"] = _placed_steps(source.sinks, SINKS, folder, named)
    return source.model_copy(update=changed)


def _placed_steps(
    steps: Sequence[StepSpec], table: Mapping[str, str], folder: Path, named: set[str]
) -> list[StepSpec]:
    def placed(step: StepSpec) -> StepSpec:
        options = placed_options(table, step.name, step.options, folder, named)
        return step.model_copy(update={"options": options})

    return [placed(step) for step in steps]


def build_pipeline(spec: PipelineSpec, **more: Any) -> InferencePipeline:
    """The pipeline a document describes, its model loaded, not yet started.

    ``more`` are further keywords of ``InferencePipeline.init``. Raises ``DocumentError`` with all
    that is wrong with it, and what loading raises.
    """
    from streamkit.documents.build import arguments_of
    from streamkit.documents.check import problems_of

    refuse(problems_of(spec), spec.places)
    return InferencePipeline.init(**{**arguments_of(spec), **_manager(spec), **more})


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
