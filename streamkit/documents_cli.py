"""``streamkit check``, ``graph`` and ``schema``: what a document says, and what is wrong in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streamkit.terminal import paper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamkit.spec import PipelineSpec

Document = Annotated[Path, typer.Argument(help="A pipeline document (YAML).")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="NAME=value for ${NAME} in the document; may be repeated."),
]
Request = Annotated[
    bool, typer.Option("--request", help="It is meant for single pictures, not for streams.")
]
Format = Annotated[
    Literal["mermaid", "dot", "svg"], typer.Option("--format", help="mermaid, dot or svg.")
]

_WIDE = 120  # columns where there is no terminal to ask


def check(document: Document, given: Set = None, request: Request = False) -> None:
    """Say all that is wrong with a document, or what it would run; nothing is opened or loaded.

    The exit code is 2 where something is wrong.
    """
    from rich.table import Table

    spec = load(document, given, request=request)
    table = Table("source", "model", "stages", "sinks", title=str(document), title_justify="left")
    for row in _rows(spec):
        table.add_row(*row)
    paper(_WIDE, markup=False, highlight=False).print(table)


def graph(document: Document, form: Format = "mermaid", given: Set = None) -> None:
    """Draw a document: sources, models, stages, sinks."""
    from streamkit.documents import graph as drawn
    from streamkit.documents.picture import svg

    whole = drawn.graph_of(load(document, given))
    typer.echo({"mermaid": drawn.mermaid, "dot": drawn.dot, "svg": svg}[form](whole), nl=False)


def schema() -> None:
    """Print the JSON schema of documents, for editors."""
    import orjson

    from streamkit.documents.schema import document_schema

    typer.echo(orjson.dumps(document_schema(), option=orjson.OPT_INDENT_2).decode())


def load(document: Path, given: list[str] | None, *, request: bool = False) -> PipelineSpec:
    """A document that is right, as far as can be seen without opening anything. Raises
    ``DocumentError``."""
    from streamkit.documents.check import beside, problems_of
    from streamkit.documents.places import refuse
    from streamkit.documents.variables import pairs
    from streamkit.spec import PipelineSpec

    beside(document)
    spec = PipelineSpec.load(document, pairs(given))
    refuse(problems_of(spec, files=True, request=request), spec.places)
    return spec


def _rows(spec: PipelineSpec) -> Iterator[tuple[str, str, str, str]]:
    from streamkit.documents.build import id_of, model_of
    from streamkit.documents.places import told_id
    from streamkit.documents.steps import keys_of, sinks_of, stages_of

    for number, key in enumerate(keys_of(spec)):
        wanted = spec.sources[number].model
        own = None if wanted is None else wanted.id
        model = model_of(spec).id if own is None else id_of(spec, own)
        stages = ", ".join(step.name for _, step in stages_of(spec, number))
        sinks = ", ".join(step.name for _, step in sinks_of(spec, number))
        yield key, told_id(model), stages or "-", sinks or "-"
