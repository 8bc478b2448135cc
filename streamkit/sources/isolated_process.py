"""The child of an isolated source, seen from outside: start it, listen, kill it where it hangs."""

from __future__ import annotations

import inspect
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import av
import numpy as np
from av.video.frame import VideoFrame as DecodedFrame

from streamkit import credentials
from streamkit.errors import ConfigError, SourceConnectionError, SourceError, StreamErrorCode
from streamkit.frame import Clock, Image
from streamkit.settings import plain_environment
from streamkit.sources.base import Capture, Source
from streamkit.sources.connection import SLICE, failure
from streamkit.sources.decoding import DecodedPicture
from streamkit.sources.isolated_wire import GRACE, Bytes, Channel, Memory, Message

START = 20.0
"""Seconds a child may take until it has made its source: a busy machine starts Python slowly."""
_QUIET = 10.0
"""Seconds without a picture after which a live source that has no limit of its own is lost."""
_SIGN = 1.0
"""Seconds without a sign of life that are always allowed."""


class Limits:
    """Seconds after which a child is taken for hung."""

    def __init__(self, sign: float, opening: float, reading: float) -> None:
        self.sign, self.opening, self.reading = sign, opening, reading

    @classmethod
    def of(cls, made_by: Callable[..., Source], options: Mapping[str, Any]) -> Limits:
        """By the adapter's own limits, with a second more, so that it speaks first."""
        known = inspect.signature(made_by).parameters
        read, opened = (
            options.get(name, known[name].default) if name in known else None
            for name in ("read_timeout", "open_timeout")
        )
        reading = _QUIET if read is None else float(read)
        opening = START if opened is None else 2 * float(opened) + reading + _SIGN
        return cls(max(reading, _SIGN), opening, reading + _SIGN)


