"""What FFmpeg says only in its log: packets that RTP lost, references that H.265 misses.

No flag of a packet or picture carries either. Measured on H.264 with 1 % of its RTP packets lost:
the flags alone tell of 5 in 100 damaged pictures.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import av
import av.logging

_T = TypeVar("_T")

_SILENT: Final = logging.CRITICAL + 1

LOST = ("RTP: missed", "bad cseq")
"""From the demuxer: something never came, or came too late. Not what it says of a duplicate."""
DAMAGED = (
    "error while decoding MB",
    "Could not find ref",
    "Error constructing the frame RPS",
    "undecodable NALU",
)
"""From the decoders of H.264 and H.265: a slice is broken, or what it refers to is not there."""


class Ear:
    """FFmpeg's log, on while somebody listens, and then as it was before.

    PyAV has one level for the whole process, and while there is one, every thread of FFmpeg that
    reports an error waits for the interpreter. PyAV lets go of a decoder without letting go of the
    interpreter. So whoever decodes with frame threads beside this must bring these threads to rest
    first (``flush_buffers``), or may wait for one of them for ever; seen with PyAV 18.1.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # the garbage collector may end a listener at any place
        self._listeners = 0
        self._before: tuple[int | None, bool, int] = None, True, logging.NOTSET

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Warnings are heard by ``heard`` meanwhile; on the console they stay as quiet as before.

        Whoever has set a level already keeps what is finer.
        """
        with self._lock:
            self._listeners += 1
            if self._listeners == 1:
                self._begin()
        try:
            yield
        finally:
            with self._lock:
                self._listeners -= 1
                if not self._listeners:
                    self._end()

    def _begin(self) -> None:
        level, logger = av.logging.get_level(), logging.getLogger("libav")
        self._before = level, av.logging.get_skip_repeated(), logger.level
        if level is None:
            # An address with its password may be in any of these lines.
            logger.setLevel(_SILENT)
        if level is None or level < av.logging.WARNING:
            av.logging.set_level(av.logging.WARNING)
        av.logging.set_skip_repeated(False)

    def _end(self) -> None:
        """What somebody else has set meanwhile stays."""
        level, repeated, quiet = self._before
        logger = logging.getLogger("libav")
        if av.logging.get_level() == av.logging.WARNING:
            av.logging.set_level(level)
        if logger.level == _SILENT:
            logger.setLevel(quiet)
        av.logging.set_skip_repeated(repeated)


@functools.cache
def ear() -> Ear:
    """The process's own."""
    return Ear()


def heard(work: Callable[[], _T], marks: tuple[str, ...]) -> tuple[_T, bool]:
    """What ``work`` gives, and whether FFmpeg said one of ``marks`` meanwhile, on this thread."""
    with av.logging.Capture() as lines:
        done = work()
    return done, bool(lines) and said(lines, marks)


def said(lines: list[tuple[int, str, str]], marks: tuple[str, ...]) -> bool:
    """Is one of ``marks`` in what FFmpeg said?"""
    return any(mark in text for _, _, text in lines for mark in marks)


def packets(
    source: Iterator[av.Packet[av.VideoStream]],
) -> Iterator[tuple[av.Packet[av.VideoStream], bool]]:
    """Each packet, and whether something was lost on the way to it."""
    end = object()
    while True:
        packet, lost = heard(lambda: next(source, end), LOST)
        if packet is end:
            return
        assert isinstance(packet, av.Packet)
        yield packet, lost
