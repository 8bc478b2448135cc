"""The outbox: events are on disk before anything is sent, and then delivered at least once.

For receivers: ``verify`` and ``new_secret``. For sinks: ``Message`` and ``Destination``.
"""

from __future__ import annotations

from streamkit.outbox.base import Destination, Message
from streamkit.outbox.signing import new_secret, verify

__all__ = ["Destination", "Message", "new_secret", "verify"]
