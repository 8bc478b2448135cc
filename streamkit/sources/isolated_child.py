"""The process of an isolated source: reads it, and puts its pictures into shared memory.

Started by ``isolated.py`` as ``python -m`` with two descriptors: a socket and the memory. Standard
input is a leash: nothing is ever written to it, and when it ends the other process has gone.
"""

from __future__ import annotations

import importlib
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from streamkit.errors import ConfigError, SourceConnectionError, SourceError
from streamkit.sources.base import Capture, Source, SourceProperties, Thrifty
from streamkit.sources.isolated_wire import BEAT, GRACE, SLOTS, Bytes, Channel, Memory, Message
from streamkit.sources.isolated_wire import read as restored

if TYPE_CHECKING:
    from streamkit.frame import Image, Picture

PLANAR = frozenset(
    f"{name}{suffix}"
    for name in ("yuv420p", "yuv422p", "yuv444p")
    for suffix in ("", "10le", "12le")
) | {
    "yuvj420p", "yuvj422p", "yuvj444p", "nv12", "nv21", "p010le", "gray", "yuyv422", "uyvy422",
    "bgr24", "rgb24", "gbrp",
}  # fmt: skip
"""The formats whose planes are handed on as they are; everything else as BGR."""


class Ring:
    """The slots of the shared memory, and which of them are free.

    Live: while none is free the newest picture waits here, and goes as soon as one is. Finite:
    whoever puts waits.
    """

    def __init__(self, memory: Memory, channel: Channel, *, live: bool) -> None:
        self._memory, self._channel, self._live = memory, channel, live
        self._free = list(range(SLOTS))
        self._size = 0
        self._pending: Capture | None = None
        self._missed = 0
        self._ended = False
        self._changed = threading.Condition()

    def put(self, capture: Capture) -> None:
        """Hand it on, or keep it until that is possible."""
        capture = replace(capture, arrived=capture.arrived or time.monotonic())
        with self._changed:
            if self._live:
                self._missed += self._pending is not None
                self._pending = capture
                self._send_pending()
                return
            self._changed.wait_for(lambda: self._free or self._ended)
            if not self._ended:
                self._send(capture)

    def release(self, slot: int) -> None:
        """The other side has taken what was in ``slot``."""
        with self._changed:
            self._free.append(slot)
            self._send_pending()
            self._changed.notify_all()

    def end(self) -> None:
        """Nothing more is wanted."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _send_pending(self) -> None:
        capture = self._pending
        if capture is None or not self._free or self._ended:
            return
        if self._send(replace(capture, missed=capture.missed + self._missed)):
            self._pending, self._missed = None, 0

    def _send(self, capture: Capture) -> bool:
        """Write and tell. A larger size needs all slots back first: the old ones lie elsewhere."""
        form, parts, about = _taken_apart(capture.picture)
        size = sum(part.size for part in parts)
        if size > self._size:
            if self._live and len(self._free) < SLOTS:
                return False
            self._changed.wait_for(lambda: len(self._free) == SLOTS or self._ended)
            if self._ended:
                return False
            self._size = size
            self._memory.grow(size)
        slot = self._free.pop()
        place, start = self._memory.slot(slot, self._size), 0
        for part in parts:
            place[start : start + part.size] = part
            start += part.size
        message = {"is": "picture", "slot": slot, "space": self._size, "form": form, **about}
        return self._channel.send(message | _described(capture))


class Child:
    """One reading of one source, watched over by a thread that listens to the other process."""

    def __init__(self, channel: Channel, memory: Memory, request: Message) -> None:
        self._channel, self._memory, self._request = channel, memory, request
        self._source: Source | None = None
        self._ring = Ring(memory, channel, live=bool(request["live"]))
        self._ended = False
        self._wanted: float | None = request["wanted"]
        self._lock = threading.Lock()

    def run(self) -> None:
        """All of it; what went wrong is told to the other side."""
        threading.Thread(target=self._listen, name="streamkit isolated", daemon=True).start()
        try:
            source = self._made()
            with self._lock:
                self._source = source
                self._want(self._wanted)
            self._channel.send({"is": "made", "live": source.live})
            if not self._request["look"]:
                self._read(source)
            self._channel.send({"is": "end"})
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a process begins here
            self._channel.send(_told(error))

    def _made(self) -> Source:
        module, _, name = self._request["made_by"].partition(":")
        made_by = getattr(importlib.import_module(module), name)
        arguments = [restored(value) for value in self._request["arguments"]]
        made: Source = made_by(*arguments, **restored(self._request["options"]))
        return made

    def _read(self, source: Source) -> None:
        told: SourceProperties | None = None
        with closing(source.read()) as captures:
            for capture in captures:
                if self._ended:
                    return
                if source.properties is not None and source.properties != told:
                    told = source.properties
                    self._channel.send(_introduced(told))
                self._ring.put(capture)

    # -- the listening thread ----------------------------------------------------------------

    def _listen(self) -> None:
        """Signs of life, and what the other side says; without it there is nothing to live for."""
        while True:
            self._memory.beat()
            if not select.select([self._channel], [], [], BEAT)[0]:
                continue
            try:
                messages = self._channel.receive()
            except EOFError:
                os._exit(0)
            for message in messages:
                self._obey(message)

    def _want(self, fps: float | None) -> None:
        self._wanted, source = fps, cast("object", self._source)
        if isinstance(source, Thrifty):
            source.want(fps)

    def _obey(self, message: Message) -> None:
        match message["is"]:
            case "free":
                self._ring.release(message["slot"])
            case "want":
                with self._lock:
                    self._want(message["fps"])
            case "end":
                self._ended = True
                self._ring.end()
                # Whatever hangs in a native call goes with the process.
                timer = threading.Timer(GRACE, os._exit, (0,))
                timer.daemon = True
                timer.start()
                if self._source is not None:
                    self._source.interrupt()


class Forwarding(logging.Handler):
    """Log records to the other side."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """One message a record; none where the other side is asleep."""
        text = record.getMessage()[:2000]
        about = {"is": "log", "name": record.name, "level": record.levelno, "text": text}
        self._channel.send(about, waiting=False)


def _taken_apart(picture: Picture | Image) -> tuple[str, list[Bytes], Message]:
    """The format's name, the bytes of the planes, and what is needed to put them together."""
    frame = getattr(picture, "frame", None)
    if frame is not None and getattr(getattr(frame, "format", None), "name", "") in PLANAR:
        planes: list[Any] = list(frame.planes)
        if all(plane.line_size > 0 for plane in planes):
            parts = [np.frombuffer(plane, np.uint8) for plane in planes]
            about = {
                "size": [frame.width, frame.height],
                "strides": [plane.line_size for plane in planes],
                "colour": [int(frame.colorspace), int(frame.color_range)],
                "turns": getattr(picture, "turns", 0),
            }
            return frame.format.name, parts, about
    image = picture if isinstance(picture, np.ndarray) else picture.bgr()
    image = np.ascontiguousarray(image)
    return "image", [image.reshape(-1)], {"size": [image.shape[1], image.shape[0]]}


