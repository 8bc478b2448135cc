"""The files that one sink has written: their index, and how much of them is kept."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from streamkit.errors import ConfigError, SinkError

log = logging.getLogger(__name__)

_DAY: Final = 86_400.0
_GB: Final = 1e9
_HISTORY: Final = 1000
"""Lines of an index that are not worth shortening."""
_OFTEN: Final = 30.0
_PLAUSIBLE: Final = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
"""What ended before it was recorded by a machine that did not know the time yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is kept of what was recorded; whatever is more is deleted, the oldest first.

    ``ConfigError`` for numbers that are not above 0. ``None``: no limit.
    """

    days: float | None = None
    """Since the end of the recording."""
    gigabytes: float | None = None
    """Of this sink's files together (1e9 bytes)."""
    free_gigabytes: float | None = None
    """That stay free on the disk."""

    def __post_init__(self) -> None:
        for name in ("days", "gigabytes", "free_gigabytes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name}={value!r}: give a number above 0")


@dataclass(slots=True)
class Entry:
    """One file, as the index tells of it."""

    file: str
    """Path below the folder, with ``/``."""
    start: float
    """Unix time."""
    end: float | None = None
    """``None`` while it is being written."""
    size: int = 0
    """Bytes."""
    clock: float = field(default_factory=lambda: _clock())
    """What the machine's clock was set to when this was noted: Unix time less steady seconds."""

    def age(self, now: float) -> float:
        """Seconds since its end, however the clock was set meanwhile; below 0 while it grows."""
        return -1.0 if self.end is None else now - self.end - (_clock() - self.clock)


def _clock() -> float:
    """What the machine's clock is set to: Unix time less seconds that only go forward, also while
    the machine sleeps where that can be known."""
    known = getattr(time, "CLOCK_BOOTTIME", None)
    return time.time() - (time.monotonic() if known is None else time.clock_gettime(known))


