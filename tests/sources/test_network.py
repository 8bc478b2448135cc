from __future__ import annotations

import socket
from pathlib import Path

import pytest

from streamkit.errors import SourceConnectionError, SourceError, StreamErrorCode
from streamkit.sources import open_source
from tests.clips import clip, numbers
from tests.sources.servers import listener, unused_port


def test_a_transport_stream_over_tcp_is_read_and_its_end_is_a_loss(tmp_path: Path) -> None:
    data = clip(tmp_path / "a.ts", frames=50).read_bytes()

    def serve(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.close()

    with listener(serve) as port:
        source = open_source(f"tcp://127.0.0.1:{port}")
        assert source.live
        seen: list[int] = []
        captures = source.read()
        with pytest.raises(SourceError) as caught:
            seen.extend(numbers([capture])[0] for capture in captures)
    assert seen == list(range(50))
    assert caught.value.code is StreamErrorCode.LOST


def test_nobody_there_is_refused() -> None:
    with pytest.raises(SourceConnectionError) as caught:
        next(open_source(f"tcp://me:SECRET@127.0.0.1:{unused_port()}").read())
    assert caught.value.code is StreamErrorCode.REFUSED
    assert "SECRET" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_silence_times_out() -> None:
    with listener() as port:
        source = open_source(f"tcp://127.0.0.1:{port}", open_timeout=0.5, read_timeout=0.5)
        with pytest.raises(SourceConnectionError) as caught:
            next(source.read())
    assert caught.value.code is StreamErrorCode.TIMEOUT
