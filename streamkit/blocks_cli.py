"""``streamkit blocks``: what stages there are, what each takes and gives, and how it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamkit.terminal import paper

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import RenderableType

_WIDE = 140  # columns where there is no terminal to ask

Name = Annotated[
    str | None, typer.Argument(help="A stage of the table, or my_module:MyStage; all without it.")
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, with the schemas of its options.")]


def blocks(name: Name = None, as_json: AsJson = False) -> None:
    """Show the stages a document can name, or all that one of them says about itself."""
    import orjson

    from streamkit.stages import blocks as table

    found = [table.block(name)] if name else table.blocks()
    told = [each.dict() for each in found]
    if as_json:
        value = told[0] if name else told
        typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
        return
    console = paper(_WIDE, markup=False, highlight=False)
    for part in _one(told[0]) if name else [_all(told)]:
        console.print(part)


def _all(told: Sequence[Mapping[str, Any]]) -> RenderableType:
    from rich.table import Table

    table = Table("block", "", "needs", "gives", "keeps state")
    for each in told:
        about = each["description"].partition("\n\n")[0].replace("\n", " ")
        needs, gives = _needs(each["inputs"]), _gives(each["outputs"])
        table.add_row(each["name"], about, needs, gives, _state(each))
    return table


def _one(told: Mapping[str, Any]) -> Iterator[RenderableType]:
    from rich.table import Table

    about = Table("", "", show_header=False)
    about.add_row(told["name"], f"{told['title']}, version {told['version']}, {told['class']}")
    about.add_row("", told["description"])
    about.add_row("needs", _needs(told["inputs"]))
    about.add_row("gives", _gives(told["outputs"]))
    about.add_row("keeps state", _state(told))
    for model in told["models"]:
        about.add_row(f"model ({model['parameter']})", ", ".join(model["variants"]))
    yield about
    options = Table("option", "type", "default", "")
    for option in told["parameters"]:
        options.add_row(option["name"], _type(option), _default(option), option["description"])
    yield options
    yield from _examples(told["examples"])


def _needs(inputs: Mapping[str, Any]) -> str:
    kinds = [kind.replace("_", " ") for kind in inputs["predictions"] if kind != "any"]
    also = [what for what in ("tracks", "picture", "stream") if inputs[what]]
    return ", ".join([*kinds, *also])


def _gives(outputs: Mapping[str, Any]) -> str:
    named = [*outputs["events"], *outputs["columns"]]
    if outputs["measures"]:
        named.append(f"measure ({', '.join(outputs['measures'])})")
    return ", ".join([*named, *(["picture"] if outputs["picture"] else [])])


def _state(told: Mapping[str, Any]) -> str:
    if not told["stateful"]:
        asked = ", ".join(told["stateful_with"])
        return f"only with {asked}" if asked else "no"
    spared = ", ".join(f"{k}: {str(v).lower()}" for k, v in told["stateless_with"].items())
    return f"yes, but not with {spared}" if spared else "yes"


def _type(option: Mapping[str, Any]) -> str:
    chosen = [str(choice) for choice in option["choices"]]
    return " | ".join(chosen) if chosen else str(option["type"])


def _default(option: Mapping[str, Any]) -> str:
    return "(required)" if option["required"] else _flow(option["default"])


def _flow(value: Any) -> str:
    """As YAML in one line."""
    import yaml

    return yaml.safe_dump(
        value, default_flow_style=True, width=10_000, sort_keys=False
    ).removesuffix("\n...\n")


def _examples(examples: Sequence[Any]) -> Iterator[RenderableType]:
    from streamkit.stages.blocks import steps_of

    for example in examples:
        lines = [f"  - {_flow(step).strip()}" for step in steps_of(example)]
        yield "\n".join(["stages:", *lines])
