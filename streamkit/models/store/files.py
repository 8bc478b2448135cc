"""Reading a model's small files: every way in which one can be bad becomes one clear error."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from streamkit.errors import ModelArtefactError

TEXT_LIMIT: Final = 4 << 20
"""Bytes; the environment of a thousand classes takes less than a hundredth."""

M = TypeVar("M", bound=BaseModel)


def look(path: Path) -> os.stat_result | None:
    """What is at ``path``, if anything; ``ModelArtefactError`` where one may not look."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ModelArtefactError(f"{path} cannot be read: {error.strerror}") from error


def check(path: Path, limit: int) -> Path:
    """``path``, a file with 1 to ``limit`` bytes; else ``ModelArtefactError``."""
    found = look(path)
    if found is None:
        raise ModelArtefactError(f"{path} is missing")
    if not stat.S_ISREG(found.st_mode):
        raise ModelArtefactError(f"{path} is not a file")
    if found.st_size == 0:
        raise ModelArtefactError(f"{path} is empty")
    if found.st_size > limit:
        raise ModelArtefactError(f"{path} has {found.st_size} bytes, more than {limit}")
    return path


def read_text(path: Path) -> str:
    """A small UTF-8 file, with or without a byte order mark."""
    check(path, TEXT_LIMIT)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ModelArtefactError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ModelArtefactError(f"{path} is not UTF-8: byte {error.start}") from error


def read_json(path: Path, kind: type[M]) -> M:
    """A JSON object of one ``kind``; the error names the file, the key and the choices."""
    text = read_text(path)
    try:
        return kind.model_validate(json.loads(text))
    except ValidationError as error:
        raise ModelArtefactError(f"{path}: {'; '.join(_explain(error.errors()))}") from error
    except (ValueError, RecursionError) as error:
        raise ModelArtefactError(f"{path} is not JSON: {error}") from error


def read_lines(path: Path) -> tuple[str, ...]:
    """One name per line; empty and unprintable ones are errors that give the line."""
    lines = [line.strip() for line in read_text(path).strip().split("\n")]
    for number, line in enumerate(lines, 1):
        if not line or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in line):
            what = f"has an unprintable name: {line!r}" if line else "is empty"
            raise ModelArtefactError(f"{path}: line {number} {what}")
    return tuple(lines)


def _explain(errors: Iterable[ErrorDetails]) -> Iterable[str]:
    for error in errors:
        key = ".".join(str(part) for part in error["loc"]) or "the whole file"
        yield f"{key}: {_reason(error)}"


def _reason(error: ErrorDetails) -> str:
    given: Any = repr(error["input"])[:80]
    if error["type"] == "missing":
        return "is missing"
    if error["type"] == "literal_error":
        return f"is {given}; choices are {error['ctx']['expected']}"
    return f"{error['msg']} (is {given})"
