"""Between an isolated source and its child process: messages, and memory that both can see."""

from __future__ import annotations

import json
import mmap
import os
import socket
import struct
import sys
import tempfile
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from streamkit.errors import ConfigError

Message: TypeAlias = dict[str, Any]
Bytes: TypeAlias = npt.NDArray[np.uint8]

SLOTS = 3
"""Pictures that may wait in shared memory."""
BEAT = 0.2
"""Seconds between two signs of life."""
GRACE = 1.0
"""Seconds which a child has to end by itself."""

_LENGTH = struct.Struct("<I")
_MOMENT = struct.Struct("<d")
_HEADER = mmap.PAGESIZE
_LONGEST = 1 << 20


class Channel:
    """JSON messages, each after its length, over a socket; may be sent from several threads."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._received = b""
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """For selectors."""
        return self._sock.fileno()

    def send(self, message: Message, *, waiting: bool = True) -> bool:
        """Whether it went off. Without ``waiting`` it does not where the other side is asleep."""
        text = json.dumps(message).encode()
        data = _LENGTH.pack(len(text)) + text
        flags = 0 if waiting else socket.MSG_DONTWAIT
        try:
            with self._lock:
                # Less than a socket holds, so that a message is never cut in two.
                return self._sock.send(data, flags) == len(data)
        except OSError:
            return False

    def receive(self, *, waiting: bool = False) -> list[Message]:
        """All messages that have come. Raises ``EOFError`` when the other side has gone."""
        messages: list[Message] = []
        while True:
            try:
                data = self._sock.recv(65536, 0 if waiting else socket.MSG_DONTWAIT)
            except BlockingIOError:
                return messages
            except OSError:
                data = b""
            if not data:
                if messages:
                    return messages
                raise EOFError
            self._received += data
            messages += self._complete()
            if waiting and messages:
                return messages

    def close(self) -> None:
        """Hang up."""
        self._sock.close()

    def _complete(self) -> list[Message]:
        messages = []
        while len(self._received) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._received)
            end = _LENGTH.size + length
            if length > _LONGEST:
                raise ValueError("a message of absurd length")
            if len(self._received) < end:
                break
            messages.append(json.loads(self._received[_LENGTH.size : end]))
            self._received = self._received[end:]
        return messages


class Memory:
    """Memory without a name, shared through its descriptor: it goes when both processes have gone.

    Its first page holds the time of the child's last sign of life; slots for pictures follow.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, _HEADER)

    @classmethod
    def made(cls) -> Memory:
        """New, of one page. It can grow and never shrinks: a map of it stays valid."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("streamkit", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(descriptor, _HEADER)
            _seal(descriptor)
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
            os.ftruncate(descriptor, _HEADER)
        memory = cls(descriptor)
        memory.beat()
        return memory

    def grow(self, slot: int) -> None:
        """Make room for ``SLOTS`` slots of ``slot`` bytes."""
        size = _HEADER + SLOTS * slot
        if size > os.fstat(self.descriptor).st_size:
            os.ftruncate(self.descriptor, size)

    def slot(self, number: int, size: int) -> Bytes:
        """Slot ``number`` of those of ``size`` bytes. Raises ``ValueError`` where there is none."""
        start = _HEADER + number * size
        end = start + size
        if number not in range(SLOTS) or size < 0 or end > self._mapped(end):
            raise ValueError("no such slot")
        return np.frombuffer(self._map, np.uint8, size, start)

    def beat(self) -> None:
        """Leave a sign of life."""
        _MOMENT.pack_into(self._map, 0, time.monotonic())

    def silence(self) -> float:
        """Seconds since the last sign of life; the clock is the same in both processes."""
        (last,) = _MOMENT.unpack_from(self._map, 0)
        return time.monotonic() - float(last)

    def close(self) -> None:
        """Give it up; an array that is still in use keeps what it shows."""
        os.close(self.descriptor)
        with suppress(BufferError):
            self._map.close()

    def _mapped(self, end: int) -> int:
        if end > len(self._map):
            size = os.fstat(self.descriptor).st_size
            if size > len(self._map):
                self._map = mmap.mmap(self.descriptor, size)
        return len(self._map)


def written(value: Any) -> Any:
    """An option as JSON can carry it. Raises ``ConfigError`` for what cannot leave its process."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return {"$": "datetime", "value": value.isoformat()}
        case Path():
            return {"$": "path", "value": str(value)}
        case tuple():
            return {"$": "tuple", "value": [written(item) for item in value]}
        case list():
            return [written(item) for item in value]
        case dict():
            items = [[written(key), written(item)] for key, item in value.items()]
            return {"$": "dict", "value": items}
    text = f"a {type(value).__name__} cannot be given to an isolated source"
    raise ConfigError(text)


def read(value: Any) -> Any:
    """What ``written`` wrote."""
    if isinstance(value, list):
        return [read(item) for item in value]
    if not isinstance(value, dict):
        return value
    inner = value["value"]
    match value["$"]:
        case "datetime":
            return datetime.fromisoformat(inner)
        case "path":
            return Path(inner)
        case "tuple":
            return tuple(read(item) for item in inner)
    return {read(key): read(item) for key, item in inner}


def _seal(descriptor: int) -> None:
    """Nobody can shrink it, also not by a damaged child: touching a lost page ends a process."""
    if sys.platform == "linux":
        import fcntl

        shrink = 2  # F_SEAL_SHRINK
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, shrink)
