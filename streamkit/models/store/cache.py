"""The cache directory: ``<dataset>/<version>/`` as the neighbour has it, one lock per model."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import filelock

from streamkit.errors import ModelCacheError, ModelErrorCode
from streamkit.models.ids import ModelId
from streamkit.models.registry import STUB
from streamkit.models.store.environment import ModelType
from streamkit.models.store.files import look, read_json
from streamkit.models.store.keeping import keeping, make_folder
from streamkit.models.store.package import WEIGHTS, Package, read_folder
from streamkit.models.store.sidecar import SIDECAR, verify

LOCKS: Final = "_file_locks"
URLS: Final = "_urls"
"""The dataset under which models lie that were named by a URL; their version is the SHA-256."""


@dataclass(frozen=True, slots=True)
class Cache:
    """A directory of models, shared by all processes of the machine."""

    root: Path
    lock_timeout: float = 900.0
    """Seconds to wait while another process downloads the same model."""

    def folder(self, model: ModelId) -> Path:
        """Where the files of ``model`` are, or would be."""
        return self.root / model.folder

    def read(self, model: ModelId) -> Package | None:
        """The model, checked; ``None`` unless its weights are there, which are written last.

        Raises ``ModelArtefactError`` where it is damaged.
        """
        folder = self.folder(model)
        if model.version == "0" and (kind := _stub(folder)):
            return Package(str(model), folder / WEIGHTS[0], kind)
        weights = find_weights(folder)
        if weights is None:
            return None
        verify(folder)
        if model.dataset == URLS and look(folder / "environment.json") is None:
            return Package(str(model), weights)
        return read_folder(folder, str(model))

    @contextmanager
    def lock(self, model: ModelId, timeout: float | None = None) -> Iterator[None]:
        """The right to write the files of ``model``; the system takes it back when a process dies.

        Raises ``ModelCacheError`` after ``timeout`` seconds (``lock_timeout``), or where the
        directory is read-only.
        """
        path = make_folder(self.root / LOCKS) / _lock_name(model)
        seconds = self.lock_timeout if timeout is None else timeout
        lock = filelock.FileLock(path, timeout=seconds)
        with keeping(path):
            try:
                lock.acquire()
            except filelock.Timeout:
                text = f"another process is downloading {model} (waited {seconds:g} s)"
                raise ModelCacheError(text, ModelErrorCode.CACHE_BUSY) from None
        try:
            yield
        finally:
            lock.release()

    def remove(self, model: ModelId, timeout: float | None = None) -> int:
        """Delete the files of ``model``; the bytes gained. Raises ``ModelCacheError``."""
        folder = self.folder(model)
        if look(folder) is None:
            return 0
        with self.lock(model, timeout), keeping(folder):
            size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
            for name in WEIGHTS:  # without them nobody takes the rest for a model
                (folder / name).unlink(missing_ok=True)
            shutil.rmtree(folder)
            with suppress(OSError):
                folder.parent.rmdir()
        return size

    def models(self) -> Iterator[ModelId]:
        """Those which are here, in order of their names."""
        for folder in sorted(self._folders()):
            parts = folder.relative_to(self.root).parts
            yield ModelId(parts[0], parts[1] if len(parts) > 1 else None)

    def _folders(self) -> Iterator[Path]:
        for pattern in ("*/", "*/*/"):
            for folder in self.root.glob(pattern):
                named_by_url = folder.relative_to(self.root).parts[0] == URLS
                if folder.name.startswith((".", "_")) and not named_by_url:
                    continue
                if find_weights(folder) or look(folder / "model_type.json"):
                    yield folder

    def downloaded(self, model: ModelId) -> bool:
        """Whether it was downloaded, so that it may be deleted and had again."""
        return look(self.folder(model) / SIDECAR) is not None


def find_weights(folder: Path) -> Path | None:
    """The weights file, by one of its names."""
    return next((folder / name for name in WEIGHTS if look(folder / name) is not None), None)


def _stub(folder: Path) -> ModelType | None:
    path = folder / "model_type.json"
    if look(path) is None:
        return None
    kind = read_json(path, ModelType)
    return kind if kind.model_type == STUB else None


def _lock_name(model: ModelId) -> str:
    """The full id in one file name."""
    name = quote(str(model), safe="")
    if len(name) > 200:
        name = f"{name[:150]}-{hashlib.blake2s(name.encode()).hexdigest()}"
    return f"{name}.lock"
