"""Models that already lie on this machine, in the cache directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from streamkit.models.ids import ModelId
from streamkit.models.store.files import look
from streamkit.models.store.package import Package, read_folder


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """``root/<dataset>/<version>/`` or, for instant models, ``root/<workspace>/<slug>/``."""

    root: Path

    @property
    def place(self) -> str:
        """The folder, and how to fill it."""
        return f"{self.root} (MODEL_CACHE_DIR; put the files into <dataset>/<version> there)"

    def find(self, model: ModelId, _api_key: SecretStr | None, /) -> Package | None:
        """The files in the model's folder, if there is one."""
        folder = self.root / model.folder
        if look(folder) is None:
            return None
        return read_folder(folder, str(model))
