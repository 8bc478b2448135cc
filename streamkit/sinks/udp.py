"""Sends predictions as JSON datagrams, one per frame."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from streamkit.errors import ConfigError, SinkError
from streamkit.frame import VideoFrame
from streamkit.predictions import Result
from streamkit.sinks.base import Sink
from streamkit.sinks.record import encode

_LAST_PORT: Final = 65535


class UDPSink(Sink):
    """Predictions with one more key, ``inference_metadata``: which frame it was, and when."""

    harmless = True

    def __init__(self, ip_address: str, port: int) -> None:
        """Send to ``ip_address`` (IPv4 or IPv6, a broadcast address too) and ``port``.

        Raises ``ConfigError`` for a port that is none.
        """
        if not 0 < port <= _LAST_PORT:
            raise ConfigError(f"port={port}: give a number from 1 to {_LAST_PORT}")
        family = socket.AF_INET6 if ":" in ip_address else socket.AF_INET
        self._to = (ip_address, port)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)

    @classmethod
    def init(cls, ip_address: str, port: int) -> UDPSink:
        """The neighbour's name for the constructor."""
        return cls(ip_address, port)

    def send_predictions(
        self,
        predictions: dict[str, Any] | Sequence[dict[str, Any] | None],
        video_frame: VideoFrame | Sequence[VideoFrame | None],
    ) -> None:
        """For ``on_prediction``: one datagram, or one per frame that is there.

        The predictions stay as they are: the metadata goes into the datagram only. Raises
        ``SinkError`` for a prediction too large for a datagram (65 507 bytes), and when sending
        fails.
        """
        if isinstance(video_frame, VideoFrame):
            self._send(predictions, video_frame)
            return
        for prediction, frame in zip(predictions, video_frame, strict=False):
            if frame is not None:
                self._send(prediction, frame)

    def write(self, result: Result) -> None:
        self._send(result.wire, result.frame)

    def close(self) -> None:
        self._socket.close()

    def _send(self, prediction: object, frame: VideoFrame) -> None:
        metadata = {
            "source_id": frame.source_id,
            "frame_id": frame.frame_id,
            "frame_decoding_time": frame.frame_timestamp.isoformat(),
            "emission_time": datetime.now().isoformat(),
        }
        fields = prediction if isinstance(prediction, dict) else {"prediction": prediction}
        datagram = encode({**fields, "inference_metadata": metadata})
        try:
            self._socket.sendto(datagram, self._to)
        except OSError as error:
            raise SinkError(self._explain(error, len(datagram))) from error

    def _explain(self, error: OSError, size: int) -> str:
        to = f"udp {self._to[0]}:{self._to[1]}"
        if error.errno == errno.EMSGSIZE:
            return f"a prediction of {size} bytes does not fit into a datagram to {to}"
        return f"cannot send to {to}: {error.strerror or error}"
