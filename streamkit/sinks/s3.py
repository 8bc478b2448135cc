"""Puts events and the files that show them into an S3 bucket, or what speaks like one."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from streamkit.credentials import resolved
from streamkit.errors import ConfigError, DeliveryFailedError
from streamkit.events import Event
from streamkit.outbox.base import Message
from streamkit.outbox.options import OutboxGiven
from streamkit.predictions import Result
from streamkit.sinks.networked import Networked, encoded, message_of
from streamkit.sinks.template import event_of

if TYPE_CHECKING:
    from obstore.store import S3Store

log = logging.getLogger(__name__)

_NO_NAME: Final = re.compile(r"[^\w.-]+")
_CHUNK: Final = 1 << 20
_CLIP: Final = "clip"
_CLIP_OF: Final = ", clip of "
_CLIP_ATTEMPTS: Final = 30
"""How often it is looked for a clip: about a quarter of an hour with the outbox's usual waits."""
_TYPES: Final = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".mp4": "video/mp4",
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where to, and as whom; what is ``None`` is asked of the machine, as Amazon's tools do."""

    name: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    timeout: float = 30.0

    def __str__(self) -> str:
        return f"s3://{self.name}/{self.prefix}".rstrip("/")

    def open(self) -> S3Store:
        """A way in; secrets are looked up now. Raises ``ConfigError``."""
        try:
            from obstore.store import S3Store
        except ImportError:
            text = f"{self} needs the package obstore: install the extra 's3'"
            raise ConfigError(text) from None
        secret = self.secret_access_key and resolved(self.secret_access_key)
        given = {
            "access_key_id": self.access_key_id and resolved(self.access_key_id),
            "secret_access_key": secret,
            "endpoint": self.endpoint,
            "region": self.region or ("us-east-1" if self.endpoint else None),
        }
        options: Any = {name: value for name, value in given.items() if value}
        plain = self.endpoint is not None and self.endpoint.startswith("http://")
        return S3Store(
            self.name,
            client_options={"allow_http": plain, "timeout": f"{self.timeout:g}s"},
            retry_config={"max_retries": 0},  # the outbox tries again
            **options,
        )


