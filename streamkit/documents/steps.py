"""Which stages and sinks each source of a document has, and how they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from streamkit import plugins
from streamkit.documents.paths import model_options
from streamkit.documents.places import Path, Places, Problem
from streamkit.errors import ConfigError, DocumentError, StreamkitError
from streamkit.sinks import SINKS
from streamkit.stages import STAGES

if TYPE_CHECKING:
    from streamkit.spec import PipelineSpec, SourceSpec, StepSpec

Written: TypeAlias = "tuple[Path, StepSpec]"
"""A step, and where it stands."""


@dataclass(frozen=True, eq=False)
class Maker:
    """Makes a stage or a sink of a document, again for each stream or run.

    Equal ones make the same, whoever feeds it: that is how a changed document finds what has not
    changed.
    """

    name: str
    options: Mapping[str, Any] = field(repr=False)
    path: Path = field(default=(), repr=False)
    places: Places = field(default_factory=Places, repr=False)
    sink: bool = False
    keys: frozenset[str] | None = None
    """Of a sink: the keys of the sources that feed it, ``None`` for all."""

    def __call__(self) -> Any:
        """Raises ``ConfigError`` with its place in the document, or what it is made with."""
        try:
            return plugins.build(SINKS if self.sink else STAGES, self.name, self.options)
        except DocumentError:
            raise
        except ConfigError as error:
            raise DocumentError([Problem(self.path, str(error)).told(self.places)]) from error

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Maker):
            return NotImplemented
        mine = (self.sink, self.name, self.options)
        return mine == (other.sink, other.name, other.options)

    __hash__ = None  # type: ignore[assignment]

    def wants(self, key: str | None) -> bool:
        """Whether results of the source with this key go there."""
        return self.keys is None or key in self.keys


def keys_of(spec: PipelineSpec) -> list[str]:
    """What each source is called; of two with one address the second gets a number."""
    keys: list[str] = []
    for source in spec.sources:
        key, number = source.key, 1
        while key in keys:
            number += 1
            key = f"{source.key} #{number}"
        keys.append(key)
    return keys


def stages_of(spec: PipelineSpec, number: int) -> list[Written]:
    """The stages of one source: its own, or those of the document that are for it."""
    return _steps_of(spec, number, "stages")


def sinks_of(spec: PipelineSpec, number: int) -> list[Written]:
    """The sinks that one source feeds."""
    return _steps_of(spec, number, "sinks")


def _steps_of(spec: PipelineSpec, number: int, what: str) -> list[Written]:
    source = spec.sources[number]
    own: Sequence[StepSpec] | None = getattr(source, what)
    if own is not None:
        steps: list[Written] = [(("sources", number, what, i), s) for i, s in enumerate(own)]
    else:
        common: Sequence[StepSpec] = getattr(spec, what)
        steps = [((what, i), step) for i, step in enumerate(common) if _for(step, source)]
    return [(path, step) for path, step in steps if step.name]


def _for(step: StepSpec, source: SourceSpec) -> bool:
    return step.for_ is None or source.options.get("name") in step.for_


def all_steps(spec: PipelineSpec, what: str) -> Iterator[Written]:
    """Every stage (or sink) that is written anywhere, once."""
    for i, step in enumerate(getattr(spec, what)):
        if step.name:
            yield (what, i), step
    for number, source in enumerate(spec.sources):
        for i, step in enumerate(getattr(source, what) or ()):
            if step.name:
                yield ("sources", number, what, i), step


def stage_makers(spec: PipelineSpec, number: int) -> tuple[Maker, ...]:
    """What makes the stages of one source."""
    return tuple(_maker(spec, path, step) for path, step in stages_of(spec, number))


def common_stages(spec: PipelineSpec) -> tuple[Maker, ...]:
    """What makes the stages of a source that is added later and says nothing of its own."""
    steps = [(("stages", i), step) for i, step in enumerate(spec.stages) if step.for_ is None]
    return tuple(_maker(spec, path, step) for path, step in steps)


def sink_makers(spec: PipelineSpec) -> tuple[Maker, ...]:
    """What makes the sinks, each told which sources feed it."""
    keys = keys_of(spec)
    own = {key for key, source in zip(keys, spec.sources, strict=True) if source.sinks is not None}
    makers = []
    for path, step in all_steps(spec, "sinks"):
        if path[0] == "sources":
            fed: frozenset[str] | None = frozenset({keys[int(path[1])]})
        elif step.for_ is None and not own:
            fed = None
        else:
            fed = frozenset(
                key
                for number, key in enumerate(keys)
                if path in [where for where, _ in sinks_of(spec, number)]
            )
        makers.append(_maker(spec, path, step, sink=True, keys=fed))
    return tuple(makers)


def _maker(
    spec: PipelineSpec,
    path: Path,
    step: StepSpec,
    *,
    sink: bool = False,
    keys: frozenset[str] | None = None,
) -> Maker:
    options = step.options if sink else with_models(spec, step)
    return Maker(step.name, options, path, spec.places, sink, keys)


def with_models(spec: PipelineSpec, step: StepSpec) -> dict[str, Any]:
    """The options of a stage, with ids in place of names of the document's models; what the
    document wants of that model is what the stage does not say itself."""
    try:
        parameters = plugins.parameters_of(plugins.load(STAGES, step.name))
    except ConfigError:
        return dict(step.options)
    options = dict(step.options)
    for name in model_options(parameters):
        if (named := spec.models.get(str(options.get(name)))) is not None:
            asked = {k: v for k, v in named.asked.items() if k in parameters}
            options = {**asked, **options, name: named.id}
    return options


def build(make: Callable[[], Any]) -> str | None:
    """What is wrong with something that is made for a try, if anything is."""
    try:
        made = make()
    except DocumentError as error:
        return str(error.__cause__ or error)
    except StreamkitError as error:
        return str(error)
    if (close := getattr(made, "close", None)) is not None:
        close()
    return None