def _described(capture: Capture) -> Message:
    return {
        "time": capture.timestamp.isoformat(),
        "clock": str(capture.clock),
        "uncertainty": capture.uncertainty,
        "concealed": capture.concealed,
        "arrived": capture.arrived,
        "missed": capture.missed,
    }


def _introduced(properties: SourceProperties) -> Message:
    values = asdict(properties)
    created = properties.timestamp_created
    return {
        "is": "properties",
        "values": values | {"timestamp_created": created and created.isoformat()},
    }


def _told(error: BaseException) -> Message:
    """An error: those of sources keep their class and code, a stranger's is named in the text."""
    for kind in (SourceConnectionError, SourceError, ConfigError):
        if isinstance(error, kind):
            return {
                "is": "error",
                "kind": kind.__name__,
                "code": str(error.code),
                "text": str(error),
            }
    return {"is": "error", "kind": "", "code": "", "text": f"{type(error).__name__}: {error}"}


def _leash() -> None:
    """End with the other process, also while a native call holds everything up in here.

    The kernel kills whoever asked for it when the other end of the pipe is closed. Where it cannot,
    the listening thread sees that the socket is closed.
    """
    if sys.platform == "linux":
        import fcntl

        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([0], [], [], 0)[0]:
        os._exit(0)


def _expendable() -> None:
    """Where memory runs out, this process goes rather than the one that watches all cameras."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _logging(channel: Channel, request: Message) -> None:
    logging.basicConfig(level=request["log_level"], handlers=[Forwarding(channel)])
    if request["libav_level"] is not None:
        import av

        av.logging.set_level(request["libav_level"])


def main() -> None:
    """Read the request, then the source."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the other process
    _leash()
    _expendable()
    connection, memory = (int(text) for text in sys.argv[1:3])
    channel = Channel(socket.socket(fileno=connection))
    request = channel.receive(waiting=True)[0]
    _logging(channel, request)
    Child(channel, Memory(memory), request).run()
    os._exit(0)  # daemon threads, and libraries that hang while they are unloaded


if __name__ == "__main__":
    main()
