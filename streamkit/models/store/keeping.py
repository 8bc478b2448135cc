"""Writing into the cache: whole files or none, and what the disk says in words."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from streamkit.errors import ModelCacheError, ModelErrorCode

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_ONLY: Final = (errno.EROFS, errno.EACCES, errno.EPERM)

MARGIN: Final = 16 << 20
"""Bytes left free beside a download."""


@contextmanager
def keeping(path: Path) -> Iterator[None]:
    """Around everything that writes ``path``: an ``OSError`` becomes ``ModelCacheError``."""
    try:
        yield
    except OSError as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: OSError) -> ModelCacheError:
    if error.errno in _FULL:
        text = f"the disk is full: {path} could not be written; make room, or move MODEL_CACHE_DIR"
        return ModelCacheError(text, ModelErrorCode.CACHE_FULL)
    if error.errno in _READ_ONLY:
        text = f"{path.parent} is read-only: put the model there first, or move MODEL_CACHE_DIR"
        return ModelCacheError(text, ModelErrorCode.CACHE_READ_ONLY)
    return ModelCacheError(f"{path} cannot be written: {error.strerror or error}")


def make_folder(folder: Path) -> Path:
    """``folder``, made if need be. Raises ``ModelCacheError``."""
    with keeping(folder / "."):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def require_room(folder: Path, size: int) -> None:
    """Raise ``ModelCacheError`` unless ``size`` more bytes fit on the disk, with a margin."""
    with keeping(folder):
        free = shutil.disk_usage(folder).free
    if free < size + MARGIN:
        text = f"the disk is full: {folder} has {free >> 20} MB left, {size >> 20} MB are needed"
        raise ModelCacheError(
            f"{text}; make room, or move MODEL_CACHE_DIR", ModelErrorCode.CACHE_FULL
        )


def write(path: Path, data: bytes) -> None:
    """A small file, whole or not at all. Raises ``ModelCacheError``."""
    temporary = path.with_name(f".{path.name}.new")
    with keeping(path):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            put(temporary, path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise


def put(temporary: Path, path: Path) -> None:
    """``temporary``, already on the disk, under its real name; survives a loss of power."""
    temporary.replace(path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def digest(path: Path, algorithm: str = "sha256") -> str:
    """The hash of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