class S3Destination:
    """One bucket. Keys follow from events, so that an attempt more changes nothing."""

    batch = 1  # a clip that is not there yet holds up nobody else

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._store: S3Store | None = None
        self._closed = threading.Event()

    def send(self, messages: Sequence[Message]) -> None:
        """Put each event after the pictures that show it; returns when all answers have come."""
        from obstore.exceptions import BaseError

        for number, message in enumerate(messages):
            if self._closed.is_set():
                raise DeliveryFailedError(f"{self._bucket}: closed", delivered=number)
            try:
                self._put(message)
            except (BaseError, OSError, _CancelledError) as error:
                self._store = None  # the next attempt looks up its secrets anew
                # Texts of obstore hold addresses and ids of keys.
                text = f"{self._bucket}: {_why(error)}"
                raise DeliveryFailedError(text, delivered=number) from None

    def close(self) -> None:
        """A ``send`` under way ends at its next piece, at the latest after the time limit."""
        self._closed.set()

    def _put(self, message: Message) -> None:
        store = self._store = self._store or self._bucket.open()
        event = event_of(message)
        if clip := event.get(_CLIP):
            self._put_clip(store, Path(clip), message)
            return
        stem = self._key(f"{message.at:%Y-%m-%d}", message.stream, message.id)
        names = _Names(stem, self._clip(message.stream, str(event.get("id", message.id))))
        evidence = [
            {**each, "key": self._put_evidence(store, each, names)}
            for each in event.get("evidence", ())
        ]
        body = orjson.dumps({**event, "evidence": evidence}) if evidence else message.body
        store.put(f"{stem}.json", body, attributes={"Content-Type": "application/json"})

    def _put_evidence(
        self, store: S3Store, evidence: Mapping[str, Any], names: _Names
    ) -> str | None:
        """The key of one file; nothing where there is none. That of a clip is told beforehand."""
        path = Path(evidence.get("path") or "")
        if evidence.get("kind") == "clip" and path.name:
            return names.clip(path.suffix.lower())
        if not path.is_file():
            return None
        key = names.next(str(evidence.get("kind")), path.suffix.lower())
        self._put_file(store, key, path)
        return key

    def _put_clip(self, store: S3Store, path: Path, message: Message) -> None:
        """Clips appear when they are whole; what runs together with another has none of its own."""
        if path.is_file():
            stream, _, event_id = message.stream.rpartition(_CLIP_OF)
            self._put_file(store, self._clip(stream, event_id) + path.suffix.lower(), path)
        elif message.attempt < _CLIP_ATTEMPTS:
            raise DeliveryFailedError(f"{self._bucket}: waits for {path.name}")
        else:
            log.info("%s: no %s came", self._bucket, path.name)

    def _put_file(self, store: S3Store, key: str, path: Path) -> None:
        if not _has(store, key, path.stat().st_size):
            kind = _TYPES.get(path.suffix.lower(), "application/octet-stream")
            store.put(key, self._pieces(path), attributes={"Content-Type": kind}, max_concurrency=2)

    def _clip(self, stream: str, event_id: str) -> str:
        """Without a date: the phases of one happening may be of several."""
        return self._key("clips", stream, event_id)

    def _key(self, folder: str, stream: str, name: str) -> str:
        parts = (folder, _segment(stream), _segment(name))
        return "/".join((*filter(None, (self._bucket.prefix,)), *parts))

    def _pieces(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            while piece := file.read(_CHUNK):
                if self._closed.is_set():
                    raise _CancelledError
                yield piece


class _CancelledError(Exception):
    """It was closed while a file was on its way."""


class _Names:
    """The keys of the files of one event: ``stem.jpg``, ``stem-crop.jpg``, ``stem-crop-2.jpg``; its
    clip has that of the whole happening."""

    def __init__(self, stem: str, whole: str) -> None:
        self._stem, self._whole = stem, whole
        self._given: dict[str, int] = {}

    def next(self, kind: str, ending: str) -> str:
        """The next key for a picture of this kind."""
        stem = self._stem if kind == "snapshot" else f"{self._stem}-{kind}"
        count = self._given[stem + ending] = self._given.get(stem + ending, 0) + 1
        return f"{stem}{ending}" if count == 1 else f"{stem}-{count}{ending}"

    def clip(self, ending: str) -> str:
        """The key of the clip."""
        return f"{self._whole}{ending}"


class S3Sink(Networked):
    """``{prefix}/{date}/{stream}/{id}.{phase}.json`` per event, with its pictures beside it; each
    file's ``key`` in the bucket is told in the event's ``evidence``. Clips follow by themselves
    when they are whole, as ``{prefix}/clips/{stream}/{id}.mp4``."""

    def __init__(  # noqa: PLR0913 - the options
        self,
        bucket: str,
        *,
        prefix: str = "",
        endpoint: str | None = None,
        region: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        timeout: float = 30.0,
        name: str | None = None,
        kinds: Sequence[str] = (),
        outbox: OutboxGiven = None,
    ) -> None:
        """``endpoint``: a server other than Amazon's. The keys or where they are kept
        (``env:NAME``); without them, those of the machine. ``timeout``: seconds for one request.

        Raises ``ConfigError``; ``OutboxError`` where there is no outbox to be had.
        """
        if not bucket or not timeout > 0:
            raise ConfigError("bucket: give its name, and a timeout above 0 seconds")
        if (access_key_id is None) != (secret_access_key is None):
            raise ConfigError("access_key_id and secret_access_key belong together: give both")
        prefix = "/".join(filter(None, prefix.split("/")))
        place = Bucket(bucket, prefix, endpoint, region, access_key_id, secret_access_key, timeout)
        place.open()
        name = name or f"{place}" + (f" at {endpoint}" if endpoint else "")
        same = (place, secret_access_key)
        super().__init__(S3Destination(place), name=name, same=same, kinds=kinds, outbox=outbox)

    def messages(self, event: Event, result: Result) -> list[Message]:
        """The event, and which clips it will have."""
        return [*super().messages(event, result), *_clips(event, result)]


def _clips(event: Event, result: Result) -> Iterator[Message]:
    """A message of its own for each, in an order of its own: nobody waits for a clip."""
    for each in event.evidence:
        if each.kind == _CLIP and each.path:
            whole = message_of(event, result, encoded({_CLIP: each.path}))
            stream = f"{whole.stream}{_CLIP_OF}{event.id}"
            yield replace(whole, id=f"{event.id}.{_CLIP}", stream=stream)


def _segment(value: str) -> str:
    text = _NO_NAME.sub("_", value)
    return text if text.strip(".") else "_"


def _has(store: S3Store, key: str, size: int) -> bool:
    """An attempt before this one has put it already."""
    try:
        return bool(store.head(key)["size"] == size)
    except FileNotFoundError:
        return False


def _why(error: Exception) -> str:
    text, kind = str(error), type(error).__name__
    if isinstance(error, _CancelledError):
        return "closed"
    if "NoSuchBucket" in text:
        return "there is no such bucket"
    refused = kind in ("PermissionDeniedError", "UnauthenticatedError")
    if refused or "403 Forbidden" in text or "401 Unauthorized" in text:
        return "it refuses these credentials"
    return f"not reached ({kind})"
