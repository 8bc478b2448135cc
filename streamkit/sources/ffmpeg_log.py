"""What FFmpeg says only in its log: packets that RTP lost, references that H.265 misses.

No flag of a packet or picture carries either. Measured on H.264 with 1 % of its RTP packets lost:
the flags alone tell of 5 in 100 damaged pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

import av
import av.logging

_T = TypeVar("_T")

LOST = ("RTP: missed", "bad cseq")
"""From the demuxer: something never came, or came too late. Not what it says of a duplicate."""
DAMAGED = (
    "error while decoding MB",
    "Could not find ref",
    "Error constructing the frame RPS",
    "undecodable NALU",
)
"""From the decoders of H.264 and H.265: a slice is broken, or what it refers to is not there."""


def listen() -> None:
    """Make FFmpeg's warnings heard by ``heard``; on the console they stay as quiet as before.

    PyAV has one level for the whole process. Whoever has set it already keeps what is finer.
    """
    level = av.logging.get_level()
    if level is None:
        # An address with its password may be in any of these lines.
        logging.getLogger("libav").setLevel(logging.CRITICAL + 1)
    if level is None or level < av.logging.WARNING:
        av.logging.set_level(av.logging.WARNING)
    av.logging.set_skip_repeated(False)


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
