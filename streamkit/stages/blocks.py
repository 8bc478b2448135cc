"""Stages as blocks: what each takes and gives, by name, and whether a list of them can work."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from typing import Any, TypeAlias, cast

from streamkit import plugins
from streamkit.errors import BlockError, BlockErrorCode, ConfigError
from streamkit.stages import STAGES, open_stage
from streamkit.stages.base import Gives, Manifest, Needs, Stage

Step: TypeAlias = str | Mapping[str, Any]
"""As in a document: ``"track"``, or ``{"zone": {"polygon": [...]}}``."""

_USUAL = {
    "name": "what its events and its measure are called",
    "anchor": "which point of a box counts",
    "classes": "names of the classes that it is about; all where none is named",
    "units": "of points: pixels, or fractions of the picture's width and height",
}
"""Options that mean the same everywhere."""
_SAID = re.compile(r"``\w+``(?:, ``\w+``)*: ")
_HEADING = re.compile(r"(?:(?<=[.;]) |^)[^.;]*:$")
"""What introduces the options after this one."""
_UNKNOWN = Manifest("", Needs(stream=True), Gives(), stateful=True)
"""Of a stage that says nothing about itself: somebody's own, which may do anything."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One option of a block."""

    name: str
    type: str
    """In words: ``number``, ``list of text``, ``text or null``."""
    required: bool
    default: Any = None
    """JSON-ready."""
    choices: tuple[Any, ...] = ()
    description: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """JSON schema of its values; empty where its annotation cannot be put into one."""


@dataclass(frozen=True, slots=True)
class Block:
    """A stage, described."""

    name: str
    place: str
    """``"module:Class"``."""
    manifest: Manifest | None
    """``None`` for a class of somebody's that has none."""
    description: str
    parameters: tuple[Parameter, ...]

    def dict(self) -> dict[str, Any]:
        """JSON-ready. A block without a manifest is told as one that keeps state."""
        told = asdict(self.manifest or _UNKNOWN)
        about = {
            "name": self.name,
            "version": told.pop("version"),
            "title": told.pop("title") or self.name,
            "description": self.description,
            "class": self.place,
            "parameters": [asdict(parameter) for parameter in self.parameters],
            "inputs": told.pop("needs"),
            "outputs": told.pop("gives"),
            **told,
        }
        return cast("dict[str, Any]", _json(about))


def blocks() -> list[Block]:
    """Every stage of the table."""
    return [block(name) for name in STAGES]


def block(name: str) -> Block:
    """One of the table, or a stranger's by ``"module:Class"``. ``ConfigError`` where there is none,
    naming the choices."""
    made_by = plugins.load(STAGES, name)
    return Block(
        name,
        STAGES.get(name, name),
        manifest_of(made_by),
        _plain(inspect.getdoc(made_by) or ""),
        tuple(parameters(made_by)),
    )


def manifest_of(made_by: object) -> Manifest | None:
    """What a stage or its class says about itself."""
    manifest = getattr(made_by, "manifest", None)
    return manifest if isinstance(manifest, Manifest) else None


# -- parameters ----------------------------------------------------------------------------------


def parameters(made_by: Callable[..., Any]) -> Iterator[Parameter]:
    said = _descriptions(inspect.getdoc(getattr(made_by, "__init__", None)) or "")
    for name, parameter in plugins.parameters_of(made_by).items():
        schema = _schema(parameter.annotation)
        required = parameter.default is parameter.empty
        yield Parameter(
            name,
            _words(schema, schema.get("$defs", {})),
            required,
            None if required else _json(parameter.default),
            tuple(_choices(schema)),
            said.get(name, _USUAL.get(name, "")),
            schema,
        )


def _descriptions(doc: str) -> dict[str, str]:
    """What a docstring says of options, in the way of this house: ``name``: what it is.  Of two
    that are named together, both get it."""
    text = " ".join(doc.split())
    found = list(_SAID.finditer(text))
    said: dict[str, str] = {}
    for match, after in zip_longest(found, found[1:]):
        end = after.start() if after else len(text)
        words = text[match.end() : end].partition(" Raises ``")[0].strip()
        for name in re.findall(r"``(\w+)``", match.group()):
            said[name] = _plain(_HEADING.sub("", words))
    return said


def _plain(text: str) -> str:
    return text.replace("``", "").strip()


def _schema(annotation: Any) -> dict[str, Any]:
    from pydantic import PydanticUserError, TypeAdapter

    if annotation is inspect.Parameter.empty or isinstance(annotation, str):
        return {}
    try:
        return TypeAdapter(annotation).json_schema()
    except PydanticUserError:
        return {}


def _json(value: Any) -> Any:
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return to_jsonable_python(value)
    except PydanticSerializationError:
        return repr(value)


_WORDS = {"string": "text", "boolean": "true or false", "object": "mapping"}


