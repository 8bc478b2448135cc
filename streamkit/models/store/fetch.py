"""Downloads: streamed beside their target, resumed, checked, and only then put in place."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from streamkit.errors import (
    ModelArtefactError,
    ModelCacheError,
    ModelErrorCode,
    ModelUnavailableError,
)
from streamkit.models.store.http import Http
from streamkit.models.store.keeping import digest, keeping, put, require_room

if TYPE_CHECKING:
    import httpx

OnProgress: TypeAlias = Callable[[str, int, int | None], None]
"""Told of a file's name, the bytes that are there, and of how many (``None``: unknown).

In the end, whatever it was, of 0 out of 0.
"""

LIMIT: Final = (2 << 30) - 1
"""Bytes: what a protobuf message can hold."""

_WORTH_IT: Final = 1 << 20
"""Bytes; as long as a series of tries brings this much, another series follows."""

_UNNAMED: Final = "new"


@dataclass(frozen=True, slots=True)
class Download:
    """A file of a model at an address, and what is known of it beforehand."""

    url: str
    sha256: str | None = None
    """In hex; without it the size, and the MD5 if the server tells one, are checked."""


@dataclass(frozen=True, slots=True)
class _Body:
    """What a reply says about the whole file."""

    total: int | None
    md5: str | None
    tag: str
    """Names the part, so that only bytes of the same file ever continue it."""


def download(http: Http, wanted: Download, target: Path, progress: OnProgress) -> None:
    """``wanted`` as ``target``, or an error and no ``target``; the caller holds the model's lock.

    A broken connection is resumed, also by another process later, if the server can. Raises
    ``ModelUnavailableError``, ``ModelArtefactError`` for a wrong hash, ``ModelCacheError``.
    """
    try:
        part = _persist(http, wanted, target, progress)
        with keeping(target):
            put(part, target)
    except ModelCacheError:
        _discard(target)
        raise
    finally:
        progress(target.name, 0, 0)


def _persist(http: Http, wanted: Download, target: Path, progress: OnProgress) -> Path:
    while True:
        before = _size(_found(target))
        try:
            return http.persist(lambda: _attempt(http, wanted, target, progress))
        except ModelUnavailableError:
            if _size(_found(target)) < before + _WORTH_IT:
                raise


def _found(target: Path) -> Path | None:
    """The unfinished download of ``target``, if there is one."""
    return next(iter(sorted(target.parent.glob(f".{target.name}.*.part"))), None)


def _size(part: Path | None) -> int:
    return part.stat().st_size if part is not None else 0


def _discard(target: Path, but: Path | None = None) -> None:
    for part in target.parent.glob(f".{target.name}.*.part"):
        if part != but:
            with suppress(OSError):
                part.unlink()


def _attempt(http: Http, wanted: Download, target: Path, progress: OnProgress) -> Path:
    """One request. What it brings stays for the next one, unless it turns out to be wrong."""
    found = _found(target)
    have = _size(found) if found and f".{_UNNAMED}." not in found.name else 0
    headers = {"accept-encoding": "identity"} | ({"range": f"bytes={have}-"} if have else {})
    with http.stream(wanted.url, headers=headers, also=416) as response:
        body = _body(response, wanted)
        part = target.with_name(f".{target.name}.{body.tag}.part")
        resumed = response.status_code == 206
        if response.status_code == 416 or (resumed and (part != found or _start(response) != have)):
            _discard(target)
            raise ModelUnavailableError(f"{http.party}: {target.name} has changed meanwhile")
        _discard(target, but=part)
        _receive(response, part, body.total, _Count(progress, target.name, have * resumed))
    try:
        _check(http.party, part, target.name, body, wanted)
    except ModelArtefactError as error:
        _discard(target)
        if resumed:
            raise ModelUnavailableError(str(error), ModelErrorCode.TRUNCATED) from None
        raise
    return part


class _Count:
    """One file's bytes, for whoever is told."""

    def __init__(self, told: OnProgress, name: str, have: int) -> None:
        self._told, self._name = told, name
        self.have = have

    def add(self, count: int, total: int | None) -> None:
        self.have += count
        if self.have > LIMIT:
            raise ModelArtefactError(f"{self._name} has more than {LIMIT} bytes")
        self._told(self._name, self.have, total)


def _receive(response: httpx.Response, part: Path, total: int | None, count: _Count) -> None:
    """Append to ``part``, or begin it anew; what came is kept even if the rest does not come."""
    require_room(part.parent, (total or 0) - count.have)
    with keeping(part), part.open("ab" if count.have else "wb") as file:
        for piece in response.iter_bytes():
            file.write(piece)
            count.add(len(piece), total)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and count.have < total:
        text = f"only {count.have} of {total} bytes of {part.name} came"
        raise ModelUnavailableError(text, ModelErrorCode.TRUNCATED)


def _check(party: str, part: Path, name: str, body: _Body, wanted: Download) -> None:
    """Raise ``ModelArtefactError`` unless the file is the one that was meant."""
    if body.total is not None and _size(part) != body.total:
        text = f"{party}: {name} has {_size(part)} bytes instead of {body.total}"
        raise ModelArtefactError(text, ModelErrorCode.HASH_MISMATCH)
    for algorithm, expected in (("sha256", wanted.sha256), ("md5", body.md5)):
        if expected is not None and (found := digest(part, algorithm)) != expected.lower():
            text = f"{party}: {name} has the {algorithm} {found} instead of {expected}"
            raise ModelArtefactError(
                f"{text}: it was changed or damaged", ModelErrorCode.HASH_MISMATCH
            )


def _body(response: httpx.Response, wanted: Download) -> _Body:
    headers = response.headers
    encoded = "content-encoding" in headers  # sizes and hashes are then of something else
    total = None if encoded else _total(response)
    md5 = None if encoded else _goog_md5(headers.get("x-goog-hash", ""))
    etag = headers.get("etag", "")
    modified = headers.get("last-modified")
    known = wanted.sha256 or md5 or ("" if etag.startswith("W/") else etag)
    known = known or (f"{modified} {total}" if modified and total else "")
    tag = hashlib.blake2s(known.encode(), digest_size=8).hexdigest() if known else _UNNAMED
    return _Body(total, md5, tag)


def _total(response: httpx.Response) -> int | None:
    """Bytes of the whole file: ``Content-Range: bytes 100-199/200``, or ``Content-Length``."""
    if response.status_code == 206:
        text = response.headers.get("content-range", "").rpartition("/")[2]
    else:
        text = response.headers.get("content-length", "")
    return int(text) if text.isdecimal() else None


def _start(response: httpx.Response) -> int:
    first = response.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdecimal() else -1


def _goog_md5(header: str) -> str | None:
    """In hex, from ``crc32c=n03x6A==,md5=Ojk9c3dhfxgoKVVHYwFbHQ==`` (Google Cloud Storage)."""
    for item in header.split(","):
        kind, _, value = item.strip().partition("=")
        if kind == "md5":
            with suppress(binascii.Error):
                return base64.b64decode(value, validate=True).hex()
    return None
