"""Datagrams on a real socket."""

from __future__ import annotations

import copy
import json
import socket
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from streamkit.errors import SinkError
from streamkit.sinks import Sink, UDPSink
from tests.sinks.making import detections, frame, result


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiving:
        receiving.bind(("127.0.0.1", 0))
        receiving.settimeout(10)
        yield receiving


@pytest.fixture
def sink(receiver: socket.socket) -> Iterator[UDPSink]:
    sending = UDPSink.init(ip_address="127.0.0.1", port=receiver.getsockname()[1])
    yield sending
    sending.close()
    sending.close()


def received(receiver: socket.socket) -> Any:
    return json.loads(receiver.recv(65536))


def test_a_prediction_arrives_with_its_frames_metadata(
    sink: UDPSink, receiver: socket.socket
) -> None:
    prediction = detections().dict()
    before = copy.deepcopy(prediction)
    shown = frame(7, source_id=2)

    sink.send_predictions(prediction, shown)

    message = received(receiver)
    metadata = message.pop("inference_metadata")
    assert message == before
    assert list(metadata) == ["source_id", "frame_id", "frame_decoding_time", "emission_time"]
    assert (metadata["source_id"], metadata["frame_id"]) == (2, 7)
    assert datetime.fromisoformat(metadata["frame_decoding_time"]) == shown.frame_timestamp
    assert datetime.fromisoformat(metadata["emission_time"]) <= datetime.now()
    assert prediction == before


def test_of_a_list_every_frame_that_is_there_is_sent(
    sink: UDPSink, receiver: socket.socket
) -> None:
    nothing: dict[str, Any] = {"predictions": []}

    sink.send_predictions([nothing, None, nothing], [frame(1), None, frame(3)])

    assert [received(receiver)["inference_metadata"]["frame_id"] for _ in range(2)] == [1, 3]


def test_a_result_is_sent_with_numpy_in_it(sink: UDPSink, receiver: socket.socket) -> None:
    assert isinstance(sink, Sink)
    sink.write(result(4, prediction={"count": np.int64(3), "area": np.ones(2, np.float32)}))

    message = received(receiver)
    assert (message["count"], message["area"]) == (3, [1.0, 1.0])


def test_what_is_no_dictionary_is_wrapped(sink: UDPSink, receiver: socket.socket) -> None:
    sink.write(result(4, prediction=[1, 2]))

    assert received(receiver)["prediction"] == [1, 2]


def test_what_does_not_fit_into_a_datagram_is_an_error(sink: UDPSink) -> None:
    with pytest.raises(SinkError, match=r"does not fit into a datagram to udp 127\.0\.0\.1:"):
        sink.write(result(1, prediction={"mask": "x" * 70_000}))


def test_a_receiver_that_is_not_there_hurts_nobody() -> None:
    sink = UDPSink("127.0.0.1", 9)
    for number in range(5):
        sink.write(result(number))
    sink.close()


def test_a_name_nobody_knows_is_an_error() -> None:
    sink = UDPSink("no.such.host.invalid", 9)
    with pytest.raises(SinkError, match=r"cannot send to udp no\.such\.host\.invalid:9"):
        sink.write(result(1))
    sink.close()
