"""The text of a document as plain values with their places: YAML without tags or doubles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from streamkit.documents.places import Path, Place, Places, Problem
from streamkit.documents.variables import Variables
from streamkit.errors import ConfigError, DocumentError

_LONGEST: Final = 1_000_000
"""Characters of a document."""
_MOST: Final = 50_000
"""Values of a document, each use of an anchor counted: it may be used in what is used again."""
_DEEPEST: Final = 50
_MERGE: Final = "tag:yaml.org,2002:merge"
_ADDRESSES: Final = ("reference", "substream")


class _Tagged(yaml.MarkedYAMLError):
    """Somebody wants more of YAML than values."""


class _Loader(yaml.SafeLoader):
    """Nodes without tags, not too deep."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self.depth += 1
        if getattr(event, "tag", None) is not None:
            raise _Tagged(problem="a tag: give plain values", problem_mark=event.start_mark)
        if self.depth > _DEEPEST:
            raise _Tagged(
                problem=f"more than {_DEEPEST} levels deep", problem_mark=event.start_mark
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


@dataclass
class _Reading:
    """One document while it is read."""

    loader: _Loader
    variables: Variables | None
    places: dict[Path, Place] = field(default_factory=dict)
    filled: set[Path] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    values: int = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        """What stands at ``node``."""
        self.values += 1
        if self.values > _MOST:
            raise _no_document(node, f"more than {_MOST} values, anchors and all")
        if len(path) > _DEEPEST:
            raise _no_document(
                node, f"more than {_DEEPEST} levels deep, or an anchor that holds itself"
            )
        self.places.setdefault(path, _place(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(each, (*path, i)) for i, each in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, yaml.ScalarNode] = {}
        kept: list[tuple[yaml.ScalarNode, yaml.Node]] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.places.setdefault((*path, "?"), _place(key))
                self.problems.append(Problem((*path, "?"), "a key is a name, nothing else"))
            elif key.tag == _MERGE:
                merged = self._merged(value, path) | merged
            elif (first := own.get(key.value)) is not None:
                self._twice(key, first, path)
            else:
                own[key.value] = key
                kept.append((key, value))
        for key, value in kept:
            self.places[(*path, key.value)] = _place(key)
            merged[key.value] = self.value(value, (*path, key.value))
        return merged

    def _merged(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        """What ``<<`` brings: of several, the first that has a key."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: dict[str, Any] = {}
        for each in nodes:
            if not isinstance(each, yaml.MappingNode):
                self.problems.append(Problem((*path, "<<"), "merges mappings, and nothing else"))
                continue
            found = self.value(each, path) | found
        return found

    def _twice(self, key: yaml.ScalarNode, first: yaml.ScalarNode, path: Path) -> None:
        at = (*path, f"{key.value} ")  # a place of its own, beside that of the first
        self.places[at] = _place(key)
        before = _place(first)
        says = f"stands here a second time, after line {before.line}, column {before.column}"
        self.problems.append(Problem(at, f"{says}: one of them has to go"))

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        try:
            value = self.loader.construct_object(node)
        except (ValueError, yaml.YAMLError):
            self.problems.append(Problem(path, "no value: put it in quotes"))
            return None
        if not isinstance(value, str) or self.variables is None:
            return value
        return self._filled(value, path)

    def _filled(self, text: str, path: Path) -> str:
        assert self.variables is not None
        address = path[:1] == ("sources",) and (len(path) == 2 or path[-1] in _ADDRESSES)
        fill = self.variables.fill_address if address else self.variables.fill
        try:
            filled = fill(text)
        except ConfigError as error:
            self.problems.append(Problem(path, str(error)))
            return text
        if filled != text:
            self.filled.add(path)
        return filled


@dataclass(frozen=True)
class Written:
    """The values of a document, where they stand, and what is wrong with them already."""

    values: Any = field(repr=False)
    places: Places
    problems: tuple[Problem, ...] = ()


def read(text: str, name: str, variables: Variables | None = None) -> Written:
    """The values of a document, its ``variables`` filled in, and where they stand.

    YAML, of which JSON is a part: with anchors and ``<<``, without tags or more than fifty thousand
    values. A doubled key or a variable that is not set is one of ``problems``; what is no document
    at all raises ``DocumentError``, which names line and column and never quotes the text around:
    there may be a password in it.
    """
    try:
        if len(text) > _LONGEST:
            raise ConfigError(f"longer than {_LONGEST} characters: that is no document")
        return _read(text, name, variables)
    except yaml.YAMLError as error:
        raise DocumentError([f"{name}{_fault(error)}"]) from None
    except RecursionError:
        raise DocumentError([f"{name}: too deep to be a document"]) from None
    except ConfigError as error:
        raise DocumentError([f"{name}: {error}"]) from None


def _read(text: str, name: str, variables: Variables | None) -> Written:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        reading = _Reading(loader, variables)
        values = None if node is None else reading.value(node, ())
    finally:
        loader.dispose()
    places = Places(name, reading.places, frozenset(reading.filled))
    return Written(values, places, tuple(reading.problems))


def _no_document(node: yaml.Node, problem: str) -> _Tagged:
    return _Tagged(problem=problem, problem_mark=node.start_mark)


def _place(node: yaml.Node) -> Place:
    mark = node.start_mark
    assert mark is not None
    return Place(mark.line + 1, mark.column + 1)


def _fault(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return ": not YAML: a character that no text has"
    mark = error.problem_mark or error.context_mark
    where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
    kind = "" if isinstance(error, _Tagged) else "not YAML: "
    said = str(error.problem or error.context)
    if said.startswith("found undefined alias"):  # its name may be the beginning of a password
        said = "a * that means no anchor; a text that begins with one wants quotes"
    return f"{where}: {kind}{said}"
