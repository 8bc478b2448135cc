"""``.streamkit.json``: the sizes and hashes of a downloaded model, to notice when it is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from streamkit.errors import ModelArtefactError, ModelErrorCode
from streamkit.models.store.files import look, read_json
from streamkit.models.store.keeping import digest, write

SIDECAR: Final = ".streamkit.json"

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]{0,120}$")]
"""One plain name: a manifest cannot point outside its folder."""


class Seal(BaseModel):
    """Size in bytes and SHA-256 (hex) of one file."""

    model_config = ConfigDict(frozen=True)
    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @classmethod
    def of(cls, path: Path) -> Seal:
        """What the file is like now."""
        return cls(size=path.stat().st_size, sha256=digest(path))

    def holds(self, path: Path) -> bool:
        """Whether the file is still like that."""
        found = look(path)
        if found is None or found.st_size != self.size:
            return False
        try:
            return digest(path) == self.sha256
        except OSError as error:
            raise ModelArtefactError(f"{path} cannot be read: {error.strerror}") from error


class Sidecar(BaseModel):
    """What a folder of the cache holds, and who gave it."""

    model_config = ConfigDict(frozen=True)
    source: str = ""
    files: dict[FileName, Seal]

    @classmethod
    def read(cls, folder: Path) -> Sidecar | None:
        """The one in ``folder``; ``None`` in a folder that somebody else filled."""
        path = folder / SIDECAR
        return None if look(path) is None else read_json(path, cls)

    @classmethod
    def of(cls, folder: Path, source: str, names: list[str]) -> Sidecar:
        """Of these files, as they are now."""
        return cls(source=source, files={name: Seal.of(folder / name) for name in names})

    def save(self, folder: Path) -> None:
        """Into ``folder``. Raises ``ModelCacheError``."""
        write(folder / SIDECAR, self.model_dump_json(indent=1).encode())

    def broken(self, folder: Path) -> list[str]:
        """The names of the files which are not as they were."""
        return [name for name, seal in self.files.items() if not seal.holds(folder / name)]


def verify(folder: Path) -> None:
    """Raise ``ModelArtefactError`` unless a downloaded model is as it was when it came."""
    sidecar = Sidecar.read(folder)
    broken = sidecar.broken(folder) if sidecar is not None else []
    if broken:
        text = f"{folder}: {', '.join(broken)} changed since the download"
        hint = f"delete {SIDECAR} there to use what is there as it is"
        raise ModelArtefactError(f"{text}; {hint}", ModelErrorCode.HASH_MISMATCH)
