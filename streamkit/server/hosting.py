"""Pipelines on behalf of clients: kept over a restart, their results for all to read."""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import SecretStr

from streamkit.errors import (
    ClosedError,
    ConfigError,
    StreamkitError,
    StreamOperationNotAllowedError,
)
from streamkit.pipeline import InferencePipeline
from streamkit.server.failures import HttpError, told
from streamkit.server.ledger import Entry, Ledger
from streamkit.server.results import Results
from streamkit.server.strangers import House
from streamkit.spec import PipelineSpec, build_pipeline
from streamkit.watchdog import BasePipelineWatchDog

log = logging.getLogger(__name__)

ROOM: Final = 64
"""Results of a pipeline that are kept unless it says otherwise; the neighbour's number."""
_AGAIN: Final = 30.0
"""Seconds between two tries to begin a pipeline whose model cannot be had."""
_LOOK: Final = 0.5
_AT_ONCE: Final = 8
"""Pipelines that are being taken up at a time; each may wait for its model for minutes."""
_LONGEST: Final = 1 << 20
"""Bytes of a document; all of them are read at the next start."""
_CLOSE: Final = 2.0
"""Seconds for all of them together to end, when the server does."""


@dataclass(eq=False)
class Hosted:
    """One pipeline, or why there is none yet."""

    id: str
    document: dict[str, Any]
    results: Results
    paused: bool = False
    pipeline: InferencePipeline | None = None
    error: StreamkitError | None = None
    tried: float = 0.0
    beginning: bool = False
    """Somebody is at it."""
    gone: bool = False
    """It was ended for good, perhaps while it began."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Of ``pipeline``, ``paused`` and ``gone``; nothing is waited for while it is held."""
    watchdog: BasePipelineWatchDog = field(default_factory=BasePipelineWatchDog)
    spec: PipelineSpec | None = None
    """Of a document that lies on the server, and may say what requests may not."""
    key: SecretStr | None = None
    """To load its model with; not kept: after a restart the server's own is used."""
    patience: float | None = None
    """Seconds without anybody reading its results after which it ends."""

    @property
    def state(self) -> str:
        """``starting``, ``running``, ``paused``, ``ended`` or ``failed``."""
        if self.pipeline is None:
            return "failed" if self.error is not None else "starting"
        if not self.pipeline.running:
            return "failed" if self.error is not None else "ended"
        return "paused" if self.paused else "running"

    @property
    def over(self) -> bool:
        """It ran, and has ended by itself or by an error."""
        return self.pipeline is not None and not self.pipeline.running


Build = Callable[..., InferencePipeline]


