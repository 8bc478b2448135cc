"""How Home Assistant is told of event topics: its MQTT discovery, one event entity per topic.

The format is that of home-assistant.io/integrations/event.mqtt and .../mqtt (discovery).
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Final, get_args

import orjson

from streamkit.events import Phase

_NO_ID: Final = re.compile(r"[^A-Za-z0-9_-]+")
_TEMPLATE: Final = "{{ dict(value_json, event_type=value_json.phase) | tojson }}"
"""From our wire form to an event's: its type is the phase, all else are attributes."""


@dataclass(frozen=True, slots=True)
class Entity:
    """The events of one topic, as one thing in Home Assistant."""

    name: str
    topic: str
    stream: str
    """Its device: what one stream tells belongs together."""


def announcement(prefix: str, client: str, status_topic: str, entity: Entity) -> tuple[str, bytes]:
    """Topic and payload that make ``entity`` known."""
    unique = _id(f"{client} {entity.topic}")
    payload = {
        "name": entity.name,
        "unique_id": unique,
        "state_topic": entity.topic,
        "event_types": list(get_args(Phase)),
        "value_template": _TEMPLATE,
        "availability_topic": status_topic,
        "qos": 1,
        "device": {
            "identifiers": [_id(f"{client} {entity.stream}")],
            "name": entity.stream,
            "manufacturer": "streamkit",
        },
        "origin": {"name": "streamkit"},
    }
    return f"{prefix}/event/{unique}/config", orjson.dumps(payload)


def _id(text: str) -> str:
    """Letters, digits, ``_`` and ``-`` only, different for different texts."""
    return f"{_NO_ID.sub('_', text)}_{zlib.crc32(text.encode('utf-8', 'replace')):08x}"
