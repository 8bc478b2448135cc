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
    from streamkit.sinks.clips import ClipsSink
    from streamkit.sinks.csv_table import CsvSink
    from streamkit.sinks.event_lines import EventLinesSink
    from streamkit.sinks.fanout import multi_sink
    from streamkit.sinks.jsonl import JsonLinesSink
    from streamkit.sinks.kafka import KafkaSink
    from streamkit.sinks.mail import MailSink
    from streamkit.sinks.memory import InMemoryBufferSink
    from streamkit.sinks.mqtt import MqttSink
    from streamkit.sinks.render import render_boxes
    from streamkit.sinks.restream import RestreamSink
    from streamkit.sinks.s3 import S3Sink
    from streamkit.sinks.segments import SegmentsSink
    from streamkit.sinks.slack import SlackSink
    from streamkit.sinks.snapshots import SnapshotsSink
    from streamkit.sinks.sqlite import SqliteSink
    from streamkit.sinks.udp import UDPSink
    from streamkit.sinks.video import VideoFileSink
    from streamkit.sinks.wall import WallSink
    from streamkit.sinks.webhook import WebhookSink
    from streamkit.sinks.window import WindowSink, display_image

__all__ = [
    "SINKS",
    "CallbackSink",
    "ClipsSink",
    "CsvSink",
    "EventLinesSink",
    "InMemoryBufferSink",
    "JsonLinesSink",
    "KafkaSink",
    "MailSink",
    "MqttSink",
    "RestreamSink",
    "S3Sink",
    "SegmentsSink",
    "Sink",
    "SlackSink",
    "SnapshotsSink",
    "SqliteSink",
    "UDPSink",
    "VideoFileSink",
    "WallSink",
    "WebhookSink",
    "WindowSink",
    "display_image",
    "multi_sink",
    "open_sink",
    "render_boxes",
]

SINKS: dict[str, str] = {
    "callback": "streamkit.sinks.callback:CallbackSink",
    "clips": "streamkit.sinks.clips:ClipsSink",
    "csv": "streamkit.sinks.csv_table:CsvSink",
    "email": "streamkit.sinks.mail:MailSink",
    "events": "streamkit.sinks.event_lines:EventLinesSink",
    "jsonl": "streamkit.sinks.jsonl:JsonLinesSink",
    "kafka": "streamkit.sinks.kafka:KafkaSink",
    "memory": "streamkit.sinks.memory:InMemoryBufferSink",
    "mqtt": "streamkit.sinks.mqtt:MqttSink",
    "restream": "streamkit.sinks.restream:RestreamSink",
    "s3": "streamkit.sinks.s3:S3Sink",
    "segments": "streamkit.sinks.segments:SegmentsSink",
    "sqlite": "streamkit.sinks.sqlite:SqliteSink",
    "slack": "streamkit.sinks.slack:SlackSink",
    "snapshots": "streamkit.sinks.snapshots:SnapshotsSink",
    "udp": "streamkit.sinks.udp:UDPSink",
    "video": "streamkit.sinks.video:VideoFileSink",
    "wall": "streamkit.sinks.wall:WallSink",
    "webhook": "streamkit.sinks.webhook:WebhookSink",
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