class Process:
    """A running child: what it says, and its end. To be closed by whoever started it."""

    def __init__(self, reference: str, request: Message, secrets: Sequence[str]) -> None:
        self._reference, self._secrets = reference, secrets
        self._memory = Memory.made()
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        try:
            self._process = _started(theirs.fileno(), self._memory.descriptor)
        except OSError as error:
            self._channel.close()
            self._memory.close()
            reason = error.strerror or type(error).__name__
            raise failure(reference, f"no process can be started for it ({reason})") from error
        finally:
            theirs.close()
        self._channel.send(request)
        self._poll = select.poll()
        self._poll.register(ours, select.POLLIN)
        self._lock = threading.Lock()
        self._open = True
        self._opened = False

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        """Ask it to end, wait a moment, kill it. Nothing is left of it."""
        self.tell({"is": "end"})
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._kill()
        with self._lock:
            self._open = False
            self._channel.close()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._memory.close()

    def tell(self, message: Message) -> None:
        """Say it, if it listens; from any thread, at once."""
        with self._lock:
            if self._open:
                self._channel.send(message, waiting=False)

    def messages(
        self, stopped: threading.Event, limits: Limits, *, live: bool = True
    ) -> Iterator[Message]:
        """What it says, until it has said all or ``stopped``. Raises ``SourceError``."""
        begun, made = time.monotonic(), False
        while not stopped.is_set():
            looked = time.monotonic()
            try:
                received = self._received()
            except EOFError:
                raise self._died() from None
            if (passed := time.monotonic() - looked) > _SIGN:
                begun += passed  # this process was stopped: that is no silence of the child
            for message in received:
                if stopped.is_set() or message["is"] == "end":
                    return
                made = True
                if message["is"] == "log":
                    self._log(message)
                else:
                    yield message
            if received:
                begun = time.monotonic()
            else:
                self._check(time.monotonic() - begun, limits, made=made, live=live)

    def capture(self, message: Message) -> Capture:
        """The picture of a message; its slot is free again."""
        try:
            picture = _put_together(message, self._memory)
            capture = Capture(
                picture,
                datetime.fromisoformat(message["time"]),
                Clock(message["clock"]),
                message["uncertainty"],
                bool(message["concealed"]),
                float(message["arrived"]),
                int(message["missed"]),
            )
        except (ValueError, TypeError, KeyError, av.FFmpegError) as error:
            raise self._nonsense() from error
        self._opened = True
        self.tell({"is": "free", "slot": message["slot"]})
        return capture

    def redacted(self, text: str) -> str:
        """Foreign text without the secrets that this child was given."""
        return credentials.redacted(text, self._secrets)

    def _received(self) -> list[Message]:
        if not self._poll.poll(1e3 * SLICE):
            return []
        try:
            messages = self._channel.receive()
            for message in messages:
                message["is"]
        except (ValueError, TypeError, KeyError) as error:
            raise self._nonsense() from error
        return messages

    def _check(self, waited: float, limits: Limits, *, made: bool, live: bool) -> None:
        """Raises ``SourceError`` TIMEOUT where it seems to hang."""
        if not made:
            if min(waited, self._memory.silence()) > START:
                self._hung("it did not start", START)
            if waited > START + limits.opening:
                self._hung("it was not ready", START + limits.opening)
            return
        if min(waited, self._memory.silence()) > limits.sign:
            self._hung("no sign of life from it", limits.sign)
        limit = limits.reading if self._opened else limits.opening
        if live and waited > limit:
            self._hung("it gave no picture", limit)

    def _hung(self, what: str, seconds: float) -> NoReturn:
        self._kill()
        text = f"its decoder's process hangs ({what} for {seconds:g} s) and was killed"
        raise self._error(text, StreamErrorCode.TIMEOUT)

    def _died(self) -> SourceError:
        try:
            code = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._kill()
            return self._error("its decoder's process has gone", StreamErrorCode.DECODER_DIED)
        how = f"with exit code {code}" if code >= 0 else f"of {_signal(-code)}"
        return self._error(f"its decoder's process died {how}", StreamErrorCode.DECODER_DIED)

    def _nonsense(self) -> SourceError:
        self._kill()
        text = "its decoder's process sent what makes no sense and was killed"
        return self._error(text, StreamErrorCode.DECODER_DIED)

    def _error(self, text: str, code: StreamErrorCode) -> SourceError:
        kind = SourceError if self._opened else SourceConnectionError
        return kind(f"{self._reference}: {text}", code, source_reference=self._reference)

    def _kill(self) -> None:
        self._process.kill()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:  # it sits in the kernel; it is reaped when it comes out
            logging.getLogger(__name__).warning("%s: a killed process stays", self._reference)

    def _log(self, message: Message) -> None:
        logger, level = logging.getLogger(str(message["name"])), int(message["level"])
        logger.log(level, "%s", self.redacted(str(message["text"])))


def _started(connection: int, memory: int) -> subprocess.Popen[bytes]:
    """The child, in a process group of its own: Ctrl-C is not for it."""
    if os.name != "posix" or not sys.executable:
        raise ConfigError("isolated=True needs a POSIX system and a Python to start")
    path = os.pathsep.join(place or str(os.curdir) for place in sys.path)
    command = [sys.executable, "-P", "-m", "streamkit.sources.isolated_child"]
    return subprocess.Popen(
        [*command, str(connection), str(memory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(connection, memory),
        env=plain_environment() | {"PYTHONPATH": path},
        process_group=0,
    )


def _put_together(message: Message, memory: Memory) -> DecodedPicture | Image:
    """A picture of its own, copied out of shared memory: 0.1 ms for 1280 x 720."""
    width, height = message["size"]
    data = memory.slot(message["slot"], message["space"])
    if message["form"] == "image":
        return np.array(data[: width * height * 3]).reshape(height, width, 3)
    frame = DecodedFrame(width, height, message["form"])
    frame.colorspace, frame.color_range = message["colour"]
    start = 0
    for plane, stride in zip(frame.planes, message["strides"], strict=True):
        target: Any = plane
        rows: Bytes = np.frombuffer(target, np.uint8).reshape(-1, plane.line_size)
        end, wide = start + len(rows) * stride, min(stride, plane.line_size)
        rows[:, :wide] = data[start:end].reshape(-1, stride)[:, :wide]
        start = end
    return DecodedPicture(frame, message["turns"])


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name} (out of memory?)" if number == signal.SIGKILL else name
