"""Adapters by name, from tables of ``"module:Class"`` strings; options that explain themselves."""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from streamkit.errors import ConfigError, StreamkitError

T = TypeVar("T")
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def load(table: Mapping[str, str], name: str) -> Callable[..., Any]:
    """The class behind ``name``: a line of ``table``, or the ``"module:Class"`` of a stranger.

    Raises ``ConfigError`` for a name nobody knows (it lists those known) and for a class whose
    module, or an optional package it needs, is not installed.
    """
    place = table.get(name, name)
    module_name, separator, attribute = place.partition(":")
    if not separator or not all(part.isidentifier() for part in module_name.split(".")):
        known = ", ".join(sorted(table))
        meant = nearest(name, table)
        raise ConfigError(f"unknown name {name!r}{meant}; known: {known}, or 'my_module:MyClass'")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        raise ConfigError(f"{name!r} cannot be used: {_missing(error)}") from error
    except AttributeError as error:
        raise ConfigError(f"module {module_name!r} has no {attribute!r}") from error
    if not callable(found):
        raise ConfigError(f"{place!r} is not a class")
    return found  # type: ignore[no-any-return]


def build(table: Mapping[str, str], name: str, options: Mapping[str, Any], *args: Any) -> Any:
    """Make what ``name`` stands for; ``args`` come first, ``options`` are its keywords.

    Raises ``ConfigError`` as ``load`` does, and for options it does not take or lacks, or whose
    values it cannot use.
    """
    made_by = load(table, name)
    fitting = check(made_by, name, options, *args)
    try:
        return made_by(*args, **fitting)
    except StreamkitError:
        raise
    except (TypeError, ValueError) as error:
        # Names only: a value may be a password.
        given = _listed(tuple(options))
        raise ConfigError(f"{name!r} cannot use what it was given ({given}): {error}") from error


def check(
    made_by: Callable[..., Any], name: str, options: Mapping[str, Any], *args: Any
) -> dict[str, Any]:
    """``options`` as ``made_by(*args, **options)`` takes them: a list where it wants a tuple, say.

    Raises ``ConfigError`` unless they fit its signature and its annotations.
    """
    signature, accepted = _signature(made_by), options_of(made_by)
    unknown = _unknown(signature, options, accepted)
    if unknown:
        wrong = ", ".join(repr(option) for option in unknown)
        meant = nearest(unknown[0], accepted)
        raise ConfigError(f"{name!r} takes no option {wrong}{meant}; it takes: {_listed(accepted)}")
    try:
        signature.bind(*args, **options)
    except TypeError as error:
        raise ConfigError(f"{name!r}: {error}; it takes: {_listed(accepted)}") from error
    return {
        option: _typed(name, option, value, signature.parameters.get(option))
        for option, value in options.items()
    }


def faults(
    made_by: Callable[..., Any], name: str, options: Mapping[str, Any]
) -> list[tuple[str | None, str]]:
    """All that ``check`` would raise for one after the other: (option, what is wrong with it);
    ``None`` where an option is missing. No value is quoted: it may be a password."""
    signature, accepted = _signature(made_by), options_of(made_by)
    unknown = _unknown(signature, options, accepted)
    found: list[tuple[str | None, str]] = [
        (option, f"{name!r} takes no such option{nearest(option, accepted)}; it takes: "
         f"{_listed(accepted)}")
        for option in unknown
    ]  # fmt: skip
    missing = [
        p.name
        for p in signature.parameters.values()
        if p.default is p.empty and p.kind in _NAMED and p.name not in options
        and not any(p.name in nearest(option, accepted) for option in unknown)  # told already
    ]  # fmt: skip
    if missing:
        lacking = ", ".join(map(repr, missing))
        says = f"{name!r} is missing a required option: {lacking}; it takes: {_listed(accepted)}"
        found.append((None, says))
    for option in sorted(set(options) - set(unknown)):
        try:
            _typed(name, option, options[option], signature.parameters.get(option))
        except ConfigError as error:
            found.append((option, str(error).removeprefix(f"{name!r}: {option}: ")))
    return found


def takes_any(made_by: Callable[..., Any]) -> bool:
    """Whether it takes keywords of any name."""
    return _takes_any(_signature(made_by))


def _takes_any(signature: inspect.Signature) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())


def _unknown(
    signature: inspect.Signature, options: Mapping[str, Any], accepted: tuple[str, ...]
) -> list[str]:
    """The options that are not taken."""
    if _takes_any(signature):
        return []
    return sorted(set(options) - set(accepted))


def switched(made_by: Callable[..., T], name: str, given: bool | Mapping[str, Any]) -> T | None:
    """``True``: with its defaults; some of its options by name; ``False``: ``None``.

    Raises ``ConfigError`` as ``check`` does.
    """
    if isinstance(given, Mapping):
        return made_by(**check(made_by, name, given))
    return made_by() if given else None


def _typed(name: str, option: str, value: Any, parameter: inspect.Parameter | None) -> Any:
    """``value`` as its annotation says, where that can be understood. The text does not show it: it
    may be a password."""
    wanted = inspect.Parameter.empty if parameter is None else parameter.annotation
    if wanted is inspect.Parameter.empty or isinstance(wanted, str):
        return value
    from pydantic import PydanticUserError, TypeAdapter, ValidationError

    try:
        fitting = TypeAdapter(wanted).validate_python(value)
    except ValidationError as error:
        said = _said(error.errors()[0])
        raise ConfigError(f"{name!r}: {option}: {said}") from None  # its text quotes the value
    except PydanticUserError:  # not a type that can be checked
        return value
    if not _finite(fitting):
        raise ConfigError(f"{name!r}: {option}: give a number that is finite")
    return fitting


def _finite(value: Any) -> bool:
    """Whether no number in it is infinite or none at all: no option means anything by that."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(_finite, value))


def _said(wrong: Mapping[str, Any]) -> str:
    """What pydantic found, in the words of a document, and at which place of a list."""
    kinds = {"missing": "a value is missing"} | dict.fromkeys(
        ("sequence_str", "tuple_type", "list_type"), "give a list, like [a, b]"
    )
    place = "".join(f"[{part}]" for part in wrong["loc"] if isinstance(part, int))
    said = str(kinds.get(wrong["type"], wrong["msg"])).removeprefix("Value error, ")
    return f"{place}: {said}" if place else said


def nearest(wrong: str, known: Iterable[str]) -> str:
    """``(did you mean ...?)`` where one of ``known`` is nearly ``wrong``, else nothing."""
    found = difflib.get_close_matches(wrong, list(known), 1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def options_of(made_by: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the keywords a class or function takes, in order."""
    return tuple(parameters_of(made_by))


def parameters_of(made_by: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The same with their annotations and defaults."""
    parameters = _signature(made_by).parameters
    return {name: p for name, p in parameters.items() if p.kind in _NAMED}


def _signature(made_by: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(made_by, eval_str=True)
    except NameError:  # annotated with what is imported for type checkers only
        return inspect.signature(made_by)
    except ValueError:  # some builtins have none: they take whatever comes
        return inspect.signature(lambda *_, **__: None)


def _listed(accepted: tuple[str, ...]) -> str:
    return ", ".join(accepted) or "no options"


def _missing(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"the package {error.name.partition('.')[0]!r} is not installed"
    return str(error)