class Archive:
    """A folder, and an index of what one sink wrote into it: ``{kind}.jsonl``, a line for each
    file when it is begun and another when it is finished.

    Only what the index names is ever deleted, and only inside the folder, by one archive at a time:
    another one of this folder, here or in another process, only adds to it until ``close``. Every
    error of the system is a ``SinkError``. To be used from one thread.
    """

    def __init__(self, folder: str | Path, kind: str, limits: Limits) -> None:
        """Read the index, with what an earlier process wrote. Raises ``SinkError``."""
        self.folder = Path(folder).absolute()
        self.index = self.folder / f"{kind}.jsonl"
        self.deleted = 0
        self._limits = limits
        self._entries: dict[str, Entry] = {}
        self._next = 0.0
        self._lines = 0
        """Of the index."""
        self._lock = FileLock(self.folder / f".{kind}.lock", timeout=0, thread_local=False)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.folder, os.W_OK):
                raise PermissionError(13, "it may not be written")
            self._alone = self._taken()
            self._restore()
        except OSError as error:
            raise self._failed(self.folder, error) from error

    @property
    def entries(self) -> list[Entry]:
        """What is there, in the order in which it was begun."""
        return list(self._entries.values())

    def left_behind(self) -> list[tuple[Path, float]]:
        """What was being written when its process was killed, and when it was begun (Unix time);
        nothing while somebody may be writing it."""
        open_ = [entry for entry in self.entries if entry.end is None] if self._alone else []
        paths = [(self.folder / entry.file, entry.start) for entry in open_]
        return [(path, start) for path, start in paths if self._is_ours(path)]

    def close(self) -> None:
        """Leave the folder to others."""
        self._lock.release()
        self._alone = False

    def _taken(self) -> bool:
        """Whether nobody else works by this index, now that we do."""
        try:
            self._lock.acquire()
        except Timeout:
            return False
        except NotImplementedError:  # a file system without locks
            return True
        return True

    def begin(self, path: Path, start: float, **about: Any) -> None:
        """``path`` is about to be written; its folder is made."""
        entry = Entry(path.relative_to(self.folder).as_posix(), start)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._note(entry, about)
        except OSError as error:
            raise self._failed(path, error) from error
        self._entries[entry.file] = entry

    def finish(self, path: Path, end: float, **about: Any) -> None:
        """``path`` is complete."""
        entry = self._entries[path.relative_to(self.folder).as_posix()]
        try:
            entry.size, entry.end = path.stat().st_size, end
            entry.clock = _clock()
            self._note(entry, about)
        except OSError as error:
            raise self._failed(path, error) from error

    def forget(self, path: Path) -> None:
        """There is nothing at ``path`` after all."""
        entry = self._entries.pop(path.relative_to(self.folder).as_posix(), None)
        try:
            if entry is not None:
                self._gone(entry)
        except OSError as error:  # it is asked for where something else has failed
            log.warning("%s cannot be written: %s", self.index, error.strerror)

    def stats(self) -> dict[str, Any]:
        """JSON-ready."""
        size = sum(entry.size for entry in self._entries.values())
        return {"files": len(self._entries), "bytes": size, "deleted": self.deleted}

    # -- what is kept --------------------------------------------------------------------------

    def tidy(self) -> None:
        """``prune``, from time to time."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _OFTEN
            self.prune()

    def prune(self, now: float | None = None) -> int:
        """Delete what is too old or too much, in the order in which it was recorded, whatever the
        clock showed; how many files. What cannot be deleted is told."""
        if not self._alone and not self._succeeds():
            return 0
        now = time.time() if now is None else now
        done = [entry for entry in self._entries.values() if entry.end is not None]
        size, before = sum(entry.size for entry in done), self.deleted
        lacking = self._lacking()
        for entry in done:
            if not self._too_much(entry, size, lacking, now):
                break
            size -= entry.size
            lacking -= entry.size
            self._delete(entry)
        try:
            self._shorten()
        except OSError as error:
            log.warning("%s cannot be written anew: %s", self.index, error.strerror)
        return self.deleted - before

    def _succeeds(self) -> bool:
        """Whether the one that worked by this index has gone; then all of it is ours."""
        self._alone = self._taken()
        if self._alone:
            try:
                self._restore()
            except OSError as error:
                log.warning("%s cannot be read: %s", self.index, error.strerror)
        return self._alone

    def _too_much(self, entry: Entry, size: int, lacking: float, now: float) -> bool:
        limits = self._limits
        if limits.days is not None and entry.age(now) > limits.days * _DAY:
            return True
        if limits.gigabytes is not None and size > limits.gigabytes * _GB:
            return True
        return lacking > 0

    def _lacking(self) -> float:
        """Bytes by which too little is free on the disk."""
        if self._limits.free_gigabytes is None:
            return 0.0
        return self._limits.free_gigabytes * _GB - shutil.disk_usage(self.folder).free

    def _delete(self, entry: Entry) -> None:
        path = self.folder / entry.file
        try:
            if self._is_ours(path):
                path.unlink(missing_ok=True)
                self.deleted += 1
            else:
                log.warning("%s: the index names what is no file of this folder", path)
            del self._entries[entry.file]
            self._gone(entry)
        except OSError as error:
            log.warning("%s cannot be deleted: %s", path, error.strerror)

    def _is_ours(self, path: Path) -> bool:
        """Inside the folder, and no link to elsewhere: somebody may have edited the index."""
        inside = path.parent.resolve().is_relative_to(self.folder.resolve())
        return inside and not path.is_symlink() and not path.is_dir()

    # -- the index -----------------------------------------------------------------------------

    def _note(self, entry: Entry, about: dict[str, Any]) -> None:
        self._append({
            "file": entry.file,
            "start": _text(entry.start),
            "end": None if entry.end is None else _text(entry.end),
            "bytes": entry.size,
            **about,
        })  # fmt: skip

    def _gone(self, entry: Entry) -> None:
        self._append({"file": entry.file, "deleted": _text(time.time())})

    def _append(self, line: dict[str, Any]) -> None:
        """Whole lines only; opened for each, because somebody may rotate it."""
        with self.index.open("a+b") as file:
            if file.tell() and not self._ends_well(file):
                file.write(b"\n")
            file.write(_encoded(line) + b"\n")
        self._lines += 1

    @staticmethod
    def _ends_well(file: Any) -> bool:
        file.seek(-1, os.SEEK_END)
        return bool(file.read(1) == b"\n")

    def _restore(self) -> None:
        """Take up what the index tells, and write it anew where most of it is history."""
        if self.index.exists():
            self._entries = {file: entry for file, (entry, _) in self._told().items()}
            if self._alone:
                self._shorten()

    def _told(self) -> dict[str, tuple[Entry, str]]:
        """Of each file that was not deleted what the index says last, in the order in which they
        were begun."""
        told: dict[str, tuple[Entry, str]] = {}
        self._lines = 0
        for text in self.index.read_text("utf-8", errors="replace").splitlines():
            self._lines += 1
            if (entry := _read(text)) is not None:
                if "deleted" in json.loads(text):
                    told.pop(entry.file, None)
                else:
                    told[entry.file] = entry, text
        return told

    def _shorten(self) -> None:
        """Write the index anew where most of it is history; others may have added to it."""
        if self._lines <= _HISTORY or self._lines <= 4 * len(self._entries):
            return
        latest = [text for _, text in self._told().values()]
        fresh = self.index.with_name(f".{self.index.name}.part")
        fresh.write_text("".join(f"{text}\n" for text in latest), "utf-8")
        fresh.replace(self.index)
        self._lines = len(latest)

    @staticmethod
    def _failed(path: Path, error: OSError) -> SinkError:
        return SinkError(f"cannot write {path}: {error.strerror or error}")


def _encoded(line: dict[str, Any]) -> bytes:
    """As it reads best; a name that is no text (a file of another encoding) in escapes."""
    try:
        return json.dumps(line, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(line).encode()


def _text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(text: Any) -> float | None:
    return None if text is None else datetime.fromisoformat(str(text)).timestamp()


def _read(text: str) -> Entry | None:
    """A line of the index; ``None`` where a crash cut it off."""
    try:
        line = json.loads(text)
        start = _seconds(line.get("start", line.get("deleted")))
        end = _seconds(line.get("end"))
        if end is not None and end < _PLAUSIBLE:
            end = max(end, time.time())
        return Entry(str(line["file"]), start or 0.0, end, int(line.get("bytes", 0)))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
