"""The JSON schema of documents, for editors: every stage, sink and source with its options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from streamkit import plugins
from streamkit.errors import ConfigError
from streamkit.sinks import SINKS
from streamkit.sources import SOURCES
from streamkit.stages import STAGES
from streamkit.stages.blocks import Parameter, parameters
from streamkit.streams.options import StreamOptions

_OWN: Final = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
"""A class of somebody's own."""
_FOR: Final = {
    "description": "names of the sources it is for; all without it",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
}
_VARIABLE: Final = {"type": "string", "pattern": r"\$\{", "description": "a variable: ${NAME}"}
_ARGUMENTS: Final = ("reference", "path", "items")
"""What sources are made with, and is no option."""


def document_schema() -> dict[str, Any]:
    """Of a pipeline document (draft 2020-12), as a plain dict."""
    from streamkit.spec import PipelineSpec

    whole = PipelineSpec.model_json_schema(by_alias=True)
    known = whole["$defs"]
    known["Stage"] = _step(STAGES, "a stage", known)
    known["Sink"] = _step(SINKS, "a sink", known)
    known["Source"] = _source(known)
    known["Model"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/ModelSpec"}]}
    del known["StepSpec"], known["SourceSpec"]
    said = whole["properties"]
    said["sources"]["items"] = {"$ref": "#/$defs/Source"}
    said["model"] |= {"$ref": "#/$defs/Model"}
    said["models"]["additionalProperties"] = {"$ref": "#/$defs/Model"}
    said["stages"]["items"] = {"$ref": "#/$defs/Stage"}
    said["sinks"]["items"] = {"$ref": "#/$defs/Sink"}
    said["stream"] |= _options(parameters(StreamOptions), known)
    _describe(said, PipelineSpec)
    _allow_variables(said)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "streamkit pipeline",
    }
    return {**whole, **head, "patternProperties": {"^x-": {}}}


def _describe(said: dict[str, Any], kind: type) -> None:
    """What stands below each field of the schema's class."""
    for name, text in _docs(kind).items():
        if name in said:
            said[name]["description"] = text


def _docs(kind: type) -> dict[str, str]:
    import ast
    import textwrap

    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, doc in zip(body.body, body.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign) or not isinstance(doc, ast.Expr):
            continue
        if isinstance(doc.value, ast.Constant):
            found[ast.unparse(field.target)] = " ".join(str(doc.value.value).split())
    return {name: text.replace("``", "") for name, text in found.items()}


def _step(table: Mapping[str, str], what: str, known: dict[str, Any]) -> dict[str, Any]:
    """A name, or a name with its options."""
    made_by = _loadable(table)
    plain = [name for name, one in made_by.items() if not any(p.required for p in parameters(one))]
    named = {name: _named(one, known) for name, one in made_by.items()}
    return {
        "description": what,
        "anyOf": [
            {"enum": plain},
            {"type": "string", "pattern": _OWN},
            {
                "type": "object",
                "properties": {**named, "for": _FOR},
                "patternProperties": {_OWN: {"type": ["object", "null"]}},
                "additionalProperties": False,
                "minProperties": 1,
            },
        ],
    }


def _loadable(table: Mapping[str, str]) -> dict[str, Callable[..., Any]]:
    """Those whose packages are installed here."""
    found = {}
    for name in table:
        try:
            found[name] = plugins.load(table, name)
        except ConfigError:
            continue
    return found


def _named(made_by: Callable[..., Any], known: dict[str, Any]) -> dict[str, Any]:
    schema = _options(parameters(made_by), known)
    if plugins.takes_any(made_by):  # options of another sink, which it hands on
        del schema["additionalProperties"]
    about = (inspect.getdoc(made_by) or "").partition("\n\n")[0]
    optional = [] if schema.get("required") else [{"type": "null"}]
    return {"description": " ".join(about.split()), "anyOf": [schema, *optional]}


def _options(given: Iterable[Parameter], known: dict[str, Any]) -> dict[str, Any]:
    said, required = {}, []
    for one in given:
        said[one.name] = _option(one, known)
        required += [one.name] if one.required else []
    _allow_variables(said)
    schema: dict[str, Any] = {"type": "object", "properties": said, "additionalProperties": False}
    return {**schema, **({"required": required} if required else {})}


def _option(one: Parameter, known: dict[str, Any]) -> dict[str, Any]:
    schema = dict(one.schema)
    for name, definition in schema.pop("$defs", {}).items():
        known.setdefault(name, definition)
    if one.description:
        schema["description"] = one.description
    return schema if one.required else {**schema, "default": one.default}


def _allow_variables(said: dict[str, Any]) -> None:
    """Where a number or a switch is wanted, a variable may stand."""
    for name, schema in said.items():
        kinds = [each.get("type") for each in schema.get("anyOf", [schema])]
        if {"number", "integer", "boolean"} & {kind for kind in kinds if isinstance(kind, str)}:
            outer = {k: v for k, v in schema.items() if k in ("description", "default", "title")}
            inner = {k: v for k, v in schema.items() if k not in outer and k != "anyOf"}
            choices = [*schema.get("anyOf", []), *([inner] if inner else []), _VARIABLE]
            said[name] = {**outer, "anyOf": choices}


def _source(known: dict[str, Any]) -> dict[str, Any]:
    """An address, or an address with options of its stream and of its kind of source."""
    said = {one.name: _option(one, known) for one in parameters(StreamOptions)}
    for made_by in _loadable(SOURCES).values():
        for one in parameters(made_by):
            if one.name not in _ARGUMENTS:
                said.setdefault(one.name, _option(one, known))
    _allow_variables(said)
    own = {"type": "array", "description": "its own, in place of the document's"}
    said |= {
        "reference": {"type": ["string", "integer"]},
        "model": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/SourceModelSpec"}]},
        "stages": {**own, "items": {"$ref": "#/$defs/Stage"}},
        "sinks": {**own, "items": {"$ref": "#/$defs/Sink"}},
        "isolated": {"type": "boolean", "default": False},
    }
    whole = {"type": "object", "properties": said, "required": ["reference"]}
    return {"anyOf": [{"type": ["string", "integer"]}, whole]}
