"""Sinks: where results go. Reached by name through ``SINKS``, or imported from here by scripts."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from streamkit import plugins
from streamkit.errors import ConfigError
from streamkit.sinks.base import Sink

if TYPE_CHECKING:
    from streamkit.sinks.callback import CallbackSink
    from streamkit.sinks.fanout import multi_sink
    from streamkit.sinks.jsonl import JsonLinesSink
    from streamkit.sinks.memory import InMemoryBufferSink
    from streamkit.sinks.render import render_boxes
    from streamkit.sinks.udp import UDPSink
    from streamkit.sinks.video import VideoFileSink
    from streamkit.sinks.window import WindowSink, display_image

__all__ = [
    "SINKS",
    "CallbackSink",
    "InMemoryBufferSink",
    "JsonLinesSink",
    "Sink",
    "UDPSink",
    "VideoFileSink",
    "WindowSink",
    "display_image",
    "multi_sink",
    "open_sink",
    "render_boxes",
]

SINKS: dict[str, str] = {
    "callback": "streamkit.sinks.callback:CallbackSink",
    "jsonl": "streamkit.sinks.jsonl:JsonLinesSink",
    "memory": "streamkit.sinks.memory:InMemoryBufferSink",
    "udp": "streamkit.sinks.udp:UDPSink",
    "video": "streamkit.sinks.video:VideoFileSink",
    "window": "streamkit.sinks.window:WindowSink",
}
"""Every sink a document can name; a new one is one line here."""

_HOME = {
    "display_image": "streamkit.sinks.window",
    "multi_sink": "streamkit.sinks.fanout",
    "render_boxes": "streamkit.sinks.render",
} | {place.partition(":")[2]: place.partition(":")[0] for place in SINKS.values()}
"""Where the names of ``__all__`` live; looked up on first use, so that this import stays cheap."""


def open_sink(name: str, options: Mapping[str, Any]) -> Sink:
    """A new sink by name, or by ``"my_module:MySink"``; ``options`` are its keywords.

    Raises ``ConfigError`` for an unknown name or option, naming the choices, and ``SinkError``
    where it cannot be opened.
    """
    sink = plugins.build(SINKS, name, options)
    if not isinstance(sink, Sink):
        raise ConfigError(f"{name!r} is not a sink: it needs write(result) and close()")
    return sink


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
