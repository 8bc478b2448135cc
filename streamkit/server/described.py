"""The page at ``/docs``: every route, in plain HTML made here, so that it needs no other server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

_HEAD: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>streamkit</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin: 2rem 0 .5rem; text-transform: capitalize }
details { border: 1px solid #8884; border-radius: 6px; margin: .4rem 0; padding: .4rem .8rem }
summary { cursor: pointer }
summary b { display: inline-block; min-width: 3.5rem }
code, pre { font: 13px/1.4 ui-monospace, monospace }
pre { overflow-x: auto; background: #8881; border-radius: 6px; padding: .6rem }
table { border-spacing: 0 .2rem } td { padding-right: 1rem; vertical-align: top }
:root { color-scheme: light dark }
</style>
"""

Described = Mapping[str, Any]
"""An OpenAPI document, or a part of one."""


def page(described: Described) -> str:
    """What an OpenAPI document says, to be read."""
    about = described["info"]
    parts = [_HEAD, f"<h1>{escape(about['title'])} {escape(about['version'])}</h1>"]
    parts.append('<p>The same for programs: <a href="openapi.json">openapi.json</a></p>')
    groups: dict[str, list[str]] = {}
    for path, routes in described["paths"].items():
        for method, route in routes.items():
            group = groups.setdefault((route.get("tags") or ["other"])[0], [])
            group.append("".join(_route(method.upper(), path, route, described)))
    for name, routes in groups.items():
        parts += [f"<h2>{escape(name)}</h2>", *routes]
    return "\n".join([*parts, "</html>\n"])


def _route(method: str, path: str, route: Described, described: Described) -> Iterator[str]:
    yield f"<details><summary><b>{method}</b> <code>{escape(path)}</code> "
    yield f"{escape(route.get('summary', ''))}</summary>"
    yield f"<p>{escape(route.get('description', ''))}</p>"
    rows = [(p["name"], p.get("schema", {})) for p in route.get("parameters", ())]
    for form, body in route.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Body: <code>{escape(form)}</code></p>"
        rows += _resolved(body.get("schema", {}), described).get("properties", {}).items()
        yield from _example(body)
    yield "<table>"
    for name, schema in rows:
        yield f"<tr><td><code>{escape(name)}</code><td>{escape(_kind(schema))}"
        yield f"<td>{escape(schema.get('description', ''))}"
    for status, answer in route.get("responses", {}).items():
        yield f"<tr><td><b>{escape(status)}</b><td><td>{escape(answer.get('description', ''))}"
    yield "</table>"
    for answer in route.get("responses", {}).values():
        for body in answer.get("content", {}).values():
            yield from _example(body)
    yield "</details>"


def _example(body: Described) -> Iterator[str]:
    if "example" in body:
        yield f"<pre>{escape(json.dumps(body['example'], indent=2))}</pre>"


def _resolved(schema: Described, described: Described) -> Described:
    """What a ``$ref`` leads to."""
    found = schema
    if "$ref" in schema:
        found = described
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
    return found


def _kind(schema: Described) -> str:
    """``number or null``, say."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    choices = schema.get("anyOf") or schema.get("oneOf") or ()
    kinds = [_kind(each) for each in choices] or [str(schema.get("type", "anything"))]
    default = f", {json.dumps(schema['default'])}" if schema.get("default") is not None else ""
    return " or ".join(dict.fromkeys(kinds)) + default