def _words(schema: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in schema:
        return _words(known[schema["$ref"].rpartition("/")[2]], known)
    if "anyOf" in schema:
        words = dict.fromkeys(_words(each, known) for each in schema["anyOf"])
        return " or ".join(word for word in words if word != "text" or "path" not in words)
    if "enum" in schema or "const" in schema:
        return "choice"
    if schema.get("type") == "array":
        return _list(schema, known)
    kind = str(schema.get("format") or schema.get("type", "anything"))
    return _WORDS.get(kind, kind)


def _list(schema: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    if exact := schema.get("prefixItems"):
        return f"[{', '.join(_words(each, known) for each in exact)}]"
    return f"list of {_words(schema.get('items', {}), known)}"


def _choices(schema: Mapping[str, Any]) -> Iterator[Any]:
    yield from schema.get("enum", [schema["const"]] if "const" in schema else [])
    for each in schema.get("anyOf", []):
        yield from _choices(each)


# -- putting together ----------------------------------------------------------------------------


def compile_blocks(steps: Sequence[Step], streams: bool = False) -> list[Callable[[], Stage]]:
    """What makes these stages, checked as far as can be before a picture is there.

    Without ``streams`` (a single request) nothing remembers anything: raises ``BlockError`` with
    ``BLOCK_NEEDS_STREAM`` for a block that needs frames which follow one another, and for one that
    does not say whether it does. With or without, ``BLOCK_NEEDS_TRACKS`` for one that follows
    objects before anything tracks them, and ``BLOCK_INVALID`` for names and options that do not
    exist or do not fit; these are tried by making each stage once.
    """
    parsed = [_parsed(place, step) for place, step in enumerate(steps)]
    makers = [_maker(place, name, options) for place, (name, options) in enumerate(parsed)]
    for refusal in refusals(parsed, streams=streams):
        raise refusal
    return makers


def refusals(
    steps: Sequence[tuple[str, Mapping[str, Any]]], *, streams: bool
) -> Iterator[BlockError]:
    """Which of these steps (name, options) cannot work where they are, the first things first."""
    tracked = False
    written: list[tuple[int, str]] = []
    for place, (name, options) in enumerate(steps):
        made_by = plugins.load(STAGES, name)
        manifest = manifest_of(made_by)
        about = manifest or _UNKNOWN
        if getattr(made_by, "redacts", False):
            yield from (_uncovered(*each) for each in written)
        if options.get("folder") or options.get("path"):
            written.append((place, name))
        asked = _asked_for(about, made_by, options)
        if not _spared(about, options):
            if not streams and (about.stateful or about.needs.stream or asked):
                yield BlockError(
                    f"{name!r} remembers what was before: it needs a stream, not single pictures",
                    BlockErrorCode.NEEDS_STREAM,
                    place,
                )
            elif (about.needs.tracks or asked) and not tracked:
                yield BlockError(
                    f"{name!r} follows objects through time: put a 'track' step before it",
                    BlockErrorCode.NEEDS_TRACKS,
                    place,
                )
        tracked = tracked or manifest is None or "tracker_id" in about.gives.columns


def _uncovered(place: int, name: str) -> BlockError:
    return BlockError(
        f"{name!r} writes pictures that 'privacy' has not covered yet: put it behind that",
        BlockErrorCode.INVALID,
        place,
    )


def _asked_for(about: Manifest, made_by: Callable[..., Any], options: Mapping[str, Any]) -> bool:
    """One of these options makes it remember."""
    usual = {name: p.default for name, p in plugins.parameters_of(made_by).items()}
    return any(
        options.get(name, usual.get(name)) != usual.get(name) for name in about.stateful_with
    )


def _spared(about: Manifest, options: Mapping[str, Any]) -> bool:
    """With these options it needs nothing after all."""
    wanted = about.stateless_with
    return bool(wanted) and all(options.get(k) == v for k, v in wanted.items())


def _parsed(place: int, step: Step) -> tuple[str, Mapping[str, Any]]:
    if isinstance(step, str):
        return step, {}
    if len(step) == 1:
        name, options = next(iter(step.items()))
        if options is None or isinstance(options, Mapping):
            return name, options or {}
    raise BlockError(
        f"step {place}: give a name, or one name with its options, like {{track: {{rate: 25}}}}",
        BlockErrorCode.INVALID,
        place,
    )


def _maker(place: int, name: str, options: Mapping[str, Any]) -> Callable[[], Stage]:
    try:
        open_stage(name, options)
    except ConfigError as error:
        raise BlockError(str(error), BlockErrorCode.INVALID, place) from error
    return lambda: open_stage(name, options)


def steps_of(example: Step) -> list[Step]:
    """An example of a manifest as the steps of a document."""
    if isinstance(example, Mapping) and set(example) == {"steps"}:
        return list(example["steps"])
    return [example]