class Hosting:
    """All pipelines of a server. Methods may be called from any thread, and may take seconds."""

    def __init__(self, house: House, ledger: Ledger, most: int, build: Build | None = None) -> None:
        self._house, self._ledger, self._most = house, ledger, most
        self._build = build or build_pipeline
        self.watch: Callable[[str], BasePipelineWatchDog] = lambda _id: BasePipelineWatchDog()
        """Makes who watches a pipeline, by its id."""
        self._lock = threading.Lock()
        self._hosted: dict[str, Hosted] = {}
        self._stopped = threading.Event()
        self._warden = threading.Thread(target=self._watch, name="streamkit pipelines", daemon=True)

    def adopt(self, folder: Path) -> None:
        """Begin the documents in ``folder`` with the server, each under its file's name. Raises
        ``ConfigError`` for what is wrong with one, and for two of the same name."""
        for path in sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml", ".json")):
            if path.stem in self._hosted:
                raise ConfigError(f"{path}: another document there is called {path.stem}, too")
            hosted = Hosted(
                path.stem, {}, Results(ROOM, up_again=True), spec=PipelineSpec.load(path)
            )
            self._hosted[hosted.id] = hosted

    def start(self) -> None:
        """Take up what ran when the server ended, and look after all from now on."""
        for entry in self._ledger.entries():
            try:
                self._hosted[entry.id] = _of(entry, up_again=True)
            except ConfigError as error:  # of another version; it stays where it is
                log.error("pipeline %s cannot be taken up: %s", entry.id, error)
        self._warden.start()

    def close(self) -> None:
        """Stop all, at the same time; they go on with the next start."""
        until = time.monotonic() + _CLOSE
        with self._lock:
            self._stopped.set()
            ending = [
                threading.Thread(target=_end, args=(hosted,), daemon=True, name="streamkit end")
                for hosted in self._hosted.values()
            ]
        for thread in ending:
            thread.start()
        if self._warden.ident is not None:
            ending.append(self._warden)
        for thread in ending:
            thread.join(max(0.0, until - time.monotonic()))
        self._ledger.close()

    # -- what clients ask --------------------------------------------------------------------

    def add(self, document: Mapping[str, Any], key: SecretStr | None = None) -> str:
        """Begin one; its id. Raises ``ConfigError``, ``HttpError``, what its model raises; then
        nothing of it is left."""
        _check(document)
        hosted = _of(Entry(str(uuid.uuid4()), dict(document), False))
        hosted.key, hosted.beginning = key, True
        try:
            self._place(hosted)
            self._begin(hosted)
            self._ledger.enter(hosted.id, dict(document))
        except BaseException:
            with self._lock:
                self._hosted.pop(hosted.id, None)
            _end(hosted)
            raise
        if hosted.results.over:  # it ended before it was written down
            self._ledger.strike(hosted.id)
        return hosted.id

    def _place(self, hosted: Hosted) -> None:
        """Among the others; in the place of one that has ended, where there is no more room."""
        gone = None
        with self._lock:
            if self._stopped.is_set():
                raise ClosedError("the server is stopping")
            if len(self._hosted) >= self._most:
                over = next((name for name, one in self._hosted.items() if one.over), None)
                if over is None:
                    text = f"{self._most} pipelines are hosted; terminate one"
                    text += " (STREAMKIT_MAX_PIPELINES)"
                    raise HttpError(503, text, "TOO_MANY_PIPELINES", {"Retry-After": "10"})
                gone = self._hosted.pop(over)
            self._hosted[hosted.id] = hosted
        if gone is not None:
            _end(gone)
            self._ledger.strike(gone.id)

    def names(self) -> list[str]:
        """The ids, oldest first."""
        with self._lock:
            return list(self._hosted)

    def find(self, name: str) -> Hosted:
        """One by its id. Raises 404."""
        with self._lock:
            hosted = self._hosted.get(name)
        if hosted is None:
            raise HttpError(404, f"there is no pipeline {name!r}", "PIPELINE_NOT_FOUND")
        return hosted

    def pause(self, name: str, paused: bool) -> None:
        """Let its sources rest, or go on. Raises 404, 409."""
        hosted = self.find(name)
        with hosted.lock:
            pipeline = hosted.pipeline
            if pipeline is not None:
                if not pipeline.running:
                    raise StreamOperationNotAllowedError(f"the pipeline is {hosted.state}")
                (pipeline.mute_stream if paused else pipeline.resume_stream)()
            hosted.paused = paused  # one that has not begun begins so
        self._ledger.pause(name, paused)

    def remove(self, name: str) -> None:
        """End it for good. Raises 404."""
        hosted = self.find(name)
        self._ledger.strike(name)
        with self._lock:
            self._hosted.pop(name, None)
        _end(hosted)

    def stats(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Of each that runs."""
        for hosted in self._present():
            if hosted.pipeline is not None:
                yield hosted.id, hosted.pipeline.stats()

    # -- looking after them ------------------------------------------------------------------

    def _present(self) -> list[Hosted]:
        with self._lock:
            return list(self._hosted.values())

    def _begin(self, hosted: Hosted) -> None:
        """Raises what is wrong with it."""
        spec = hosted.spec or self._house.admit(hosted.document)
        hosted.watchdog = watchdog = self.watch(hosted.id)
        pipeline = self._build(
            spec,
            on_result=hosted.results.write,
            watchdog=watchdog,
            api_key=None if hosted.key is None else hosted.key.get_secret_value(),
        )
        pipeline.start(use_main_thread=False)
        with hosted.lock:
            hosted.pipeline, hosted.error = pipeline, None
            if hosted.paused:
                pipeline.mute_stream()
            gone = hosted.gone
        if gone:
            pipeline.terminate()
            raise ClosedError(f"pipeline {hosted.id} was ended while it began")

    def _watch(self) -> None:
        while not self._stopped.wait(_LOOK):
            for hosted in self._present():
                try:
                    self._look_after(hosted)
                except Exception:  # a thread begins here, and the others are to be looked after
                    log.exception("pipeline %s cannot be looked after", hosted.id)

    def _look_after(self, hosted: Hosted) -> None:
        now = time.monotonic()
        if hosted.pipeline is None:
            if not hosted.beginning and (not hosted.tried or now - hosted.tried >= _AGAIN):
                self._take_up(hosted)
        elif hosted.over:
            self._ended(hosted)
        elif hosted.patience is not None and now - hosted.results.asked > hosted.patience:
            log.warning("pipeline %s: nobody read its results; it ends", hosted.id)
            self.remove(hosted.id)

    def _take_up(self, hosted: Hosted) -> None:
        """On a thread of its own: one model that is slow to come holds up no other pipeline."""
        if sum(one.beginning for one in self._present()) >= _AT_ONCE or self._stopped.is_set():
            return
        hosted.beginning = True
        name = "streamkit pipeline begins"
        threading.Thread(target=self._try, args=(hosted,), daemon=True, name=name).start()

    def _try(self, hosted: Hosted) -> None:
        try:
            self._begin(hosted)
        except ClosedError:
            pass
        except StreamkitError as error:
            hosted.error = error
            log.warning("pipeline %s cannot begin: %s", hosted.id, error)
        except Exception:  # a thread begins here
            hosted.error = HttpError(500, "Internal error.", "INTERNAL_ERROR")
            log.exception("pipeline %s cannot begin", hosted.id)
        finally:
            wrong = isinstance(hosted.error, ConfigError)  # as wrong as that the next time, too
            hosted.tried = math.inf if wrong else time.monotonic()
            hosted.beginning = False

    def _ended(self, hosted: Hosted) -> None:
        """By itself: its results stay until it is removed; after a restart it is not there."""
        if hosted.results.over or hosted.pipeline is None or self._stopped.is_set():
            return  # those that the server's end ends go on with the next one
        hosted.results.close()
        self._ledger.strike(hosted.id)
        try:
            hosted.pipeline.join(0)
        except StreamkitError as error:
            hosted.error = error
            log.warning("pipeline %s ended: %s", hosted.id, error)


def _check(document: Mapping[str, Any]) -> None:
    """Raise ``ConfigError`` for what cannot be kept."""
    try:
        size = len(orjson.dumps(document))
    except TypeError as error:
        raise ConfigError(f"the document cannot be kept: {error}") from None
    if size > _LONGEST:
        raise ConfigError(f"a document of {size} bytes: the most are {_LONGEST}")


def _of(entry: Entry, *, up_again: bool = False) -> Hosted:
    document = dict(entry.document)
    room, patience = (
        document.pop("results_buffer_size", ROOM),
        document.pop("consumption_timeout", None),
    )
    if not isinstance(room, int) or not 1 <= room <= 10_000:
        raise ConfigError(f"results_buffer_size={room!r}: give a number from 1 to 10000")
    if patience is not None and (not isinstance(patience, int | float) or patience <= 0):
        raise ConfigError(f"consumption_timeout={patience!r}: give seconds above 0")
    results = Results(room, up_again=up_again)
    return Hosted(entry.id, document, results, entry.paused, patience=patience)


def _end(hosted: Hosted) -> None:
    """Who begins it at this moment sees that it is gone."""
    with hosted.lock:
        hosted.gone = True
        pipeline = hosted.pipeline
    if pipeline is not None:
        pipeline.terminate()
    hosted.results.close()


def report(hosted: Hosted) -> dict[str, Any]:
    """How one fares: the neighbour's report, our account, and what it failed with."""
    fared = _plain(hosted.watchdog.get_report()) or {}
    return {
        **fared,
        "state": hosted.state,
        "error": None if hosted.error is None else f"{hosted.error.code}: {told(hosted.error)}",
        "results": {"last": hosted.results.last, "missed": hosted.results.missed},
        "stats": {} if hosted.pipeline is None else hosted.pipeline.stats(),
    }


def _plain(value: Any) -> Any:
    """JSON-ready: dataclasses as objects, enums by value, times in ISO 8601."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | deque):
        return [_plain(inner) for inner in value]
    if isinstance(value, Enum):
        return _plain(value.value)
    return value.isoformat() if isinstance(value, datetime) else value
