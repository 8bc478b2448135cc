"""Models that already lie on this machine, in a folder that nothing is ever written to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from streamkit.models.ids import ModelId
from streamkit.models.store.downloads import Allow
from streamkit.models.store.files import look
from streamkit.models.store.package import Package, read_folder


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """``root/<dataset>/<version>/`` or, for instant models, ``root/<workspace>/<slug>/``."""

    root: Path
    allow: Allow | None = None
    setting: str = "MODEL_CACHE_DIR"
    """What names the folder, for people."""

    @property
    def place(self) -> str:
        """The folder, and how to fill it."""
        return f"{self.root} ({self.setting}; put the files into <dataset>/<version> there)"

    def find(self, model: ModelId, api_key: SecretStr | None, /) -> Package | None:
        """The files in the model's folder, if there is one. Raises ``ModelAccessError``."""
        folder = self.root / model.folder
        if look(folder) is None:
            return None
        if self.allow is not None:
            self.allow(model, api_key)
        return read_folder(folder, str(model))
