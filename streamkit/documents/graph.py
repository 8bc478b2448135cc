"""A document as a graph: sources lead to models, stages and sinks; as Mermaid or Graphviz text."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from streamkit.documents.build import id_of, model_of
from streamkit.documents.places import told_id
from streamkit.documents.steps import sinks_of, stages_of
from streamkit.sources.reference import printable

if TYPE_CHECKING:
    from streamkit.documents.places import Path as Keys
    from streamkit.spec import PipelineSpec, StepSpec


@dataclass(frozen=True, slots=True)
class Node:
    """A box: of which kind (source, model, stage, sink), in which column, with what it says."""

    id: str
    kind: str
    column: int
    title: str
    detail: str = ""


@dataclass
class Graph:
    """Boxes, and which leads to which."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)

    def add(self, node: Node) -> str:
        """The node's id; one that is there already stays."""
        self.nodes.setdefault(node.id, node)
        return node.id

    def join(self, before: str, after: str) -> None:
        """Once."""
        if (before, after) not in self.edges:
            self.edges.append((before, after))


def graph_of(spec: PipelineSpec) -> Graph:
    """Sources with the same stages share them in the picture, though each has its own. Nothing in
    it is a secret: names, and addresses without credentials."""
    graph = Graph()
    last = 2 + max((len(stages_of(spec, n)) for n in range(len(spec.sources))), default=0)
    for number in range(len(spec.sources)):
        reference = printable(spec.sources[number].reference)
        reference = reference if "://" in reference else _end_of(reference)
        title = _short(str(spec.sources[number].options.get("name", reference)))
        detail = "" if reference == title else _short(reference)
        here = graph.add(Node(f"source{number}", "source", 0, title, detail))
        here = _through(graph, here, _model(graph, spec, number))
        chain: list[str] = []
        for column, (path, step) in enumerate(stages_of(spec, number), 2):
            chain.append(_id(path))
            stage = Node("_".join(["stage", *chain]), "stage", column, step.name, _name(step))
            here = _through(graph, here, graph.add(stage))
        for path, step in sinks_of(spec, number):
            sink = Node(f"sink_{_id(path)}", "sink", last, step.name, _output(step))
            graph.join(here, graph.add(sink))
    return graph


def _through(graph: Graph, before: str, after: str) -> str:
    graph.join(before, after)
    return after


def _model(graph: Graph, spec: PipelineSpec, number: int) -> str:
    wanted = spec.sources[number].model
    name = spec.model.id if wanted is None or wanted.id is None else wanted.id
    model_id = model_of(spec).id if name == spec.model.id else id_of(spec, name)
    title = name if name in spec.models else "model"
    said = _end_of(told_id(model_id))
    present = [n for n in graph.nodes.values() if n.kind == "model" and n.detail == said]
    node = present[0] if present else Node(f"model{_models(graph)}", "model", 1, title, said)
    return graph.add(node)


def _models(graph: Graph) -> int:
    return sum(node.kind == "model" for node in graph.nodes.values())


def _end_of(text: str) -> str:
    """An id as it is; of a path or an address the end."""
    return "/".join(text.split("/")[-2:])


def _name(step: StepSpec) -> str:
    return _short(str(step.options.get("name", "")))


def _output(step: StepSpec) -> str:
    place = step.options.get("path") or step.options.get("folder") or step.options.get("name")
    return _short(Path(str(place)).name) if isinstance(place, str) else ""


def _short(text: str, most: int = 34) -> str:
    return text if len(text) <= most else f"{text[:10]}...{text[-(most - 13) :]}"


def _id(path: Keys) -> str:
    return _plain("".join(map(str, path)))


def _plain(text: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in text)


# -- as text -------------------------------------------------------------------------------------

_MERMAID = {"source": "([{}])", "model": "{{{{{}}}}}", "stage": "[{}]", "sink": "[/{}/]"}
_DOT = {"source": "cds", "model": "component", "stage": "box", "sink": "note"}


def mermaid(graph: Graph) -> str:
    """For Markdown: pages of code hosts draw it."""
    lines = ["flowchart LR"]
    for node in graph.nodes.values():
        label = "<br/>".join(_escaped(text) for text in (node.title, node.detail) if text)
        shape = _MERMAID[node.kind].format('"' + label + '"')
        lines.append(f"    {node.id}{shape}")
    lines += [f"    {before} --> {after}" for before, after in graph.edges]
    return "\n".join(lines) + "\n"


def dot(graph: Graph) -> str:
    """For Graphviz."""
    lines = ["digraph pipeline {", "    rankdir=LR;", '    node [fontname="sans-serif"];']
    for node in graph.nodes.values():
        said = "\\n".join(_quoted(text) for text in (node.title, node.detail) if text)
        lines.append(f'    {node.id} [shape={_DOT[node.kind]}, label="{said}"];')
    lines += [f"    {before} -> {after};" for before, after in graph.edges]
    return "\n".join([*lines, "}"]) + "\n"


def _escaped(text: str) -> str:
    """Mermaid writes characters of its own as entities."""
    return "".join(f"#{ord(c)};" if c in '"<>#&;`' else c for c in text)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
