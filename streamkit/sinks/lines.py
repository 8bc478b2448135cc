"""A file of whole lines that grows, begins anew by size and by day, and heals after a crash."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, Final, Literal, TypeAlias, cast

from streamkit.errors import ConfigError, SinkError
from streamkit.events import Throttle

log = logging.getLogger(__name__)

Period: TypeAlias = Literal["never", "hour", "day"]
_STAMP: Final = {"never": "", "hour": "%Y%m%dT%H", "day": "%Y%m%d"}
_CHUNK: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a file is put aside, as ``name.20260329T005959.ending``, and a new one is begun."""

    every: Period = "never"
    """``hour`` and ``day`` are those of UTC, like all times in these files."""
    size: int | None = None
    """The most bytes of one file; a record that is longer gets a file of its own."""
    keep: int | None = None
    """How many files that were put aside are kept, the newest; ``None``: all."""

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ConfigError(f"rotate_bytes={self.size}: give at least 1, or none")
        if self.keep is not None and self.keep < 1:
            raise ConfigError(f"keep_files={self.keep}: give at least 1, or none for all")


def _now() -> datetime:
    return datetime.now(UTC)


class LineFile:
    """Appends lines that are whole or not there at all; one writer at a time.

    What ``put`` has returned for survives the death of the process, and with ``sync`` that of the
    machine. Half a line, left by a crash in the middle of writing, is cut off at the next opening;
    nobody was told that it was written. A file that somebody has moved away or removed is begun
    anew. Anything that is no regular file (a pipe) is only written to.
    """

    def __init__(
        self,
        path: str | Path,
        whole: Callable[[bytes], bool],
        *,
        header: bytes = b"",
        rotation: Rotation | None = None,
        sync: bool = True,
        now: Callable[[], datetime] = _now,
    ) -> None:
        """``whole`` tells whether a last line that lacks its end is complete all the same;
        ``header``, a line, begins every file. Raises ``SinkError`` where it cannot be written."""
        self.path = Path(path).expanduser()
        self._whole, self._header, self._sync, self._now = whole, header, sync, now
        self._rotation = rotation or Rotation()
        self._file: BinaryIO | None = None
        self._closed = False
        self._regular = False
        self._begun = False
        """Something was written to what is no regular file."""
        self._troubles = Throttle()
        try:
            self._open()
        except OSError as error:
            raise self._told(error) from error

    def put(self, lines: bytes) -> None:
        """Append ``lines``, all of them or none. Raises ``SinkError``."""
        if self._closed:
            raise SinkError(f"{self.path} is closed")
        try:
            file = self._ready(len(lines))
            begun = os.fstat(file.fileno()).st_size > 0 if self._regular else self._begun
            self._append(file, lines if begun else self._header + lines)
            self._begun = True
        except OSError as error:
            raise self._told(error) from error

    def close(self) -> None:
        """Let go of the file."""
        self._closed = True
        self._shut()

    def _told(self, error: OSError) -> SinkError:
        return SinkError(f"cannot write {self.path}: {error.strerror or error}")

    # -- opening and healing -----------------------------------------------------------------

    def _open(self) -> BinaryIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = file = cast(BinaryIO, self.path.open("ab", buffering=0))
        self._regular, self._begun = S_ISREG(os.fstat(file.fileno()).st_mode), False
        try:
            if self._regular:
                self._heal(file)
                self._check_header()
                self._sync_folder()
        except BaseException:
            self._shut()
            raise
        return file

    def _heal(self, file: BinaryIO) -> None:
        size = os.fstat(file.fileno()).st_size
        torn = self._last_line(size)
        if torn and self._whole(torn):
            self._append(file, b"\n")
        elif torn:
            log.warning("%s: the last line was cut off by a crash, it is removed", self.path)
            file.truncate(size - len(torn))

    def _last_line(self, size: int) -> bytes:
        """What stands behind the last end of a line."""
        found = b""
        with self.path.open("rb") as written:
            while len(found) < size and b"\n" not in found:
                step = min(_CHUNK, size - len(found))
                written.seek(size - len(found) - step)
                found = written.read(step) + found
        return found.rpartition(b"\n")[2]

    def _check_header(self) -> None:
        if not self._header:
            return
        with self.path.open("rb") as written:
            found = written.readline()
        if found and found != self._header:
            raise SinkError(f"cannot write {self.path}: it has other columns; choose another path")

    def _shut(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    # -- writing -----------------------------------------------------------------------------

    def _ready(self, coming: int) -> BinaryIO:
        """The open file, after a new one was begun where it is time."""
        if self._file is not None and self._regular:
            if not self._is_there(self._file):
                self._shut()
            elif self._due(self._file, coming):
                self._put_aside()
        return self._file or self._open()

    def _is_there(self, file: BinaryIO) -> bool:
        try:
            return os.path.samestat(self.path.stat(), os.fstat(file.fileno()))
        except FileNotFoundError:
            return False

    def _append(self, file: BinaryIO, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[file.write(rest) :]
            if self._sync and self._regular:
                os.fsync(file.fileno())
        except OSError:
            self._take_back(file, len(data) - len(rest))
            raise

    def _take_back(self, file: BinaryIO, count: int) -> None:
        """Cut off the last ``count`` bytes. Where not even that works, healing is left to the next
        opening."""
        if not self._regular or not count:
            return
        try:
            file.truncate(os.fstat(file.fileno()).st_size - count)
        except OSError:
            self._shut()

    # -- putting aside -----------------------------------------------------------------------

    def _due(self, file: BinaryIO, coming: int) -> bool:
        info, limit = os.fstat(file.fileno()), self._rotation.size
        if info.st_size <= len(self._header):
            return False
        if limit is not None and info.st_size + coming > limit:
            return True
        stamp = _STAMP[self._rotation.every]
        return format(_changed(info), stamp) != format(self._now(), stamp) if stamp else False

    def _put_aside(self) -> None:
        """Rename the file. Where that fails it goes on growing: an event matters more."""
        self._shut()
        try:
            self.path.rename(self._free_name(_changed(self.path.stat())))
            self._prune()
        except OSError as error:
            if self._troubles.tick():
                log.warning("%s cannot be put aside: %s", self.path, error.strerror or error)

    def _free_name(self, at: datetime) -> Path:
        """Behind all others, also those of the same second, and where the clock was set back."""
        aside = [found for found, _ in self._aside()]
        stamp = max(f"{at:%Y%m%dT%H%M%S}", *(other for other, _ in aside), "")
        taken = [number for other, number in aside if other == stamp]
        more = f"-{max(taken) + 1}" if taken else ""
        return self.path.with_name(f"{self.path.stem}.{stamp}{more}{self.path.suffix}")

    def _prune(self) -> None:
        if self._rotation.keep is not None:
            for path in self.put_aside()[: -self._rotation.keep]:
                path.unlink(missing_ok=True)

    def put_aside(self) -> list[Path]:
        """The files that this one has left behind, the oldest first."""
        return [path for _, path in self._aside()]

    def _aside(self) -> list[tuple[tuple[str, int], Path]]:
        stem, ending = re.escape(self.path.stem), re.escape(self.path.suffix)
        pattern = re.compile(rf"{stem}\.(\d{{8}}T\d{{6}})(?:-(\d+))?{ending}")
        named = [(pattern.fullmatch(path.name), path) for path in self.path.parent.iterdir()]
        return sorted(((m[1], int(m[2] or 0)), path) for m, path in named if m is not None)

    def _sync_folder(self) -> None:
        """So that the name of a new file survives a power cut, too."""
        if self._sync and os.name == "posix":
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _changed(info: os.stat_result) -> datetime:
    return datetime.fromtimestamp(info.st_mtime, UTC)
